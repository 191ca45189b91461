"""The course of fidelity over time, in stretches that hold enough reviews to say something."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from fidelity_otel.report.census import Census
from fidelity_otel.report.estimates import Estimates
from fidelity_otel.report.frame import Flags, Frame
from fidelity_otel.report.summary import Period
from fidelity_otel.report.tally import HOUR_NS

__all__ = ["WINDOWS", "course_of", "edges_of", "periods_of", "stretches", "window_start"]

WINDOWS: tuple[tuple[str, int | None], ...] = (
    ("1d", 1),
    ("3d", 3),
    ("7d", 7),
    ("28d", 28),
    ("all", None),
)
"""Windows of the metrics' estimates, in days. Shorter ones are empty at fifty reviews a day."""

MOST_PERIODS = 12
_MINUTE = 60 * 10**9
_STEPS = tuple(
    m * _MINUTE
    for m in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160, 40_320)
)


def window_start(now_ns: int, days: int) -> int:
    """When a window of the last days begins: at a whole hour, as counts are kept by the hour."""
    return (now_ns - days * 24 * HOUR_NS) // HOUR_NS * HOUR_NS


def edges_of(now_ns: int, periods: Sequence[tuple[int, int]]) -> list[int]:
    """All times at which a report divides its traces."""
    starts = [window_start(now_ns, days) for _, days in WINDOWS if days is not None]
    return [*starts, *(edge for period in periods for edge in period)]


def periods_of(
    census: Census, judged: int, minimum_n: int, *, now_ns: int, most: int = MOST_PERIODS
) -> list[tuple[int, int]]:
    """Successive stretches of time that hold enough reviews to say something, [start, end) in ns.

    There are at most `most`, and no more than the verdicts can fill twice over the minimum; their
    edges are round in UTC, and whole hours where traces are counted by the hour.

    Args:
        census: all traces.
        judged: how many of them were judged.
        minimum_n: fewest reviews of an estimate.
        now_ns: the time of the report.
        most: so many stretches.
    """
    wanted = min(most, judged // max(2 * minimum_n, 1))
    first, last = census.first_ns, census.last_ns
    if first is None or last is None or wanted <= 1:
        return []
    least = HOUR_NS if len(census.tally) else 0
    return stretches(first, min(last, max(now_ns, first)), wanted, least_ns=least)


def course_of(
    frame: Frame, wrong: Flags, make: Estimates, periods: Sequence[tuple[int, int]]
) -> tuple[Period, ...]:
    """Fidelity of successive stretches of time; fewer than two with an estimate tell no course."""
    made = []
    for start, end in periods:
        rows: Flags = (frame.start_ns >= start) & (frame.start_ns < end)
        if rows.any():
            part = frame.take(rows)
            made.append(Period(start, end, part.traces, make.fidelity(part, wrong[rows])))
    known = sum(p.fidelity.sufficient for p in made)
    return tuple(made) if known > 1 else ()


def stretches(
    first_ns: int, last_ns: int, most: int, *, least_ns: int = 0
) -> list[tuple[int, int]]:
    """At most `most` half-open stretches of one round length that cover [first, last].

    Args:
        first_ns: in the first of them.
        last_ns: in the last of them.
        most: so many.
        least_ns: shortest length.
    """
    longest = (last_ns - first_ns) // most + 1
    weeks = -(-longest // _STEPS[-1]) * _STEPS[-1]

    def divided(step: int) -> list[tuple[int, int]]:
        start = first_ns - (first_ns - _anchor(first_ns, step)) % step
        return [(edge, edge + step) for edge in range(start, last_ns + 1, step)]

    steps = (s for s in (*_STEPS, weeks) if s >= max(least_ns, longest // 2))
    return next((d for d in map(divided, steps) if len(d) <= most), divided(2 * weeks))


def _anchor(time_ns: int, step_ns: int) -> int:
    """Where stretches are counted from: the hour or midnight (UTC), for weeks a Monday."""
    day = datetime.fromtimestamp(time_ns // 10**9, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    if step_ns >= 7 * 1440 * _MINUTE:
        day -= timedelta(days=day.weekday())
    return int(day.timestamp()) * 10**9
