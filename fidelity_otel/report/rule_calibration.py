"""How far a contract's rules, its judges above all, say what people say."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from fidelity_otel.errors import InputError
from fidelity_otel.stats.intervals import clopper_pearson

__all__ = ["RuleLine", "Share", "calibrated", "read_labels"]

_YES, _NO = {"1", "true", "yes", "broken"}, {"0", "false", "no", "kept"}


class Share(msgspec.Struct, frozen=True):
    """A share with its exact interval; `of` is what it is out of."""

    share: float | None
    low: float | None
    high: float | None
    of: int


class RuleLine(msgspec.Struct, frozen=True):
    """One rule against people. `open` labelled traces it could not tell, `absent` were not given.

    `better_than_chance`: the lower bounds of both shares add up to more than 1.
    """

    rule: str
    sensitivity: Share
    specificity: Share
    open: int
    absent: int
    better_than_chance: bool


def read_labels(path: Path) -> dict[tuple[str, str], bool]:
    """Labels from a CSV file: (trace id, rule) → whether people say that it is broken.

    Raises:
        InputError: it cannot be read, or a row is wrong; names the line.
    """
    said: dict[tuple[str, str], bool] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = {"trace_id", "rule", "broken"} - set(rows.fieldnames or ())
            if missing:
                raise InputError(f"{path}:1: no column {', '.join(sorted(missing))}")
            for row in rows:
                word = (row["broken"] or "").strip().lower()
                if word not in _YES | _NO:
                    raise InputError(f"{path}:{rows.line_num}: broken = {word!r} is not 0 or 1")
                key = (row["trace_id"] or "").strip().lower(), (row["rule"] or "").strip()
                said[key] = word in _YES
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    return said


def calibrated(
    said: Mapping[tuple[str, str], bool], found: Mapping[tuple[str, str], str], level: float = 0.95
) -> Iterator[RuleLine]:
    """Each labelled rule against its labels.

    Args:
        said: by (trace id, rule), whether people say that it is broken.
        found: the state that the rule gave there.
        level: of the intervals.
    """
    for rule in sorted({name for _, name in said}):
        hit = {True: 0, False: 0}
        of = {True: 0, False: 0}
        absent = unclear = 0
        for (trace_id, name), broken in said.items():
            if name != rule:
                continue
            state = found.get((trace_id, name))
            if state in {"broken", "kept"}:
                of[broken] += 1
                hit[broken] += (state == "broken") == broken
            elif state is None:
                absent += 1
            else:
                unclear += 1
        finds, leaves = (_share(hit[b], of[b], level) for b in (True, False))
        better = (finds.low or 0.0) + (leaves.low or 0.0) > 1.0
        yield RuleLine(rule, finds, leaves, unclear, absent, better)


def _share(hits: int, of: int, level: float) -> Share:
    if of == 0:
        return Share(None, None, None, 0)
    limits = clopper_pearson(hits, of, level)
    return Share(hits / of, float(limits.low), float(limits.high), of)
