"""Has something sunk, and since when: evidence to be looked at every day.

Three things are watched, each by the e-Shiryaev–Roberts detector: what reviewers say (few, but
about the matter itself), what late outcomes say, and what the detectors find on all traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fidelity_otel.report.frame import Flags, Floats, Frame
from fidelity_otel.report.summary import ChangeLine
from fidelity_otel.report.tally import HOUR_NS

__all__ = ["RUN_LENGTH", "changes_of", "checks_changed", "outcomes_changed"]

MOST_EVIDENCE = 100.0
"""Beyond this, more evidence changes nobody's mind; it grows without end."""
RUN_LENGTH = 1000.0
"""Reviews (outcomes, hours) between false alarms, on average at least, while nothing changes."""
LEAST_OUTCOMES, MOST_OUTCOMES = 50, 10_000
LEAST_DAYS = 3
"""Days of reference without which it isn't known how much checks vary from one to the next."""
_WEEKS_NS = 28 * 24 * HOUR_NS
_CLEARLY = 2.0
_Z99 = 2.326
_NAMED, _MARGIN = 3, 5

Times = NDArray[np.int64]
Groups = Sequence[tuple[str | None, Flags]]


class Series(NamedTuple):
    """What is watched, in order of time: shares 0–1, when, of which part; arrays of shape (T,)."""

    value: Floats
    time_ns: Times
    part: NDArray[np.object_]
    weight: Floats | None = None


def changes_of(
    frame: Frame, objective: float | None, groups: Groups, *, minimum_n: int
) -> Iterator[ChangeLine]:
    """What the reviewers say against the objective, by time of request.

    Args:
        frame: the traces, length N.
        objective: the fidelity that is aimed at; without one nothing can be below it.
        groups: (name, bool of length N); None names all together.
        minimum_n: groups with fewer reviews are left out.
    """
    if objective is None or not 0 < objective < 1:
        return
    names = np.array([*frame.strata, ""], dtype=object)
    for name, rows in groups:
        part = frame.take(rows & frame.judged & frame.drawn)
        if len(part) < minimum_n:
            continue
        weight = 1.0 / part.answered
        series = Series(part.label, part.start_ns, names[part.stratum], weight / weight.mean())
        yield _line(series, objective, name, "reviews", latest=minimum_n)


def outcomes_changed(frame: Frame, groups: Groups, *, now_ns: int) -> Iterator[ChangeLine]:
    """What late outcomes say, in the order in which they came, against what they said earlier.

    Earlier is before the last four weeks, or the first half where that is less than fifty; what is
    expected is the lower 99% limit of its share (Wilson 1927). Only the last 10,000 are looked at.
    Each outcome counts once, whatever a head sampler dropped beside its trace: what came is held
    against what came before, so a change of the head sampling may look like one of the outcomes.

    Args:
        frame: the traces, length N.
        groups: (name, bool of length N); None names all together.
        now_ns: the time.
    """
    from fidelity_otel.stats.intervals import wilson

    told = np.zeros(len(frame), dtype=bool)
    told[frame.with_outcome] = True
    for name, rows in groups if told.any() else ():
        part = frame.take(rows & told)
        for outcome in sorted({n for values in part.outcomes for n in values}):
            series = _of_outcome(part, outcome)
            size = series.value.size
            if size < 2 * LEAST_OUTCOMES:
                continue
            earlier = int((series.time_ns < now_ns - _WEEKS_NS).sum())
            split = earlier if earlier >= LEAST_OUTCOMES else size // 2
            if size - split < LEAST_OUTCOMES:
                continue
            said = float(series.value[:split].sum())
            expected = float(wilson(said, split, 0.98).low)
            yield _line(_after(series, split), expected, name, f"outcome:{outcome}")


def checks_changed(
    hours: Sequence[tuple[str | None, Times, Floats, Floats]], *, now_ns: int
) -> Iterator[ChangeLine]:
    """The share of requests in which nothing was found, by the hour, against what it was earlier.

    Earlier is before the last four weeks, or the first half. Traffic differs from day to day, so
    what is expected is the earlier days' mean less 2.3 times their standard deviation: a day that
    is no worse than one in a hundred earlier ones is no evidence.

    Args:
        hours: (workflow, starts of its hours in ns, requests of each, quiet ones among them).
        now_ns: the time.
    """
    for name, start, requests, quiet in hours:
        days = start // (24 * HOUR_NS)
        old = start < now_ns - _WEEKS_NS
        if np.unique(days[old]).size < LEAST_DAYS:
            old = days < days[0] + (days[-1] - days[0] + 1) // 2 if days.size else old
        each = np.unique(days[old], return_inverse=True)[1]
        if each.size == 0 or each.max() + 1 < LEAST_DAYS or old.all():
            continue
        daily = np.bincount(each, quiet[old]) / np.bincount(each, requests[old])
        expected = float(daily.mean() - _Z99 * daily.std(ddof=1))
        if not 0.0 < expected < 1.0:
            continue
        value = (quiet / requests)[~old]
        part = np.full(value.size, "", dtype=object)
        yield _line(Series(value, start[~old], part), expected, name, "checks")


def _of_outcome(frame: Frame, outcome: str) -> Series:
    pairs = zip(frame.outcomes, frame.outcome_times, frame.workflow, strict=True)
    found = [
        (times.get(outcome, 0), float(value), workflow)
        for values, times, workflow in pairs
        if (value := values.get(outcome)) is not None
    ]
    found.sort(key=lambda each: each[0])
    found = found[-MOST_OUTCOMES:]
    return Series(
        np.array([value for _, value, _ in found]),
        np.array([time for time, _, _ in found], dtype=np.int64),
        np.array([workflow for *_, workflow in found], dtype=object),
    )


def _after(series: Series, split: int) -> Series:
    return Series(series.value[split:], series.time_ns[split:], series.part[split:])


def _line(
    series: Series, expected: float, name: str | None, watch: str, *, latest: int = 24
) -> ChangeLine:
    """The evidence of the latest ones, and where there was an alarm, since when it is like that."""
    from fidelity_otel.stats.change import e_shiryaev_roberts, locate_change

    alarm = e_shiryaev_roberts(series.value, expected, run_length=RUN_LENGTH, weight=series.weight)
    evidence = min(float(np.max(alarm.statistic[-latest:])), MOST_EVIDENCE)
    n = series.value.size
    if alarm.first is None or n < 2 * _MARGIN:
        return ChangeLine(name, evidence, None, n, watch, expected)
    found = locate_change(series.value, margin=_MARGIN)
    at, low, high = (int(series.time_ns[min(k, n - 1)]) for k in (found.at, found.low, found.high))
    fell = _fell(series, found.at)
    return ChangeLine(
        name, evidence, at, n, watch, expected, low, high, found.before, found.after, fell
    )


def _fell(series: Series, at: int) -> tuple[str, ...]:
    """The parts that fell clearly, the deepest fall first; none where there is only one."""
    from fidelity_otel.stats.change import strata_of_change

    names, part = np.unique(series.part.astype(str), return_inverse=True)
    if names.size < 2:  # noqa: PLR2004
        return ()
    fall = strata_of_change(series.value, part.astype(np.intp), names.size, at)
    order = np.argsort(-np.nan_to_num(fall, nan=-np.inf))
    return tuple(str(names[k]) for k in order[:_NAMED] if fall[k] >= _CLEARLY)
