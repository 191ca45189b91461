"""One table of all metrics: name, type, unit, help, labels. `docs/metrics.md` is made from it.

Raw events are counters. Estimates are gauges, 0 to 1, since late labels and adjudication move them
both ways. Units are base units. No label is unbounded: workflows, modes, outcomes and their labels
beyond a limit are counted as `other`.
"""

from __future__ import annotations

from fidelity_otel.processor.metrics_health import HEALTH
from fidelity_otel.processor.metrics_kinds import HUMAN, LATENCY, Metric, counter, gauge, seconds

__all__ = ["ALL", "BOUNDS", "GROUPS", "METRICS", "OTHER", "UNNAMED", "Metric", "metric_named"]

ALL = "all"
"""Value of the label `workflow` for all workflows together."""
UNNAMED = "unnamed"
"""Value of the label `workflow` for traces that name none."""
OTHER = "other"
"""Value of a label for all values beyond its limit."""
BOUNDS = ("estimate", "low", "high")
"""Values of the label `bound`: the estimate and the ends of its interval."""

GROUPS = {
    "activity": "What happened: raw counts since the service started",
    "estimates": "What it means: estimates, each with its interval and its n",
    "review": "Review and evidence",
    "receive": "The service's health: receiving and the journal",
    "forward": "The service's health: sending on",
    "decide": "The service's health: assembling, deciding, storing",
}

METRICS: tuple[Metric, ...] = (
    # --- what happened ---------------------------------------------------------------------------
    counter(
        "activity",
        "fidelity_traces",
        "Traces decided, by what the system itself reported: success or failure.",
        "workflow",
        "status",
    ),
    counter(
        "activity",
        "fidelity_failures",
        "Failure modes found in traces, by what became of them: recovered, escalated, unrecovered.",
        "mode",
        "state",
    ),
    seconds(
        "activity",
        "fidelity_trace_duration_seconds",
        "From the start of a trace's first span to the end of its last.",
        LATENCY,
        "workflow",
    ),
    seconds(
        "activity",
        "fidelity_recovery_seconds",
        "How long the system took to get over a failure by itself.",
        LATENCY,
        "mode",
    ),
    # --- estimates -------------------------------------------------------------------------------
    gauge(
        "estimates",
        "fidelity_outcome_ratio",
        "Outcome fidelity: the share of requests whose answer did what the user needed.",
        "workflow",
        "window",
        "bound",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_silent_failure_ratio",
        "The share that reported success, has no open finding, and was judged wrong.",
        "workflow",
        "window",
        "bound",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_reviewed_traces",
        "n: how many reviewed traces the window's estimate of fidelity rests on.",
        "workflow",
        "window",
        unit="traces",
    ),
    gauge(
        "estimates",
        "fidelity_effective_sample_size",
        "How many reviews drawn with equal probability those are worth.",
        "workflow",
        "window",
    ),
    gauge(
        "estimates",
        "fidelity_frame_traces",
        "How many traces the window holds.",
        "workflow",
        "window",
        unit="traces",
    ),
    gauge(
        "estimates",
        "fidelity_minimum_reviewed_traces",
        "Below this n there is no estimate (report.minimum_n).",
        unit="traces",
    ),
    gauge(
        "estimates",
        "fidelity_benchmark_ratio",
        "The benchmark score that is set beside production (report.benchmark).",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_benchmark_gap_ratio",
        "Benchmark score minus outcome fidelity.",
        "window",
        "bound",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_objective_ratio",
        "The fidelity that is aimed at (report.objective).",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_recovery_ratio",
        "Share of a mode's requests in which the system got over it by itself; a census.",
        "mode",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_wrong_share_ratio",
        "Weighted share of wrong answers in which a mode was found or named by a reviewer.",
        "mode",
        "bound",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_change_evidence",
        "Evidence of a fall: of reviews below report.objective, of outcome:NAME or checks below "
        "what they were; 1 = alarm, false once in 1000 reviews, outcomes or hours.",
        "workflow",
        "watch",
    ),
    gauge(
        "estimates",
        "fidelity_survival_ratio",
        "Of the answers that were right at first, the share still right at an age like 7d.",
        "age",
        "bound",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_shadow_difference_ratio",
        "A shadow candidate's fidelity minus its incumbent's, on the same requests; -1 to 1.",
        "candidate",
        "bound",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_weight_ratio",
        "Largest weight of a review over the mean weight; 1 = all equal.",
        unit="ratio",
    ),
    gauge(
        "estimates",
        "fidelity_estimates_updated_timestamp_seconds",
        "When the estimates were computed last.",
        unit="seconds",
    ),
    gauge(
        "estimates",
        "fidelity_estimates_duration_seconds",
        "How long computing them took.",
        unit="seconds",
    ),
    # --- review and evidence ---------------------------------------------------------------------
    counter("review", "fidelity_reviews", "Verdicts in the store.", "verdict", "arm", stored=True),
    seconds(
        "review",
        "fidelity_review_duration_seconds",
        "From a reviewer's lease to the verdict.",
        HUMAN,
    ),
    gauge(
        "review",
        "fidelity_review_traces",
        "Traces drawn for review, by state: judged, waiting, cannot_tell.",
        "state",
        unit="traces",
    ),
    gauge(
        "review",
        "fidelity_review_oldest_waiting_seconds",
        "Age of the oldest trace that waits for a review; 0 where none waits.",
        unit="seconds",
    ),
    gauge(
        "review",
        "fidelity_undrawn_traces",
        "Traces whose window's sample has not been drawn yet.",
        unit="traces",
    ),
    gauge("review", "fidelity_leases", "Leases that reviewers hold now."),
    counter(
        "review",
        "fidelity_lease_endings",
        "How leases ended: verdict, skip, release, timeout.",
        "ending",
        stored=True,
    ),
    gauge(
        "review",
        "fidelity_agreement_ratio",
        "Agreement of two people on one trace: observed, kappa, ac1.",
        "coefficient",
        unit="ratio",
    ),
    gauge("review", "fidelity_agreement_pairs", "Pairs of verdicts it rests on.", unit="pairs"),
    counter(
        "review", "fidelity_outcomes", "Late outcomes in the store.", "name", "label", stored=True
    ),
    gauge(
        "review",
        "fidelity_outcome_coverage_ratio",
        "Share of requests that have an outcome of this name.",
        "name",
        unit="ratio",
    ),
    gauge(
        "review",
        "fidelity_outcome_mean_ratio",
        "Plain mean of an outcome's values, over the requests that have one.",
        "name",
        unit="ratio",
    ),
    gauge(
        "review",
        "fidelity_outcome_orphans",
        "Outcomes that no stored trace belongs to yet.",
    ),
    *HEALTH,
)

_BY_NAME = {metric.name: metric for metric in METRICS}
if len(_BY_NAME) != len(METRICS):
    raise ValueError("a metric is in the table twice")


def metric_named(name: str) -> Metric:
    """A row by its name, with or without `_total`.

    Raises:
        KeyError: there is none.
    """
    return _BY_NAME[name.removesuffix("_total")]
