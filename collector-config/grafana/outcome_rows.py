"""The dashboard's rows on outcomes: what users get, what goes wrong, how far to trust it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as models
from panels import (
    BAD,
    GOOD,
    GREY,
    SUCCESS,
    THESE,
    Panel,
    band,
    bars,
    bounds,
    course,
    frame,
    number,
    prop,
    quantile,
    queries,
)


def users_get() -> list[Panel]:
    """The lead's row: what users get, beside what the system says of itself."""
    fidelity = course(
        "Outcome fidelity",
        "Share of requests whose answer did what the user needed, with its interval. No band: too "
        "few reviews in the window.",
        "percentunit",
        *bounds("fidelity_outcome_ratio", THESE),
        ("max(fidelity_objective_ratio)", "objective"),
        ("max(fidelity_benchmark_ratio)", "benchmark"),
        (SUCCESS, "reported success"),
        wide=16,
    )
    silent = course(
        "Silent failures",
        "Share that reported success, has no open finding, and was judged wrong.",
        "percentunit",
        *bounds("fidelity_silent_failure_ratio", THESE),
        wide=8,
    )
    return [
        number(
            "Outcome fidelity: low, estimate, high",
            "The interval and the estimate of the chosen window.",
            "percentunit",
            *bounds("fidelity_outcome_ratio", THESE),
            wide=7,
        ),
        number(
            "Silent failures: low, estimate, high",
            "Reported success, nothing looked wrong, and the answer was wrong.",
            "percentunit",
            *bounds("fidelity_silent_failure_ratio", THESE),
            wide=7,
        ),
        number(
            "Reported success",
            "What ordinary dashboards show; last day.",
            "percentunit",
            (SUCCESS, "reported success"),
            wide=3,
        ),
        number(
            "Benchmark",
            "The score set beside production (report.benchmark).",
            "percentunit",
            ("max(fidelity_benchmark_ratio)", "benchmark"),
            wide=3,
        ),
        number(
            "Reviewed n of N",
            "What the estimate rests on, and what it speaks for.",
            "short",
            (f"max(fidelity_reviewed_traces{{{THESE}}})", "n"),
            (f"max(fidelity_frame_traces{{{THESE}}})", "N"),
        ),
        band(fidelity, GOOD),
        band(silent, BAD),
        worst_first(),
        band(
            course(
                "Benchmark minus production",
                "How far the benchmark is above what users get.",
                "percentunit",
                *bounds("fidelity_benchmark_gap_ratio", 'window="$window"'),
                wide=10,
            ),
            GREY,
        ),
    ]


def worst_first() -> Panel:
    """A table of workflows, the lowest fidelity first."""
    panel = frame(
        table.Panel(),
        "Workflows, worst first",
        "Estimate and interval of each workflow in the chosen window.",
        "percentunit",
        wide=14,
        high=8,
    )
    by = "max by (workflow)"
    columns = [
        (f'{by} (fidelity_outcome_ratio{{window="$window", bound="{b}"}})', b)
        for b in ("estimate", "low", "high")
    ]
    columns += [
        (f'{by} (fidelity_silent_failure_ratio{{window="$window", bound="estimate"}})', "silent"),
        (f'{by} (fidelity_reviewed_traces{{window="$window"}})', "n"),
        (f'{by} (fidelity_frame_traces{{window="$window"}})', "N"),
    ]
    queries(panel, *columns, instant=True)
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="joinByField", options={"byField": "workflow", "mode": "outer"}
        )
    )
    names = {f"Value #{ref}": name for ref, (_, name) in zip("ABCDEF", columns, strict=True)}
    hidden = {f"Time {k}": True for k in range(1, 7)} | {"Time": True}
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize", options={"renameByName": names, "excludeByName": hidden}
        )
    )
    for name in ("n", "N"):
        panel.override_by_name(name, [prop("unit", "short")])
    return panel.sort_by([common.TableSortByFieldState().display_name("estimate").desc(False)])


def goes_wrong() -> list[Panel]:
    """Failure modes: how often, how often recovered, how much of what is wrong."""
    return [
        course(
            "Failure modes found",
            "Traces per day in which a mode was found, by what became of it.",
            "short",
            ("sum by (mode, state) (increase(fidelity_failures_total[1d]))", "{{mode}} {{state}}"),
            stacked=True,
        ),
        bars(
            "Recovered by itself",
            "Share of a mode's traces in which the system got over it; counted, not estimated.",
            "percentunit",
            "sort(max by (mode) (fidelity_recovery_ratio))",
            "{{mode}}",
            wide=6,
        ),
        bars(
            "Among wrong answers",
            "Weighted share of wrong answers in which the mode was found or named by a reviewer.",
            "percentunit",
            'sort_desc(max by (mode) (fidelity_wrong_share_ratio{bound="estimate"}))',
            "{{mode}}",
            wide=6,
        ),
        course(
            "Time to recover, 90th percentile",
            "From a failure to the moment the system had got over it.",
            "s",
            (quantile(0.9, "fidelity_recovery_seconds", "mode"), "{{mode}}"),
            exemplars=True,
        ),
        course(
            "Late outcomes: mean",
            "Plain mean of the traces that have one; they need not be like the rest.",
            "percentunit",
            ("max by (name) (fidelity_outcome_mean_ratio)", "{{name}}"),
            wide=6,
        ),
        course(
            "Late outcomes: coverage",
            "Share of traces that have one.",
            "percentunit",
            ("max by (name) (fidelity_outcome_coverage_ratio)", "{{name}}"),
            wide=6,
        ),
    ]


def trusted() -> list[Panel]:
    """How far the numbers can be trusted."""
    return [
        course(
            "Reviews behind the estimate",
            "n, what they are worth, and the fewest that give an estimate.",
            "short",
            (f"max(fidelity_reviewed_traces{{{THESE}}})", "reviewed"),
            (f"max(fidelity_effective_sample_size{{{THESE}}})", "effective"),
            ("max(fidelity_minimum_reviewed_traces)", "minimum"),
            wide=8,
        ),
        course(
            "Review queue",
            "Traces drawn for review, by state.",
            "short",
            ("max by (state) (fidelity_review_traces)", "{{state}}"),
            ("max(fidelity_undrawn_traces)", "not drawn yet"),
            wide=8,
        ),
        course(
            "Oldest waiting review",
            "Age of the oldest trace that waits for a verdict.",
            "s",
            ("max(fidelity_review_oldest_waiting_seconds)", "age"),
            wide=8,
        ),
        course(
            "Verdicts per day",
            "What reviewers said, by the arm that chose the trace.",
            "short",
            (
                "sum by (verdict, arm) (increase(fidelity_reviews_total[1d]))",
                "{{verdict}} ({{arm}})",
            ),
            stacked=True,
            wide=8,
        ),
        course(
            "Agreement of two people",
            "On traces that two judged; 1 = always the same.",
            "percentunit",
            ("max by (coefficient) (fidelity_agreement_ratio)", "{{coefficient}}"),
            wide=5,
        ),
        course(
            "Pairs of verdicts",
            "What the agreement rests on.",
            "short",
            ("max(fidelity_agreement_pairs)", "pairs"),
            wide=3,
        ),
        course(
            "Time per review, median",
            "From taking a trace to the verdict.",
            "s",
            (quantile(0.5, "fidelity_review_duration_seconds", span="1d"), "median"),
            wide=4,
        ),
        course(
            "Largest weight",
            "The heaviest review over the mean; large values make estimates jump.",
            "short",
            ("max(fidelity_weight_ratio)", "largest ÷ mean"),
            wide=4,
        ),
        course(
            "Evidence of a change",
            "That reviews are below the objective, outcomes or checks below what they were; "
            "from 1 on it is an alarm.",
            "short",
            ("max by (workflow, watch) (fidelity_change_evidence)", "{{workflow}}: {{watch}}"),
            wide=6,
        ),
        course(
            "Late outcomes per day",
            "Received, by name and label.",
            "short",
            ("max by (name, label) (increase(fidelity_outcomes_total[1d]))", "{{name}} {{label}}"),
            wide=6,
        ),
        course(
            "Outcomes without a trace",
            "Parked until their trace arrives.",
            "short",
            ("max(fidelity_outcome_orphans)", "orphans"),
            wide=6,
        ),
        course(
            "Age of the estimates",
            "Time since they were computed.",
            "s",
            ("time() - max(fidelity_estimates_updated_timestamp_seconds)", "age"),
            wide=6,
        ),
        course(
            "Right at first, still right",
            "Of answers that were right, by the age at which they were judged again.",
            "percentunit",
            *(
                (
                    f'max by (age) (fidelity_survival_ratio{{bound="{bound}"}})',
                    f"{{{{age}}}} {bound}",
                )
                for bound in ("low", "estimate", "high")
            ),
            wide=12,
        ),
        course(
            "Wrong answers, and what the risk said",
            "Among answers reviewed since the risk was fitted; far apart, it has drifted.",
            "percentunit",
            ("max by (kind) (fidelity_risk_wrong_ratio)", "{{kind}}"),
            wide=12,
        ),
        course(
            "Shadow candidate minus incumbent",
            "On the same requests, judged blind; above 0 the candidate is better.",
            "percentunit",
            *(
                (
                    f'max by (candidate) (fidelity_shadow_difference_ratio{{bound="{bound}"}})',
                    f"{{{{candidate}}}} {bound}",
                )
                for bound in ("low", "estimate", "high")
            ),
            wide=12,
        ),
    ]
