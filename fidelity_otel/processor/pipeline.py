"""A trace's bytes → what the store keeps of it; `serve` and `ingest` alike.

A trace is decided once. What comes in later is added to the body as a revision, with new findings
and the first sampling decision. What comes in twice changes nothing, so that deciding again after
a crash is harmless.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from fidelity_otel import semconv
from fidelity_otel.errors import WireError
from fidelity_otel.model import Decision, Finding, Outcome, Trace, TraceRecord
from fidelity_otel.processor import wire
from fidelity_otel.processor.assemble import INCOMPLETE
from fidelity_otel.processor.outcomes import is_carrier, outcomes_of
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.processor.read import read_trace
from fidelity_otel.processor.tally import Tally

__all__ = ["Body", "Decided", "Decides", "Input", "Pipeline"]

_log = logging.getLogger(__name__)
_FEW: Final = 4  # parts that are not worth merging by resource
_HEAD: Final = 2_000  # characters of request and answer that listings show


class Input(NamedTuple):
    """A trace to decide: its id in hex, its parts as they came, and why it is decided now.

    `unique`: it is known that no span is in the parts twice.
    """

    trace_id: str
    bodies: Sequence[bytes]
    reason: str
    unique: bool = False


class Decided(NamedTuple):
    """What became of one trace: a record where it is new or changed, and outcomes it carried.

    `end` is decided, revised, duplicate, carrier (nothing but outcomes), probe (a test trace of
    `fidelity doctor`), pruned (its body is gone, so nothing can be added) or failed (its bytes
    could not be read).
    """

    end: str
    record: TraceRecord | None
    outcomes: tuple[Outcome, ...]


Body = Callable[[str], bytes]
"""A stored trace's body, empty where it was pruned."""


class Decides(Protocol):
    """Decides batches: a pipeline, or processes that have one each."""

    def decide_all(
        self, batch: Sequence[Input], *, now_ns: int, known: Mapping[str, int], body: Body
    ) -> list[Decided]:
        """Decide traces, in their order; `known` has the revisions of those that are stored."""
        ...


class Pipeline:
    """Decides traces; keeps nothing between them but its settings.

    Args:
        detect: finds failure modes in a trace; gets the time in ns.
        risk: the probability that the trace's answer is wrong.
        candidate: the sampling decision without arms; gets the root's W3C tracestate.
        tally: counts what came out, by how it ended.
    """

    def __init__(
        self,
        *,
        detect: Callable[[Trace, int], tuple[Finding, ...]],
        risk: Callable[[Trace, Sequence[Finding]], float],
        candidate: Callable[[Trace, Sequence[Finding], float, int, str], Decision],
        tally: Tally,
    ) -> None:
        self._detect = detect
        self._risk = risk
        self._candidate = candidate
        self._tally = tally

    def decide(
        self, given: Input, *, now_ns: int, known: int | None = None, body: Body = lambda _: b""
    ) -> Decided:
        """Decide one trace.

        Args:
            given: the trace.
            now_ns: the time of the decision, ns since the epoch.
            known: the revision that is stored of it, None for a new trace.
            body: gives what is stored of a known trace.

        Returns:
            What to store. It never raises: what cannot be read is counted and said.
        """
        try:
            decided = self._decide(given, now_ns, known, body)
        except WireError as error:
            _log.warning("trace %s cannot be read and is left out: %s", given.trace_id, error)
            decided = Decided("failed", None, ())
        self._tally.add("traces_ended", decided.end)
        return decided

    def decide_all(
        self, batch: Sequence[Input], *, now_ns: int, known: Mapping[str, int], body: Body
    ) -> list[Decided]:
        """Decide traces one after another; `known` has the revisions of those that are stored."""
        return [
            self.decide(given, now_ns=now_ns, known=known.get(given.trace_id), body=body)
            for given in batch
        ]

    def _decide(self, given: Input, now_ns: int, known: int | None, body: Body) -> Decided:
        few = given.unique and len(given.bodies) <= _FEW
        otlp = b"".join(given.bodies) if few else wire.join(given.bodies)
        spans = wire.decode(otlp)
        outcomes = outcomes_of(spans)
        own = [s for s in spans if not is_carrier(s)]
        if not own:
            return Decided("carrier", None, outcomes)
        if all(s.name == semconv.FIDELITY_DOCTOR_SPAN for s in own):
            return Decided("probe", None, ())
        revision = 0
        if known is not None:
            before = body(given.trace_id)
            if not before:
                return Decided("pruned", None, outcomes)
            stored = {s.span_id for s in wire.decode(before)}
            fresh = [s for s in own if s.span_id not in stored]
            if not fresh:
                return Decided("duplicate", None, outcomes)
            self._tally.add("spans_late", "", len(fresh))
            otlp, revision = wire.join((before, otlp)), known + 1
            own = [s for s in wire.decode(otlp) if not is_carrier(s)]
        incomplete = (given.reason,) if given.reason in INCOMPLETE else ()
        record = self.record(own, otlp, now_ns=now_ns, revision=revision, incomplete=incomplete)
        self._tally.add("traces_decided", given.reason)
        self._tally.add("spans_decided", "", len(own))
        return Decided("revised" if revision else "decided", record, outcomes)

    def record(
        self,
        spans: Sequence[RawSpan],
        otlp: bytes,
        *,
        now_ns: int,
        revision: int = 0,
        incomplete: Sequence[str] = (),
    ) -> TraceRecord:
        """Read, detect and weigh one trace; a detector that fails costs its findings, no more."""
        trace = read_trace(spans, revision=revision, incomplete=incomplete)
        findings: tuple[Finding, ...] = ()
        risk = 0.5
        try:
            findings = self._detect(trace, now_ns)
            risk = self._risk(trace, findings)
        except Exception:  # noqa: BLE001 (a bug there must not stop the chain or hide the trace)
            _log.exception("detection failed on trace %s; it is stored without", trace.trace_id)
            self._tally.add("detection_failed")
        root = next((s for s in spans if s.span_id == trace.root_id), None)
        state = root.trace_state if root is not None else ""
        return TraceRecord(
            trace_id=trace.trace_id,
            otlp=otlp,
            decision=self._candidate(trace, findings, risk, now_ns, state),
            findings=findings,
            revision=revision,
            workflow=trace.workflow,
            service=trace.service,
            release=trace.release,
            conversation_id=trace.conversation_id,
            user_id=trace.user_id,
            start_ns=trace.start_ns,
            end_ns=trace.end_ns,
            span_count=len(spans),
            reported_success=trace.reported_success,
            incomplete=trace.incomplete,
            request=trace.request[:_HEAD],
            answer=trace.answer[:_HEAD],
            response_ids=tuple(s.response_id for s in trace.spans if s.response_id),
            keys=trace.keys,
            unread=trace.unread,
        )
