"""What detectors found, counted trace by trace: one tally a workflow and mode, of bounded size.

A trace that a head sampler before us kept with probability p counts for the 1/p requests that it
stands for.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final, NamedTuple

import msgspec

from fidelity_otel.model import Finding, FindingState
from fidelity_otel.processor.detect.cost import DEAR
from fidelity_otel.store import FoundTrace

__all__ = ["Exemplar", "ModeTally", "Weighed", "WeightedMedian"]

_EXEMPLARS: Final = 3
_STATE_ORDER: Final = {"unrecovered": 0, "escalated": 1, "recovered": 2}
_FINENESS: Final = 0.01
_EXACT: Final = 1000


class Exemplar(msgspec.Struct, frozen=True):
    """One trace to look at; `path` is its page in the review site."""

    trace_id: str
    path: str
    time_ns: int
    state: str
    evidence: str
    verdict: str | None = None


class Weighed(NamedTuple):
    """Traces, the requests that they stand for (Σ 1/p), and Σ 1/p²."""

    traces: int = 0
    requests: float = 0.0
    squares: float = 0.0

    def plus(self, other: Weighed) -> Weighed:
        """Both together."""
        return Weighed(
            self.traces + other.traces,
            self.requests + other.requests,
            self.squares + other.squares,
        )

    def share_of(self, whole: Weighed) -> tuple[float, float]:
        """The share of requests that these are, and of how many independent traces it is worth.

        The effective number is that of the linearised variance Σ (1/p)²·(y − share)²/(Σ 1/p)² of a
        ratio, at most the traces seen; where the share is 0 or 1 it is Kish's (Σ 1/p)²/Σ 1/p².
        Where all were kept it is the number of traces.

        Args:
            whole: of which these are part, not empty.
        """
        if whole.requests == whole.squares:  # each stands for itself
            return self.traces / whole.traces, float(whole.traces)
        share = min(max(self.requests / whole.requests, 0.0), 1.0)
        if not 0.0 < share < 1.0:
            return share, whole.requests**2 / whole.squares
        rest = whole.squares - self.squares
        spread = self.squares * (1.0 - share) ** 2 + max(rest, 0.0) * share**2
        worth = share * (1.0 - share) * whole.requests**2 / spread
        return share, min(worth, float(whole.traces))


class WeightedMedian:
    """A median of positive numbers: exact of a thousand values, else to a hundredth of itself."""

    def __init__(self) -> None:
        self._weight: dict[float, float] = {}
        self._coarse = False

    def add(self, value: float, weight: float) -> None:
        """One more number, counted `weight` times."""
        key = _rounded(value) if self._coarse else value
        self._weight[key] = self._weight.get(key, 0.0) + weight
        if not self._coarse and len(self._weight) > _EXACT:
            held, self._weight, self._coarse = self._weight, {}, True
            for each, times in held.items():
                self.add(each, times)

    def value(self) -> float | None:
        """The median, None of nothing; between two middle numbers their mean."""
        half, below = sum(self._weight.values()) / 2.0, 0.0
        ordered = sorted(self._weight.items())
        for place, (value, weight) in enumerate(ordered):
            below += weight
            if math.isclose(below, half, rel_tol=1e-12) and place + 1 < len(ordered):
                return (value + ordered[place + 1][0]) / 2.0
            if below > half:
                return value
        return ordered[-1][0] if ordered else None


def _rounded(value: float) -> float:
    if value <= 0.0:
        return 0.0
    return math.exp(round(math.log(value) / _FINENESS) * _FINENESS)


class ModeTally:
    """One failure mode in one workflow: counts, costs, and the best traces to look at."""

    def __init__(self) -> None:
        self.early = self.late = Weighed()
        self.states: defaultdict[str, float] = defaultdict(float)
        self.recovered_by: defaultdict[str, float] = defaultdict(float)
        self.noticed = self.notice_known = 0.0
        self.seconds = WeightedMedian()
        self.extra_seconds = self.extra_tokens = self.dear = 0.0
        self.first_ns = self.last_ns = 0
        self._best: list[tuple[tuple[int, bool, int], Exemplar]] = []

    @property
    def found(self) -> Weighed:
        """All traces with the mode."""
        return self.early.plus(self.late)

    @property
    def exemplars(self) -> tuple[Exemplar, ...]:
        """Three traces: those that stayed broken first, reviewed before others, then the newest."""
        return tuple(exemplar for _, exemplar in self._best)

    def add(
        self,
        trace: FoundTrace,
        mode: str,
        state: FindingState,
        *,
        late: bool,
        verdict: str | None,
    ) -> None:
        """Count a trace with the mode; of traces that rank alike, the first ones are shown.

        Args:
            trace: the trace.
            mode: the mode of this tally.
            state: its worst state in the trace.
            late: whether the trace is in the late half of its workflow's time.
            verdict: the last one on the trace, None where nobody reviewed it.
        """
        weight = 1.0 / trace.upstream
        one = Weighed(1, weight, weight * weight)
        if late:
            self.late = self.late.plus(one)
        else:
            self.early = self.early.plus(one)
        self.first_ns = min(self.first_ns, trace.start_ns) if self.states else trace.start_ns
        self.last_ns = max(self.last_ns, trace.start_ns)
        self.states[state] += weight
        mine = [f for f in trace.findings if f.mode == mode]
        for finding in mine:
            self._cost(finding, weight)
        shown = next((f for f in mine if f.state == state), None)
        order = (_STATE_ORDER[state], verdict is None, -trace.start_ns)
        if len(self._best) < _EXEMPLARS or order < self._best[-1][0]:
            exemplar = Exemplar(
                trace_id=trace.trace_id,
                path=f"/traces/{trace.trace_id}",
                time_ns=trace.start_ns,
                state=state,
                evidence=shown.evidence if shown else "",
                verdict=verdict,
            )
            self._best = sorted([*self._best, (order, exemplar)], key=lambda x: x[0])[:_EXEMPLARS]

    def _cost(self, finding: Finding, weight: float) -> None:
        if finding.noticed is not None:
            self.notice_known += weight
            self.noticed += weight * finding.noticed
        if finding.recovered_by:
            self.recovered_by[finding.recovered_by] += weight
        if finding.recovery_ns is not None:
            self.seconds.add(finding.recovery_ns / 1e9, weight)
            self.extra_seconds += weight * finding.recovery_ns / 1e9
        self.extra_tokens += weight * (finding.recovery_tokens or 0)
        self.dear += weight * ((finding.recovery_factor or 0.0) >= DEAR)
