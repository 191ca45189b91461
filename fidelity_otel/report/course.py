"""The course of fidelity over time, in stretches that hold enough reviews to say something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fidelity_otel.report.estimates import Estimates
from fidelity_otel.report.frame import Flags, Frame
from fidelity_otel.report.summary import Period

__all__ = ["WINDOWS", "course_of", "stretches"]

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


def course_of(
    frame: Frame, wrong: Flags, make: Estimates, *, now_ns: int, most: int = MOST_PERIODS
) -> tuple[Period, ...]:
    """Fidelity of successive stretches of time.

    There are at most `most`, and no more than the verdicts can fill twice over the minimum; their
    edges are round in UTC. Fewer than two with an estimate tell no course, and
    none are given.
    """
    judged = int(frame.judged.sum())
    wanted = min(most, judged // max(2 * make.minimum_n, 1))
    if len(frame) == 0 or wanted <= 1:
        return ()
    first = int(frame.start_ns.min())
    last = min(int(frame.start_ns.max()), max(now_ns, first))
    periods = []
    for start, end in stretches(first, last, wanted):
        rows: Flags = (frame.start_ns >= start) & (frame.start_ns < end)
        if rows.any():
            part = frame.take(rows)
            periods.append(Period(start, end, len(part), make.fidelity(part, wrong[rows])))
    known = sum(p.fidelity.sufficient for p in periods)
    return tuple(periods) if known > 1 else ()


def stretches(first_ns: int, last_ns: int, most: int) -> list[tuple[int, int]]:
    """At most `most` half-open stretches of one round length that cover [first, last]."""
    for step in _STEPS:
        start = first_ns - (first_ns - _anchor(first_ns, step)) % step
        count = (last_ns - start) // step + 1
        if count <= most:
            return [(start + k * step, start + (k + 1) * step) for k in range(count)]
    step = (last_ns - first_ns) // most + 1
    return [(first_ns + k * step, first_ns + (k + 1) * step) for k in range(most)]


def _anchor(time_ns: int, step_ns: int) -> int:
    """Where stretches are counted from: the hour or midnight (UTC), for weeks a Monday."""
    day = datetime.fromtimestamp(time_ns // 10**9, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    if step_ns >= 7 * 1440 * _MINUTE:
        day -= timedelta(days=day.weekday())
    return int(day.timestamp()) * 10**9
