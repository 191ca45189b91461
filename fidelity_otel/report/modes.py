"""Failure modes: how often on all traffic, how often recovered, how much of what is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from fidelity_otel.report.estimates import Estimates
from fidelity_otel.report.frame import Flags, Frame
from fidelity_otel.report.requests import ModeRequests
from fidelity_otel.report.summary import ModeLine

__all__ = ["mode_lines"]

Counted = tuple[Counter[tuple[str, str]], Mapping[tuple[str, str], float]]


def mode_lines(
    frame: Frame, wrong: Flags, make: Estimates, most: int, counted: Counted
) -> tuple[ModeLine, ...]:
    """One line a mode that was found or named, most traces first, then most named.

    Args:
        frame: the traces.
        wrong: those that an outcome calls wrong.
        make: makes the estimates.
        most: so many lines.
        counted: (mode, worst state) → traces that are rows of the frame only as counts; and →
            requests that these stand for beside their own.
    """
    seen = [
        (mode, state, row)
        for row, states in enumerate(frame.states)
        for mode, state in states.items()
    ]
    said = {
        (r.mode, row)
        for row, reviews in enumerate(frame.reviews)
        for r in reviews
        if r.mode and not r.hand_picked
    }
    found = Counter(counted[0])
    found.update((mode, state) for mode, state, _ in seen)
    unseen = defaultdict(float, counted[1])
    for mode, state, row in seen:
        unseen[mode, state] += float(frame.units[row]) - 1.0
    named = Counter(mode for mode, _ in said)
    rows: defaultdict[str, list[int]] = defaultdict(list)  # where a mode was found or named
    for mode, row in (*((mode, row) for mode, _, row in seen), *said):
        rows[mode].append(row)
    total = Counter[str]()
    for (mode, _), n in found.items():
        total[mode] += n
    modes = sorted({*total, *named}, key=lambda m: (-total[m], -named[m], m))[:most]
    among_wrong = make.among_wrong(frame, wrong, {mode: rows[mode] for mode in modes})
    return tuple(
        ModeLine(
            mode=mode,
            traces=total[mode],
            recovered=found[mode, "recovered"],
            unrecovered=found[mode, "unrecovered"],
            escalated=found[mode, "escalated"],
            named=named[mode],
            among_wrong=among_wrong[mode],
            requests=_requests(mode, found, unseen),
        )
        for mode in modes
    )


def _requests(
    mode: str, traces: Counter[tuple[str, str]], unseen: Mapping[tuple[str, str], float]
) -> ModeRequests | UnsetType:
    """What the mode's traces stand for; unset where that is themselves."""
    states = ("recovered", "unrecovered", "escalated")
    more = {state: unseen.get((mode, state), 0.0) for state in states}
    if not any(more.values()):
        return UNSET
    return ModeRequests(**{state: traces[mode, state] + more[state] for state in states})
