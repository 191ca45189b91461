"""The samples of a summary: what the estimate gauges show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fidelity_otel.model import Estimate
from fidelity_otel.processor.metrics_table import ALL, BOUNDS, UNNAMED
from fidelity_otel.report.summary import Summary, WindowLine

__all__ = ["ESTIMATED", "Sample", "samples_of"]

_NS = 1e9


class Sample(NamedTuple):
    """One value: the metric's name, the values of its labels in the table's order, the value."""

    name: str
    labels: tuple[str, ...]
    value: float


ESTIMATED = frozenset(
    {
        "fidelity_agreement_pairs",
        "fidelity_agreement_ratio",
        "fidelity_benchmark_gap_ratio",
        "fidelity_benchmark_ratio",
        "fidelity_change_evidence",
        "fidelity_effective_sample_size",
        "fidelity_estimates_updated_timestamp_seconds",
        "fidelity_frame_traces",
        "fidelity_minimum_reviewed_traces",
        "fidelity_objective_ratio",
        "fidelity_outcome_coverage_ratio",
        "fidelity_outcome_mean_ratio",
        "fidelity_outcome_orphans",
        "fidelity_outcome_ratio",
        "fidelity_recovery_ratio",
        "fidelity_review_oldest_waiting_seconds",
        "fidelity_review_traces",
        "fidelity_reviewed_traces",
        "fidelity_shadow_difference_ratio",
        "fidelity_silent_failure_ratio",
        "fidelity_survival_ratio",
        "fidelity_undrawn_traces",
        "fidelity_weight_ratio",
        "fidelity_wrong_share_ratio",
    }
)
"""The metrics that a summary gives; all others are counted by the service."""


def samples_of(made: Summary) -> Iterator[Sample]:
    """Every sample of a summary. What is not known has no sample: never 100% of nothing."""
    yield Sample("fidelity_estimates_updated_timestamp_seconds", (), made.generated_ns / _NS)
    yield Sample("fidelity_minimum_reviewed_traces", (), made.minimum_n)
    for line in made.windows:
        yield from _window(line)
    yield from _compared(made)
    for change in made.changes:
        yield Sample(
            "fidelity_change_evidence", (_workflow(change.workflow), change.watch), change.evidence
        )
    for mode in made.modes:
        if mode.recovered_share is not None:
            yield Sample("fidelity_recovery_ratio", (mode.mode,), mode.recovered_share)
        yield from _bounds("fidelity_wrong_share_ratio", mode.among_wrong, mode.mode)
    for age in made.ages:
        yield from _bounds("fidelity_survival_ratio", age.still_right, f"{age.days}d")
    for pair in made.pairs:
        yield from _bounds("fidelity_shadow_difference_ratio", pair.difference, pair.candidate)
    yield from _reviews(made)
    for outcome in made.outcomes:
        yield Sample("fidelity_outcome_coverage_ratio", (outcome.name,), outcome.coverage)
        if outcome.mean is not None:
            yield Sample("fidelity_outcome_mean_ratio", (outcome.name,), outcome.mean)
    yield Sample("fidelity_outcome_orphans", (), made.outcome_orphans)


def _bounds(name: str, estimate: Estimate, *labels: str) -> Iterator[Sample]:
    values = (estimate.estimate, estimate.low, estimate.high)
    for bound, value in zip(BOUNDS, values, strict=True):
        if value is not None:
            yield Sample(name, (*labels, bound), value)


def _workflow(name: str | None) -> str:
    """The label's value: None is all together, which no workflow's name may be taken for."""
    if name == ALL:
        return f"{ALL} (workflow)"
    return ALL if name is None else name or UNNAMED


def _window(line: WindowLine) -> Iterator[Sample]:
    key = (_workflow(line.workflow), line.name)
    yield from _bounds("fidelity_outcome_ratio", line.fidelity, *key)
    yield from _bounds("fidelity_silent_failure_ratio", line.silent_failure, *key)
    yield Sample("fidelity_reviewed_traces", key, line.fidelity.n)
    yield Sample("fidelity_effective_sample_size", key, line.fidelity.n_effective)
    yield Sample("fidelity_frame_traces", key, line.traces)
    if line.benchmark_gap is not None:
        yield from _bounds("fidelity_benchmark_gap_ratio", line.benchmark_gap, line.name)


def _compared(made: Summary) -> Iterator[Sample]:
    if made.benchmark is not None:
        yield Sample("fidelity_benchmark_ratio", (), made.benchmark.score)
    if made.objective is not None:
        yield Sample("fidelity_objective_ratio", (), made.objective)
    if made.reviews.weight_ratio is not None:
        yield Sample("fidelity_weight_ratio", (), made.reviews.weight_ratio)


def _reviews(made: Summary) -> Iterator[Sample]:
    reviews = made.reviews
    for state in ("judged", "waiting", "cannot_tell"):
        yield Sample("fidelity_review_traces", (state,), getattr(reviews, state))
    oldest = reviews.oldest_waiting_ns
    age = 0.0 if oldest is None else max(0.0, (made.generated_ns - oldest) / _NS)
    yield Sample("fidelity_review_oldest_waiting_seconds", (), age)
    yield Sample("fidelity_undrawn_traces", (), reviews.undrawn)
    pairs = made.agreement
    yield Sample("fidelity_agreement_pairs", (), pairs.pairs)
    if pairs.pairs:
        yield Sample("fidelity_agreement_ratio", ("observed",), pairs.same / pairs.pairs)
    for name in ("kappa", "ac1"):
        value = getattr(pairs, name)
        if value is not None:
            yield Sample("fidelity_agreement_ratio", (name,), value)
