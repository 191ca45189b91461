"""`fidelity estimate FILE.csv`: a share with an interval from a file of reviews."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from typing import Any, TextIO

import click

from fidelity_otel.errors import DesignError, InputError

__all__ = ["command", "read_columns"]

NUMBERS = ("label", "prediction", "pi")
GROUPS = ("stratum", "cluster", "time")
_NOTHING = {"", "na", "nan", "null", "none"}


@click.command(
    epilog="""\b
Examples:
  fidelity estimate reviews.csv
  fidelity estimate reviews.csv --level 0.9 --format json
  fidelity estimate - < reviews.csv

\b
Columns (a header line is needed, their order is free):
  label       0 (wrong) to 1 (right); empty = not reviewed
  prediction  of any scale, known for all rows (optional)
  pi          probability with which the row was chosen for review, in (0, 1] (optional)
  stratum     group that the choice knew (optional)
  cluster     conversation or user (optional)
  time        any text (optional; carried, not used)
"""
)
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--level", type=float, default=0.95, show_default=True, help="Confidence level.")
@click.option(
    "--minimum-n",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Fewer reviews than this: insufficient data.",
)
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def command(file: TextIO, level: float, minimum_n: int, style: str) -> None:
    """Estimate the mean label of all rows from the reviewed ones, with an interval.

    Prints estimate, low, high, level, method, n (reviewed), n_effective (simple random reviews that
    would tell as much), N (rows that it speaks for) and warnings. Where the data does not support
    an estimate it is empty (null in JSON), and a warning says why.
    """
    import msgspec

    from fidelity_otel.stats.estimate import estimate

    try:
        columns = read_columns(file)
    except UnicodeDecodeError as error:
        raise InputError(f"{file.name}: not a UTF-8 text file: {error.reason}") from None
    try:
        found = estimate(
            columns["label"],
            prediction=columns.get("prediction"),
            pi=columns.get("pi"),
            stratum=columns.get("stratum"),
            cluster=columns.get("cluster"),
            level=level,
            minimum_n=minimum_n,
        )
    except DesignError as error:
        raise InputError(f"{file.name}: {error}") from None
    fields: dict[str, Any] = msgspec.to_builtins(found)
    order = ("estimate", "low", "high", "level", "method", "n", "n_effective", "N")
    shown = {key: fields.get(key) for key in order}
    shown["warnings"] = list(found.warnings)
    click.echo(json.dumps(shown, ensure_ascii=False) if style == "json" else _text(shown))


def read_columns(file: TextIO) -> dict[str, Any]:
    """Read the known columns of a CSV file, checked cell by cell.

    Args:
        file: an open text file; its name is used in errors.

    Returns:
        Lists by column name: numbers with NaN where empty, groups as text. A column that is empty
        in every row counts as absent.

    Raises:
        InputError: no header, no `label` column, a cell that is no number or outside its range, a
            label without `pi`; each names the line.
    """
    name = file.name
    lines = csv.reader(file, strict=True)
    try:
        header = next(lines, None)
        if not header:
            raise InputError(f"{name}: empty; a header line with a column `label` is wanted")
        places = _places(name, header)
        columns: dict[str, list[Any]] = {key: [] for key in places}
        numbers: list[int] = []
        for row in lines:
            cells = row
            if not any(c.strip() for c in cells):
                if len(header) > 1:
                    continue
                cells = [""]  # a file of labels only: an empty line is a row without a review
            if len(cells) != len(header):
                raise InputError(
                    f"{name}:{lines.line_num}: {len(cells)} cells, the header has {len(header)}"
                )
            numbers.append(lines.line_num)
            for key, place in places.items():
                columns[key].append(_cell(name, lines.line_num, key, cells[place]))
    except csv.Error as error:
        raise InputError(f"{name}:{lines.line_num}: not CSV: {error}") from None
    if not numbers:
        raise InputError(f"{name}: a header but no rows")
    columns = {k: v for k, v in columns.items() if k == "label" or not _empty(v)}
    _check_pi(name, numbers, columns)
    return columns


def _places(name: str, header: list[str]) -> dict[str, int]:
    names = [h.strip().lower() for h in header]
    for key in (*NUMBERS, *GROUPS):
        if names.count(key) > 1:
            raise InputError(f"{name}:1: the column `{key}` is there {names.count(key)} times")
    if "label" not in names:
        raise InputError(
            f"{name}:1: no column `label`; found {', '.join(header)}. "
            "Wanted: label, and optionally prediction, pi, stratum, cluster, time"
        )
    return {key: names.index(key) for key in (*NUMBERS, *GROUPS) if key in names}


def _cell(name: str, line: int, key: str, text: str) -> Any:
    stripped = text.strip()
    if key in GROUPS:
        return stripped
    if stripped.lower() in _NOTHING:
        return math.nan
    try:
        value = float(stripped)
    except ValueError:
        raise InputError(f"{name}:{line}: {key} = {stripped!r} is not a number") from None
    if not math.isfinite(value):
        raise InputError(f"{name}:{line}: {key} = {stripped!r} is not finite")
    if key == "label" and not 0.0 <= value <= 1.0:
        raise InputError(f"{name}:{line}: label = {stripped} is outside 0 to 1")
    if key == "pi" and not 0.0 < value <= 1.0:
        raise InputError(f"{name}:{line}: pi = {stripped} is outside (0, 1]")
    return value


def _empty(values: Iterable[Any]) -> bool:
    return all(v == "" or v != v for v in values)  # noqa: PLR0124


def _check_pi(name: str, numbers: list[int], columns: dict[str, list[Any]]) -> None:
    pi = columns.get("pi")
    if pi is None:
        return
    for line, label, probability in zip(numbers, columns["label"], pi, strict=True):
        if not math.isnan(label) and math.isnan(probability):
            raise InputError(
                f"{name}:{line}: a label without pi; say with what probability the row was chosen, "
                "or leave the whole column out for a simple random sample"
            )


def _text(shown: dict[str, Any]) -> str:
    lines: list[str] = []
    for key, value in shown.items():
        if key == "warnings":
            lines += [f"warning: {w}" for w in value]
        elif value is None:
            lines.append(f"{key}: insufficient data")
        elif isinstance(value, float):
            lines.append(f"{key}: {value:.6g}")
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(lines)
