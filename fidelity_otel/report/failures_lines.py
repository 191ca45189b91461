"""The failure-mode document's values: a line a mode, a candidate a mode that only people named."""

from __future__ import annotations

from typing import Literal

import msgspec

from fidelity_otel.model import Estimate
from fidelity_otel.report.failures_found import Exemplar

__all__ = ["Candidate", "FailureLine", "Failures", "Trend"]


class Trend(msgspec.Struct, frozen=True):
    """The rate in the later half of the time against the earlier half, split at `at_ns`.

    `change` is later − earlier with Newcombe's interval; `direction` is told only where that
    interval leaves zero out.
    """

    at_ns: int
    earlier: float
    later: float
    change: float
    low: float
    high: float
    direction: Literal["rising", "falling", "steady"]


class FailureLine(msgspec.Struct, frozen=True):
    """One failure mode in one workflow.

    `traces` of `of` requests have it; `seen` of `seen_of` traces do, which are fewer where a head
    sampler stood before us. All other counts are of requests as well, but `called`. `rate` is the
    share of the workflow's requests in which it was found: all are known, and the interval is for
    the process that made them. `put_down` is the weighted share of requests that reviewers put down
    to the mode, `wrong` the weighted share of those with it whose answer was wrong. `noticed` of
    `notice_known` findings were noticed by the system. `extra_seconds` and `extra_tokens` are what
    recoveries took in all, `dear` how many took ten times the normal or more. `called` is what
    reviewers named in the traces in which it was found.
    """

    workflow: str
    mode: str
    traces: int
    of: int
    seen: int
    seen_of: int
    rate: Estimate
    put_down: Estimate
    wrong: Estimate
    trend: Trend | None
    recovered: int
    unrecovered: int
    escalated: int
    recovered_by: dict[str, int]
    noticed: int
    notice_known: int
    median_recovery_seconds: float | None
    extra_seconds: float
    extra_tokens: int
    dear: int
    first_ns: int
    last_ns: int
    called: dict[str, int]
    exemplars: tuple[Exemplar, ...]

    @property
    def recovered_share(self) -> float:
        """Share of the mode's traces in which the system got over it by itself."""
        return self.recovered / self.traces if self.traces else 0.0

    @property
    def noticed_share(self) -> float | None:
        """Share of the findings of which it is known that the system noticed; None of none."""
        return self.noticed / self.notice_known if self.notice_known else None


class Candidate(msgspec.Struct, frozen=True):
    """A mode that reviewers name and no detector found in the workflow.

    `detected` says whether a detector knows the mode at all: if so it missed every one of them; if
    not, the mode is worth a contract or an evaluator. `rate` is the weighted share of the
    workflow's requests that are put down to it.
    """

    workflow: str
    mode: str
    detected: bool
    named: int
    rate: Estimate
    first_ns: int
    notes: tuple[str, ...]
    exemplars: tuple[Exemplar, ...]


class Failures(msgspec.Struct, frozen=True):
    """The whole document; `traces` counts requests, `seen` the traces that stand for them."""

    generated_ns: int
    since_ns: int | None
    level: float
    traces: int
    seen: int
    reviewed: int
    with_findings: int
    lines: tuple[FailureLine, ...]
    candidates: tuple[Candidate, ...]
