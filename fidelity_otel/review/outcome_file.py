"""Outcomes from a CSV file: one row each, columns by name."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from fidelity_otel.errors import InputError
from fidelity_otel.review.messages import OutcomeRequest
from fidelity_otel.review.refs import parse_ref
from fidelity_otel.review.times import from_text

__all__ = ["read_outcomes", "read_value"]

_COLUMNS = (
    "ref",
    "trace_id",
    "response_id",
    "key_name",
    "key_value",
    "name",
    "value",
    "label",
    "source",
    "observed_at",
    "id",
    "supersedes",
    "explanation",
)
_TRUE = {"true", "yes", "right", "pass", "passed", "ok"}
_FALSE = {"false", "no", "wrong", "fail", "failed"}
_MOST_TOLD = 10


def read_value(text: str) -> tuple[float | None, str | None]:
    """What somebody wrote as a value: a number, a yes or no, or else a label."""
    stripped = text.strip()
    if not stripped:
        return None, None
    if stripped.lower() in _TRUE:
        return 1.0, stripped
    if stripped.lower() in _FALSE:
        return 0.0, stripped
    try:
        return float(stripped), None
    except ValueError:
        return None, stripped


def read_outcomes(lines: Iterable[str], *, where: str, source: str = "") -> list[OutcomeRequest]:
    """The outcomes of a CSV file, checked before any is stored.

    Args:
        lines: the file's lines, the first of them the columns' names: `ref` (or `trace_id`,
            `response_id`, or `key_name` and `key_value`), `name`, `value`, and optionally `label`,
            `source`, `observed_at`, `id`, `supersedes`, `explanation`.
        where: named in errors.
        source: for rows that name none.

    Raises:
        InputError: a column or a row is wrong; names the lines.
    """
    reader = csv.DictReader(lines, strict=True)
    try:
        columns = [c.strip().lower().lstrip("\ufeff") for c in reader.fieldnames or []]
        reader.fieldnames = columns
        _check_columns(columns, where)
        found: list[OutcomeRequest] = []
        faults: list[str] = []
        for row in reader:
            at = f"{where}:{reader.line_num}"
            if None in row:
                faults.append(f"{at}: more cells than columns")
                continue
            cells = {k: (v or "").strip() for k, v in row.items()}
            if not any(cells.values()):
                continue
            try:
                found.append(_outcome(cells, source))
            except InputError as error:
                faults.append(f"{at}: {error}")
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{where}: line {reader.line_num} is not CSV: {error}. Mend: save it as CSV, UTF-8."
        ) from None
    if faults:
        more = f"\n… and {len(faults) - _MOST_TOLD} more" if len(faults) > _MOST_TOLD else ""
        told = "\n".join(faults[:_MOST_TOLD]) + more
        raise InputError(f"nothing was stored, {len(faults)} rows are wrong:\n{told}")
    return found


def _check_columns(columns: list[str], where: str) -> None:
    unknown = [c for c in columns if c not in _COLUMNS]
    if unknown:
        raise InputError(
            f"{where}:1: unknown column {unknown[0]!r}. Mend: use {', '.join(_COLUMNS)}."
        )
    refers = {"ref", "trace_id", "response_id"} & set(columns) or {
        "key_name",
        "key_value",
    } <= set(columns)
    if not refers or "name" not in columns:
        raise InputError(
            f"{where}:1: the columns must say what each outcome is about and what it is called. "
            "Mend: name them in the first line, like ref,name,value."
        )


def _outcome(cells: dict[str, str], source: str) -> OutcomeRequest:
    ref = cells.get("ref") or cells.get("trace_id") or ""
    if not ref and cells.get("response_id"):
        ref = f"response:{cells['response_id']}"
    if not ref and cells.get("key_name"):
        ref = f"key:{cells['key_name']}={cells.get('key_value', '')}"
    parse_ref(ref)
    if not cells.get("name"):
        raise InputError("the name is missing. Mend: name what was observed, like resolved.")
    value, label = read_value(cells.get("value", ""))
    observed = cells.get("observed_at")
    if observed:
        from_text(observed, what="observed_at")
    return OutcomeRequest(
        ref=ref,
        name=cells["name"],
        value=value,
        label=cells.get("label") or label,
        source=cells.get("source") or source,
        observed_at=observed or None,
        id=cells.get("id") or None,
        supersedes=cells.get("supersedes") or None,
        explanation=cells.get("explanation") or None,
    )
