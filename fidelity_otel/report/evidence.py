"""Where the judgement comes from: coverage of the sample, agreement of judges, late outcomes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from fidelity_otel.errors import DesignError
from fidelity_otel.model import Estimate
from fidelity_otel.report.agree import pair_statistics
from fidelity_otel.report.frame import Flags, Frame
from fidelity_otel.report.summary import (
    Agreement,
    ArmLine,
    OutcomeLine,
    ReviewCoverage,
    ReviewerLine,
)

__all__ = [
    "agreement_of",
    "always_valid",
    "coverage_of",
    "outcome_lines",
    "outcomes_wrong",
    "reviewer_lines",
    "without_reviewers_errors",
]

_HALF = 0.5
_PAIR = 2
_FINE = 250  # bounds are rounded outwards to .4%
LEAST_PAIRS = 20
"""Pairs of verdicts below which they say nothing of how often reviewers err."""


def coverage_of(frame: Frame) -> ReviewCoverage:
    """What was sampled, and what became of it."""
    judged, unsure = frame.judged, frame.selected & frame.unsure
    waiting = frame.selected & ~judged & ~unsure
    reviews = [r for each in frame.reviews for r in each]
    sampled = [r for r in reviews if not r.hand_picked]
    doubles = ({r.reviewer for r in each if not r.hand_picked} for each in _several(frame).values())
    weight = frame.units[judged] / frame.pi[judged]
    return ReviewCoverage(
        selected=int(frame.selected.sum()),
        judged=int(judged.sum()),
        cannot_tell=int(unsure.sum()),
        waiting=int(waiting.sum()),
        oldest_waiting_ns=int(frame.start_ns[waiting].min()) if waiting.any() else None,
        undrawn=frame.count(~frame.drawn),
        double=sum(len(people) >= _PAIR for people in doubles),
        hand_picked=len(reviews) - len(sampled),
        verdicts=dict(Counter(r.verdict for r in sampled)),
        arms=_arms(frame, judged),
        reviewers=len({r.reviewer for r in reviews}),
        weight_ratio=float(weight.max() / weight.mean()) if len(weight) else None,
    )


def _arms(frame: Frame, judged: Flags) -> tuple[ArmLine, ...]:
    selected: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for arms, has in zip(frame.arms[frame.selected], judged[frame.selected], strict=True):
        for arm in arms:
            if arm.selected:
                selected[arm.arm] += 1
                told[arm.arm] += bool(has)
    return tuple(ArmLine(a, selected[a], told[a]) for a in sorted(selected, reverse=True))


def agreement_of(frame: Frame) -> Agreement:
    """Agreement over the traces that two people of the sample could tell something about."""
    return pair_statistics(_pairs(frame))


def without_reviewers_errors(fidelity: Estimate, frame: Frame) -> Estimate | None:
    """Fidelity if reviewers did not err, from how often two people who judged blind differ.

    Right or not is what counts here. None below `LEAST_PAIRS` pairs, and where they differ
    so often that nothing can be inferred.
    """
    pairs = _pairs(frame)
    if len(pairs) < LEAST_PAIRS or not fidelity.sufficient:
        return None
    from fidelity_otel.stats.misclassification import corrected, error_from_doubles

    differ = sum((one == "right") != (other == "right") for one, other in pairs)
    error = error_from_doubles(differ, len(pairs), fidelity.level)
    try:
        return corrected(fidelity, error, error)
    except DesignError:
        return None


def reviewer_lines(frame: Frame) -> tuple[ReviewerLine, ...]:
    """How each reviewer judges (Dawid and Skene 1979): who has judged enough together with others.

    Right or not is what counts. One pseudo-verdict in each cell keeps few of them from extremes.
    """
    from fidelity_otel.stats.dawid_skene import dawid_skene

    said = [
        (row, who, int(verdict == "right"))
        for row, first in _together(frame).items()
        for who, verdict in first.items()
    ]
    count = Counter(who for _, who, _ in said)
    if not said or max(count.values()) < LEAST_PAIRS:
        return ()
    people = sorted(count)
    item = np.unique([row for row, _, _ in said], return_inverse=True)[1].astype(np.intp)
    who = np.array([people.index(name) for _, name, _ in said], dtype=np.intp)
    code = np.array([verdict for *_, verdict in said], dtype=np.intp)
    confusion = dawid_skene(item, who, code, 2, smoothing=1.0).confusion
    return tuple(
        ReviewerLine(name, count[name], float(confusion[k, 1, 1]), float(confusion[k, 0, 0]))
        for k, name in enumerate(people)
        if count[name] >= LEAST_PAIRS
    )


def always_valid(frame: Frame, *, level: float, minimum_n: int) -> Estimate | None:
    """An interval of fidelity that holds after every review at once, for those who look daily.

    The betting confidence sequence over the reviews in the order in which they were made, each
    weighted by n/(N·π): of mean 1, as the sequence wants it.
    """
    from fidelity_otel.stats.sequence import betting_sequence

    part = frame.take(frame.judged & frame.drawn)
    if len(part) < max(minimum_n, 1):
        return None
    order = np.argsort([max(r.finished_ns for r in each) for each in part.reviews], kind="stable")
    whole = frame.requests_of(frame.drawn)
    weight = (len(part) / whole / part.answered)[order]
    label = part.label[order]
    bounds = betting_sequence(label, level, weight, grid=_FINE)
    low, high = float(bounds.low[-1]), float(bounds.high[-1])
    value = min(max(float(np.average(label, weights=weight)), low), high)
    kish = float(weight.sum() ** 2 / (weight**2).sum())
    name, method = "outcome_fidelity", "betting confidence sequence"
    return Estimate(name, value, low, high, level, method, len(part), kish, round(whole))


def _several(frame: Frame) -> dict[int, Sequence[Any]]:
    """Row → reviews, where there is more than one."""
    return {row: each for row, each in enumerate(frame.reviews) if len(each) >= _PAIR}


def _together(frame: Frame) -> dict[int, dict[str, str]]:
    """Row → reviewer → first verdict, where several people of the sample could tell something."""
    found: dict[int, dict[str, str]] = {}
    for row, reviews in _several(frame).items():
        first: dict[str, str] = {}
        for r in reviews:
            if not r.hand_picked and r.phase in {"", "sample"} and r.verdict != "cannot_tell":
                first.setdefault(r.reviewer, r.verdict)
        if len(first) >= _PAIR:
            found[row] = first
    return found


def _pairs(frame: Frame) -> list[tuple[str, str]]:
    verdicts = (tuple(first.values()) for first in _together(frame).values())
    return [(one, other) for one, other, *_ in verdicts]


def outcomes_wrong(frame: Frame, names: Sequence[str]) -> Flags:
    """Traces that an outcome of these names ("*": of any) calls wrong: a value below one half."""
    every, wanted = "*" in names, set(names)
    wrong = np.zeros(len(frame), dtype=bool)
    rows: list[int] = frame.with_outcome.tolist() if wanted else []
    for row in rows:
        wrong[row] = any(
            value is not None and value < _HALF and (every or name in wanted)
            for name, value in frame.outcomes[row].items()
        )
    return wrong


def outcome_lines(frame: Frame, most: int) -> tuple[OutcomeLine, ...]:
    """One line an outcome's name, most traces first."""
    values: dict[str, list[tuple[float, float]]] = {}
    requests: defaultdict[str, float] = defaultdict(float)
    traces: Counter[str] = Counter()
    labels: dict[str, Counter[str]] = {}
    compared: Counter[str] = Counter()
    agrees: Counter[str] = Counter()
    told = frame.with_outcome
    each = (frame.outcomes, frame.outcome_labels, frame.label, frame.judged, frame.units)
    for outcomes, said, label, judged, units in zip(*(c[told] for c in each), strict=True):
        for name, value in outcomes.items():
            traces[name] += 1
            requests[name] += units
            if said.get(name):
                labels.setdefault(name, Counter())[said[name]] += 1
            if value is None:
                continue
            values.setdefault(name, []).append((float(value), units))
            if judged and _HALF not in {label, value}:
                compared[name] += 1
                agrees[name] += (label > _HALF) == (value > _HALF)
    return tuple(
        OutcomeLine(
            name=name,
            traces=n,
            valued=len(values.get(name, [])),
            mean=_mean(values[name]) if name in values else None,
            labels=dict(labels.get(name, Counter()).most_common(most)),
            compared=compared[name],
            agrees=int(agrees[name]),
            coverage=float(requests[name]) / frame.requests,
        )
        for name, n in sorted(traces.items(), key=lambda each: (-each[1], each[0]))[:most]
    )


def _mean(values: Sequence[tuple[float, float]]) -> float:
    """Of (value, how many requests it stands for)."""
    value, units = zip(*values, strict=True)
    return float(np.average(value, weights=units))
