"""A trace's bytes → what the store keeps of it; `serve` and `ingest` alike.

A trace is decided once. What comes in later is added to the body as a revision, with new findings
and the first sampling decision. What comes in twice changes nothing, so that deciding again after
a crash is harmless.

Where only a share of unremarkable traces is to be stored, the others are thinned: nothing of them
is kept. Which ones hangs on their ids alone, and each that is stored says how many it counts for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from fidelity_otel import semconv
from fidelity_otel.errors import WireError
from fidelity_otel.model import Decision, Finding, Outcome, Trace, TraceRecord
from fidelity_otel.processor import wire
from fidelity_otel.processor.assemble import INCOMPLETE
from fidelity_otel.processor.outcomes import is_carrier, outcomes_of
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.processor.read import Given, read_traces
from fidelity_otel.processor.tally import Tally

__all__ = ["Body", "Decided", "Decides", "Input", "Pipeline", "Read"]

_log = logging.getLogger(__name__)
_FEW: Final = 4  # parts that are not worth merging by resource
_MOST: Final = 32  # traces that are worked on together
_MOST_BYTES: Final = 1 << 20
_HEAD: Final = 2_000  # characters of request and answer that listings show
_REST_IS_GONE: Final = "thinned"  # why spans are missing
_SHADOW: Final = frozenset(semconv.SHADOW_KEYS.values())


class Input(NamedTuple):
    """A trace to decide: its id in hex, its parts as they came, and why it is decided now.

    `unique`: it is known that no span is in the parts twice. `thinned`: what came of it before was
    thinned. `doubts`: the detectors that have to look at it, as `detect.Doubt` has them, where it
    is known that all others find nothing and that no contract is broken. `note`: under what the
    sift keeps what it saw of it as it came in, 0 for nothing. `places`: where its parts are in the
    journal, as long as they are not read.
    """

    trace_id: str
    bodies: Sequence[bytes]
    reason: str
    unique: bool = False
    thinned: bool = False
    doubts: int | None = None
    note: int = 0
    places: Sequence[tuple[int, int]] = ()


class _Opened(NamedTuple):
    """A trace whose spans were read: what the rest of the pipeline makes a record of."""

    given: Input
    spans: list[RawSpan]
    otlp: bytes
    outcomes: tuple[Outcome, ...]
    revision: int

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Why spans may be missing."""
        cut = (self.given.reason,) if self.given.reason in INCOMPLETE else ()
        return (*cut, _REST_IS_GONE) if self.given.thinned else cut


class Decided(NamedTuple):
    """What became of one trace: a record where it is new or changed, and outcomes it carried.

    `end` is decided, revised, duplicate, carrier (nothing but outcomes), probe (a test trace of
    `fidelity doctor`), thinned (unremarkable, and not of the share that is stored), pruned (its
    body is gone, so nothing can be added) or failed (its bytes could not be read). `stands_for` is
    how many traces that were decided the record counts for.
    """

    end: str
    record: TraceRecord | None
    outcomes: tuple[Outcome, ...]
    stands_for: float = 1.0


Detects = Callable[
    [Sequence[Trace], int, Sequence[int | None]], Sequence[tuple[Finding, ...] | Exception]
]
Body = Callable[[str], bytes]
"""A stored trace's body, empty where it was pruned."""
Read = Callable[[Iterable[Input]], Iterable[Input]]
"""Gives traces with their parts, as they are asked for; leaves out those that cannot be read."""


class Decides(Protocol):
    """Decides batches: a pipeline, or processes that have one each."""

    def decide(
        self, batch: Sequence[Input], *, now_ns: int, known: Mapping[str, int], body: Body
    ) -> list[Decided]:
        """Decide traces, in their order; `known` has the revisions of those that are stored."""
        ...


class Pipeline:
    """Decides traces; keeps nothing between them but its settings.

    Args:
        detect: finds failure modes in traces; gets the time in ns and the traces' doubts, gives
            the findings of each or what was raised on it.
        risk: the probability that the trace's answer is wrong.
        candidate: the sampling decision without arms; gets the root's W3C tracestate.
        tally: counts what came out, by how it ended.
        keep: the probability with which a trace in which nothing is found is stored, by its id; 0
            where this one is not.
    """

    def __init__(
        self,
        *,
        detect: Detects,
        risk: Callable[[Trace, Sequence[Finding]], float],
        candidate: Callable[[Trace, Sequence[Finding], float, int, str], Decision],
        tally: Tally,
        keep: Callable[[str], float] = lambda _: 1.0,
    ) -> None:
        self._detect = detect
        self._risk = risk
        self._candidate = candidate
        self._tally = tally
        self._keep = keep

    def decide(
        self,
        batch: Sequence[Input],
        *,
        now_ns: int,
        known: Mapping[str, int] = MappingProxyType({}),
        body: Body = lambda _: b"",
    ) -> list[Decided]:
        """Decide traces, in their order.

        Args:
            batch: the traces.
            now_ns: the time of the decision, ns since the epoch.
            known: the revisions that are stored of those that are known already.
            body: gives what is stored of a known trace.

        Returns:
            What to store of each. It never raises: what cannot be read is counted and said.
        """
        decided: list[Decided] = []
        for some in _handy(batch):
            opened = [self._open(given, known.get(given.trace_id), body) for given in some]
            decided += self._conclude(opened, now_ns)
        for each in decided:
            self._tally.add("traces_ended", each.end)
        return decided

    def _open(self, given: Input, known: int | None, body: Body) -> _Opened | Decided:
        """Read a trace's spans; where they come to nothing new, that is the decision."""
        try:
            return self._spans(given, known, body)
        except WireError as error:
            _log.warning("trace %s cannot be read and is left out: %s", given.trace_id, error)
            return Decided("failed", None, ())

    def _spans(self, given: Input, known: int | None, body: Body) -> _Opened | Decided:
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
        return _Opened(given, own, otlp, outcomes, revision)

    def _conclude(self, opened: Sequence[_Opened | Decided], now_ns: int) -> list[Decided]:
        """Read, detect and weigh, each step for all before the next one."""
        rest = [each for each in opened if isinstance(each, _Opened)]
        traces = read_traces([Given(e.spans, e.revision, e.incomplete) for e in rest])
        odd = [trace for e, trace in zip(rest, traces, strict=True) if e.given.doubts != 0]
        doubts = [e.given.doubts for e in rest if e.given.doubts != 0]
        found: Iterator[tuple[Finding, ...] | Exception]
        try:
            found = iter(self._detect(odd, now_ns, doubts))
        except Exception as error:  # noqa: BLE001 - said, and counted, for each trace
            found = iter([error] * len(odd))
        made = (
            self._decided(each, trace, () if each.given.doubts == 0 else next(found), now_ns)
            for each, trace in zip(rest, traces, strict=True)
        )
        return [each if isinstance(each, Decided) else next(made) for each in opened]

    def _decided(
        self, opened: _Opened, trace: Trace, found: tuple[Finding, ...] | Exception, now_ns: int
    ) -> Decided:
        """What to store of a trace; a detector that fails costs its findings, no more."""
        given = opened.given
        self._tally.add("traces_decided", given.reason)
        self._tally.add("spans_decided", "", len(opened.spans))
        if given.thinned:
            self._tally.add("spans_late", "", len(opened.spans))
        share = self._share(given) if _is_unremarkable(opened, trace, found) else 1.0
        if not share:
            return Decided("thinned", None, opened.outcomes)
        findings: tuple[Finding, ...] = ()
        risk = 0.5
        try:
            if isinstance(found, Exception):
                raise found
            findings = found
            risk = self._risk(trace, findings)
        except Exception:  # noqa: BLE001 (a bug there must not stop the chain or hide the trace)
            _log.exception("detection failed on trace %s; it is stored without", trace.trace_id)
            self._tally.add("detection_failed")
        record = self._record(opened, trace, findings, risk, now_ns)
        end = "revised" if opened.revision else "decided"
        return Decided(end, _for_all(record, share), opened.outcomes, 1.0 / share)

    def _share(self, given: Input) -> float:
        """Of traces like this one, if nothing is found in it, the share that is stored.

        0 where this one is not, which its id alone says, before anything of it is read.
        """
        return 0.0 if given.thinned else self._keep(given.trace_id)

    def _record(
        self,
        given: _Opened,
        trace: Trace,
        findings: tuple[Finding, ...],
        risk: float,
        now_ns: int,
    ) -> TraceRecord:
        root = next((s for s in given.spans if s.span_id == trace.root_id), None)
        state = root.trace_state if root is not None else ""
        return TraceRecord(
            trace_id=trace.trace_id,
            otlp=given.otlp,
            decision=self._candidate(trace, findings, risk, now_ns, state),
            findings=findings,
            revision=given.revision,
            workflow=trace.workflow,
            service=trace.service,
            release=trace.release,
            conversation_id=trace.conversation_id,
            user_id=trace.user_id,
            start_ns=trace.start_ns,
            end_ns=trace.end_ns,
            span_count=len(given.spans),
            reported_success=trace.reported_success,
            incomplete=trace.incomplete,
            request=trace.request[:_HEAD],
            answer=trace.answer[:_HEAD],
            response_ids=tuple([s.response_id for s in trace.spans if s.response_id]),
            keys=trace.keys,
            unread=trace.unread,
        )


def _is_unremarkable(opened: _Opened, trace: Trace, found: tuple[Finding, ...] | Exception) -> bool:
    """Whether a trace may be thinned: decided once and whole, nothing found, nothing known of it.

    Of spans that come after theirs was thinned, only what is found in them counts.
    """
    if isinstance(found, Exception) or found:
        return False
    if opened.given.thinned:
        return True
    return (
        not opened.revision
        and not opened.outcomes
        and not trace.incomplete
        and trace.reported_success
        and _SHADOW.isdisjoint(name for name, _ in trace.keys)
    )


def _for_all(record: TraceRecord, share: float) -> TraceRecord:
    """A record that counts for all traces of which a share is stored."""
    if share >= 1.0:
        return record
    decision = record.decision
    kept = msgspec.structs.replace(
        decision,
        upstream=decision.upstream * share,
        reasons=(*decision.reasons, f"kept with probability {share:.6g}: nothing was found"),
    )
    return msgspec.structs.replace(record, decision=kept)


def _handy(batch: Sequence[Input]) -> Iterator[Sequence[Input]]:
    """The batch in pieces that are worked on together: what they hold stays in the CPU's caches."""
    begin = size = 0
    for at, given in enumerate(batch):
        size += sum(map(len, given.bodies))
        if at + 1 - begin >= _MOST or size >= _MOST_BYTES:
            yield batch[begin : at + 1]
            begin, size = at + 1, 0
    if begin < len(batch):
        yield batch[begin:]
