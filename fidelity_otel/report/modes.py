"""Failure modes: how often on all traffic, how often recovered, how much of what is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from fidelity_otel.report.estimates import Estimates
from fidelity_otel.report.frame import Flags, Frame
from fidelity_otel.report.summary import ModeLine

__all__ = ["mode_lines"]


def mode_lines(
    frame: Frame, wrong: Flags, make: Estimates, most: int, counted: Counter[tuple[str, str]]
) -> tuple[ModeLine, ...]:
    """One line a mode that was found or named, most traces first, then most named.

    Args:
        frame: the traces.
        wrong: those that an outcome calls wrong.
        make: makes the estimates.
        most: so many lines.
        counted: (mode, worst state) → traces that are rows of the frame only as counts.
    """
    found = Counter(counted)
    for states in filter(None, frame.states):
        found.update(states.items())
    named: Counter[str] = Counter()
    rows: defaultdict[str, list[int]] = defaultdict(list)  # where a mode was found or named
    for row, (states, reviews) in enumerate(zip(frame.states, frame.reviews, strict=True)):
        if not states and not reviews:
            continue
        modes = {r.mode for r in reviews if r.mode and not r.hand_picked}
        for mode in modes:
            named[mode] += 1
        for mode in modes.union(states):
            rows[mode].append(row)
    total = Counter[str]()
    for (mode, _), n in found.items():
        total[mode] += n
    modes_seen = sorted({*total, *named}, key=lambda m: (-total[m], -named[m], m))[:most]
    lines = []
    for mode in modes_seen:
        has = np.zeros(len(frame), dtype=bool)
        has[rows[mode]] = True
        lines.append(
            ModeLine(
                mode=mode,
                traces=total[mode],
                recovered=found[mode, "recovered"],
                unrecovered=found[mode, "unrecovered"],
                escalated=found[mode, "escalated"],
                named=named[mode],
                among_wrong=make.among_wrong(frame, has, wrong, name=f"among_wrong:{mode}"),
            )
        )
    return tuple(lines)
