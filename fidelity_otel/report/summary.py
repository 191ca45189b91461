"""What a report says, as values: the page, the text, JSON and the metrics all come from it.

Counts are of traces unless a name says otherwise; shares and estimates are of requests. They differ
where a head sampler kept only some: `requests` says what traces stand for, and is absent where that
is themselves. Every estimate carries its interval and its n; where the data does not support one it
is None inside (`Estimate.sufficient`).
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from fidelity_otel.model import Estimate
from fidelity_otel.report.requests import ModeRequests, Requests

__all__ = [
    "Activity",
    "AgeLine",
    "Agreement",
    "ArmLine",
    "Benchmark",
    "ChangeLine",
    "Latency",
    "ModeLine",
    "OutcomeLine",
    "PairLine",
    "Period",
    "ReleaseLine",
    "ReviewCoverage",
    "ReviewerLine",
    "Summary",
    "Truth",
    "WindowLine",
    "WorkflowLine",
]


class Latency(msgspec.Struct, frozen=True):
    """Quantiles of a trace's duration in seconds; None where no trace has one."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Activity(msgspec.Struct, frozen=True):
    """What ordinary dashboards show: that the system runs.

    `loud` traces said themselves that they failed, or have a finding that was not recovered.
    """

    traces: int
    reported_success: int
    loud: int
    first_ns: int | None
    last_ns: int | None
    latency: Latency
    requests: Requests | UnsetType = UNSET

    @property
    def success_share(self) -> float | None:
        """Share of requests that reported success; None of none."""
        return _success_share(self) if self.traces else None

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return _asked(self)


def _success_share(line: Activity | WorkflowLine) -> float:
    if line.requests is not UNSET:
        return line.requests.reported_success / line.requests.total
    return line.reported_success / line.traces


def _asked(line: Activity | WorkflowLine) -> int:
    return line.traces if line.requests is UNSET else round(line.requests.total)


class WorkflowLine(msgspec.Struct, frozen=True):
    """One workflow."""

    workflow: str
    traces: int
    reported_success: int
    latency: Latency
    fidelity: Estimate
    silent_failure: Estimate
    requests: Requests | UnsetType = UNSET

    @property
    def success_share(self) -> float:
        """Share of requests that reported success."""
        return _success_share(self)

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return _asked(self)


class ReleaseLine(msgspec.Struct, frozen=True):
    """One release, by its first trace's time.

    `difference` is its fidelity less that of the release before, where both have enough reviews.
    """

    release: str
    traces: int
    first_ns: int
    fidelity: Estimate
    difference: Estimate | None = None
    requests: float | UnsetType = UNSET

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return self.traces if self.requests is UNSET else round(self.requests)


class Period(msgspec.Struct, frozen=True):
    """One stretch of time in the course of fidelity."""

    start_ns: int
    end_ns: int
    traces: int
    fidelity: Estimate


class WindowLine(msgspec.Struct, frozen=True):
    """The estimates of the last days, as the metrics show them.

    `name` is 1d, 3d, 7d, 28d or all; `workflow` None is all workflows together.
    """

    name: str
    workflow: str | None
    traces: int
    fidelity: Estimate
    silent_failure: Estimate
    benchmark_gap: Estimate | None = None


class ModeLine(msgspec.Struct, frozen=True):
    """One failure mode.

    Counts are a census of all traffic: traces in which the mode was found, by its worst state.
    `among_wrong` is the weighted share of wrong answers in which it was found, or which a reviewer
    put down to it; `named` counts the reviews that named it.
    """

    mode: str
    traces: int
    recovered: int
    unrecovered: int
    escalated: int
    named: int
    among_wrong: Estimate
    requests: ModeRequests | UnsetType = UNSET

    @property
    def asked(self) -> ModeRequests:
        """The requests in which it was found: traces, and those that they stand for."""
        if self.requests is not UNSET:
            return self.requests
        return ModeRequests(self.recovered, self.unrecovered, self.escalated)

    @property
    def recovered_share(self) -> float | None:
        """Share of the mode's requests in which the system got over it by itself."""
        return self.asked.recovered / self.asked.total if self.traces else None


class OutcomeLine(msgspec.Struct, frozen=True):
    """One kind of late evidence: how many traces have it, and what it says.

    `mean` is over the `valued` ones, whose value says right or wrong: the mean of those requests
    that have one, so it is not an estimate for all traffic. `agrees` of `compared` traces with a
    review as well say the same as it (both sides of one half).
    """

    name: str
    traces: int
    valued: int
    mean: float | None
    labels: dict[str, int]
    compared: int
    agrees: int
    coverage: float


class ArmLine(msgspec.Struct, frozen=True):
    """One arm of the sampling design; a trace can be in both."""

    arm: str
    selected: int
    judged: int


class ReviewCoverage(msgspec.Struct, frozen=True):
    """What was sampled and what became of it.

    `selected` = `judged` + `cannot_tell` + `waiting`. `undrawn` traces are in windows whose sample
    has not been drawn yet: no estimate speaks for them.
    """

    selected: int
    judged: int
    cannot_tell: int
    waiting: int
    oldest_waiting_ns: int | None
    undrawn: int
    double: int
    hand_picked: int
    verdicts: dict[str, int]
    arms: tuple[ArmLine, ...]
    reviewers: int
    weight_ratio: float | None


class Agreement(msgspec.Struct, frozen=True):
    """How far two people who judged the same trace say the same, over `pairs` such traces."""

    pairs: int
    same: int
    kappa: float | None = None
    ac1: float | None = None


class ReviewerLine(msgspec.Struct, frozen=True):
    """How one reviewer judges, inferred from traces that others judged as well (`pairs`).

    `right_kept` is the share of right answers that this person calls right, `wrong_seen` that of
    wrong answers not called right; both without an answer key, so only as good as the others are.
    """

    reviewer: str
    pairs: int
    right_kept: float
    wrong_seen: float


class AgeLine(msgspec.Struct, frozen=True):
    """Of the answers that were right at first, the share still right after `days`.

    The estimate counts an answer as wrong from the look that found it so. Where looks were missed,
    it may have gone wrong before; `with_missed` is the share that allows for it (Turnbull 1976).
    """

    days: int
    still_right: Estimate
    with_missed: float | None = None


class PairLine(msgspec.Struct, frozen=True):
    """A shadow candidate beside its incumbent, on the same requests.

    Of `pairs`, both answers of `judged` were judged; in `candidate_only` of them only the candidate
    did better. `difference` is candidate − incumbent. `p_value` may be looked at after every pair.
    `order_p` is of the question whether the answer that the same person judged first did better:
    a small one says that the order, not the answer, moved the verdicts. None without such pairs.
    """

    incumbent: str
    candidate: str
    pairs: int
    judged: int
    candidate_only: int
    incumbent_only: int
    difference: Estimate
    p_value: float
    order_p: float | None = None


class Benchmark(msgspec.Struct, frozen=True):
    """The benchmark score, and how far production is below it (`gap` = score − fidelity).

    `cases` is how many it was measured on; without it the score counts as exact.
    """

    score: float
    gap: Estimate
    source: str = ""
    cases: int | None = None


class ChangeLine(msgspec.Struct, frozen=True):
    """Evidence that something watched has sunk below what it should be; 1 and more is an alarm.

    `watch` is `reviews` (fidelity against the objective), `outcome:NAME` (late outcomes against
    what they said earlier) or `checks` (the share of requests in which nothing was found, by the
    hour, against what it was earlier). `workflow` None is all together; `n` is how many reviews,
    outcomes or hours were looked at, and `expected` what was held against them.

    Where there is an alarm: `since_ns` is when it most likely sank, between `low_ns` and `high_ns`;
    `before` and `after` are the shares on either side of it; `fell` names the strata or
    workflows that fell clearly, the deepest first.
    """

    workflow: str | None
    evidence: float
    since_ns: int | None
    n: int
    watch: str = "reviews"
    expected: float | None = None
    low_ns: int | None = None
    high_ns: int | None = None
    before: float | None = None
    after: float | None = None
    fell: tuple[str, ...] = ()


class Truth(msgspec.Struct, frozen=True):
    """The truth over all traffic, known only where there is an answer key (the demo, tests)."""

    fidelity: float
    silent_failure: float | None = None
    note: str = ""


class Summary(msgspec.Struct, frozen=True):
    """The whole report.

    `always` is the interval of fidelity for people who look every day: it holds at all moments at
    once, and uses neither strata nor predictions. `corrected` is fidelity without the reviewers'
    errors.
    """

    sentence: str
    generated_ns: int
    since_ns: int | None
    level: float
    minimum_n: int
    activity: Activity
    fidelity: Estimate
    silent_failure: Estimate
    wrong_by_outcome: int
    silent_by_outcome: int
    troubled: int
    troubled_recovered: int
    worst_workflow: str | None
    workflows: tuple[WorkflowLine, ...]
    releases: tuple[ReleaseLine, ...]
    modes: tuple[ModeLine, ...]
    outcomes: tuple[OutcomeLine, ...]
    outcome_orphans: int
    reviews: ReviewCoverage
    agreement: Agreement
    benchmark: Benchmark | None
    objective: float | None
    course: tuple[Period, ...]
    windows: tuple[WindowLine, ...]
    changes: tuple[ChangeLine, ...] = ()
    always: Estimate | None = None
    reviewers: tuple[ReviewerLine, ...] = ()
    ages: tuple[AgeLine, ...] = ()
    pairs: tuple[PairLine, ...] = ()
    corrected: Estimate | None = None
    truth: Truth | None = None
    warnings: tuple[str, ...] = ()
    status: Literal["empty", "no_reviews", "too_few", "estimated"] = "empty"

    @property
    def recovered_share(self) -> float | None:
        """Of the requests that met trouble, the share that got over it; None without any."""
        if not self.troubled:
            return None
        requests = self.activity.requests
        if requests is not UNSET:
            return requests.recovered / requests.troubled
        return self.troubled_recovered / self.troubled

    @property
    def in_trouble(self) -> int:
        """How many requests met trouble."""
        requests = self.activity.requests
        return self.troubled if requests is UNSET else round(requests.troubled)
