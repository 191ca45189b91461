"""Shadow mode in the report: incumbent and candidate on the same requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from fidelity_otel.report.estimates import insufficient
from fidelity_otel.report.frame import Flags, Frame
from fidelity_otel.report.summary import PairLine

__all__ = ["Mark", "candidates_of", "pair_lines"]

Mark = tuple[str, str, str]
"""Trace id, role (incumbent or candidate), pair id."""


def candidates_of(frame: Frame, marks: Sequence[Mark]) -> Flags:
    """Traces whose answer no user got, bool of the frame's length: no share of ours counts them."""
    mine = {trace for trace, role, _ in marks if role == "candidate"}
    if not mine:
        return np.zeros(len(frame), dtype=bool)
    return np.array([t in mine for t in frame.trace_id], dtype=bool).reshape(len(frame))


def pair_lines(
    frame: Frame, marks: Sequence[Mark], *, level: float, minimum_n: int
) -> tuple[PairLine, ...]:
    """One line a candidate: how much more often it is right than the incumbent.

    A pair counts where both answers were drawn and judged, weighted by the inverse probability that
    both were drawn: in each arm both have one random number (see `_both`). Head sampling before us
    does not enter: nobody knows with what probability it would have kept both of a pair.

    Args:
        frame: the traces, incumbents and candidates.
        marks: which of them are pairs.
        level: confidence level.
        minimum_n: fewer judged pairs than this give no estimate.
    """
    if not marks:
        return ()
    place = {trace: k for k, trace in enumerate(frame.trace_id)}
    pairs: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for trace, role, pair in marks:
        if trace in place:
            pairs[pair][role] = place[trace]
    lines: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for each in pairs.values():
        if len(each) == len(("incumbent", "candidate")):
            one, other = each["incumbent"], each["candidate"]
            lines[frame.workflow[one], frame.workflow[other]].append((one, other))
    return tuple(
        _line(frame, names, found, level=level, minimum_n=minimum_n)
        for names, found in sorted(lines.items(), key=lambda e: (-len(e[1]), e[0]))
    )


def _line(
    frame: Frame,
    names: tuple[str, str],
    pairs: list[tuple[int, int]],
    *,
    level: float,
    minimum_n: int,
) -> PairLine:
    from fidelity_otel.stats.paired import always_valid_p, paired_difference

    judged = frame.judged
    both = [p for p in pairs if judged[p[0]] and judged[p[1]]]
    both.sort(key=lambda p: max(_judged_ns(frame, k) for k in p))
    one = np.array([frame.label[a] for a, _ in both], dtype=np.float64)
    other = np.array([frame.label[b] for _, b in both], dtype=np.float64)
    chance = np.array([_both(frame.arms[a], frame.arms[b]) for a, b in both], dtype=np.float64)
    difference = insufficient("candidate − incumbent", level=level, n=len(both), frame=len(pairs))
    if len(both) >= max(minimum_n, 1):
        difference = paired_difference(other, one, level=level, weight=1.0 / chance)
    return PairLine(
        incumbent=names[0],
        candidate=names[1],
        pairs=len(pairs),
        judged=len(both),
        candidate_only=int((other > one).sum()),
        incumbent_only=int((other < one).sum()),
        difference=difference,
        p_value=float(always_valid_p(other, one)[-1]) if both else 1.0,
        order_p=_order_p(frame, both),
    )


def _order_p(frame: Frame, pairs: Sequence[tuple[int, int]]) -> float | None:
    """Whether what a person judged first did better, over pairs that one person judged both of."""
    from fidelity_otel.stats.paired import order_effect

    first_won: list[bool] = []
    second_won: list[bool] = []
    for a, b in pairs:
        one, other = frame.reviews[a][0], frame.reviews[b][0]
        if one.reviewer != other.reviewer or one.finished_ns == other.finished_ns:
            continue
        first, second = (a, b) if one.finished_ns < other.finished_ns else (b, a)
        first_won.append(bool(frame.label[first] > frame.label[second]))
        second_won.append(bool(frame.label[second] > frame.label[first]))
    if not first_won:
        return None
    return order_effect(np.array(first_won), np.array(second_won)).p_value


def _judged_ns(frame: Frame, row: int) -> int:
    return max((r.finished_ns for r in frame.reviews[row]), default=0)


def _both(one: Sequence[object], other: Sequence[object]) -> float:
    """The probability that both traces of a pair are drawn, by any arm.

    With e the estimation arm's π and d the discovery arm's: a pair has one random number in each
    arm, those of the arms are independent, and a trace is drawn where the number is below its π. So
    P(neither) = (1 − max e)(1 − max d), hence by inclusion and exclusion.
    """
    e1, d1 = _arms(one)
    e2, d2 = _arms(other)
    neither = (1.0 - max(e1, e2)) * (1.0 - max(d1, d2))
    return 1.0 - (1.0 - e1) * (1.0 - d1) - (1.0 - e2) * (1.0 - d2) + neither


def _arms(arms: Sequence[object]) -> tuple[float, float]:
    found = {getattr(a, "arm", ""): float(getattr(a, "probability", 0.0)) for a in arms}
    return found.get("estimation", 0.0), found.get("discovery", 0.0)
