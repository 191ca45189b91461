"""A store in memory that keeps the real one's promises about revisions, for fast properties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from fidelity_otel.errors import StoreBusy
from fidelity_otel.model import Decision, Finding, Outcome, Trace, TraceRecord
from fidelity_otel.processor import wire
from fidelity_otel.processor.pipeline import Pipeline
from fidelity_otel.processor.tally import Tally


def pipeline(tally: Tally) -> Pipeline:
    """A pipeline without detectors."""

    def candidate(
        trace: Trace, findings: Sequence[Finding], risk: float, now: int, state: str
    ) -> Decision:
        return Decision(trace.trace_id, "s", "w", 1, 1.0, risk, flagged=False, decided_ns=now)

    return Pipeline(
        detect=lambda traces, *_: [()] * len(traces),
        risk=lambda _t, _f: 0.5,
        candidate=candidate,
        tally=tally,
    )


class MemoryStore:
    """Traces by id; `decisions` are the first ones, `busy` makes the next writes fail."""

    def __init__(self) -> None:
        self.records: dict[str, TraceRecord] = {}
        self.decisions: dict[str, Decision] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.meta: dict[str, str] = {}
        self.busy = 0

    def revisions(self, trace_ids: Iterable[str]) -> dict[str, int]:
        return {i: self.records[i].revision for i in trace_ids if i in self.records}

    def trace(self, trace_id: str) -> Any:
        record = self.records.get(trace_id)
        return None if record is None else SimpleNamespace(record=record)

    def add_traces(self, records: Iterable[TraceRecord]) -> Any:
        if self.busy:
            self.busy -= 1
            raise StoreBusy("another process writes")
        new = replaced = known = 0
        for record in records:
            held = self.records.get(record.trace_id)
            if held is None:
                new += 1
                self.decisions[record.trace_id] = record.decision
            elif record.revision > held.revision:
                replaced += 1
            else:
                known += 1
                continue
            self.records[record.trace_id] = record
        return SimpleNamespace(new=new, replaced=replaced, known=known, refused=0)

    def add_outcomes(self, outcomes: Sequence[Outcome]) -> Any:
        known = sum(o.id in self.outcomes for o in outcomes)
        self.outcomes |= {o.id: o for o in outcomes}
        return SimpleNamespace(added=len(outcomes) - known, known=known, refused=())

    def meta_set(self, name: str, value: str) -> None:
        self.meta[name] = value

    def spans(self) -> dict[str, list[str]]:
        """The span ids in each stored body, sorted."""
        return {i: sorted(s.span_id for s in wire.decode(r.otlp)) for i, r in self.records.items()}
