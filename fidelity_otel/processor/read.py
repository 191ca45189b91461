"""The spans of a trace, in any dialects, read into one `Trace`.

Nothing here raises on what a trace holds: what cannot be read is counted in `Trace.unread`.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from fidelity_otel import semconv
from fidelity_otel.model import Span, Trace
from fidelity_otel.processor.dialects.merge import merged
from fidelity_otel.processor.dialects.span import read_spans
from fidelity_otel.processor.dialects.summary import (
    answer_of,
    keys_of,
    reported_success,
    request_of,
    top_of,
    workflow_of,
)
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.processor.wire import decode

__all__ = ["Given", "read_otlp", "read_trace", "read_traces"]

_START: Final = attrgetter("start_ns")


class Given(NamedTuple):
    """A trace to read: its spans in any order; of two with the same id the last ended one counts.

    `revision` is how often the trace was decided before, `incomplete` why spans may be missing
    ("idle", "evicted", …), as the assembler knows.
    """

    raw: Sequence[RawSpan]
    revision: int = 0
    incomplete: tuple[str, ...] = ()


def read_trace(
    raw: Sequence[RawSpan], *, revision: int = 0, incomplete: Sequence[str] = ()
) -> Trace:
    """Read one trace; see `Given`.

    Returns:
        The canonical trace, its spans in order of start. Carrier spans of outcomes are left out
        (`outcomes_of` reads them); a trace of nothing else has no spans.
    """
    return read_traces((Given(raw, revision, tuple(incomplete)),))[0]


def read_traces(given: Sequence[Given]) -> list[Trace]:
    """`read_trace` for several, all spans first: so one step's code stays in the CPU's caches."""
    read = [_spans_of(each.raw) for each in given]
    once = [(merged(spans), unread) for spans, unread in read]
    return [_trace_of(each, *found) for each, found in zip(given, once, strict=True)]


def _spans_of(raw: Sequence[RawSpan]) -> tuple[list[Span], int]:
    """The canonical spans in order of start, and how many values could not be read."""
    spans, unread = read_spans(_each_once(raw))
    spans.sort(key=_START)
    starts = [span.start_ns for span in spans]
    if len(set(starts)) < len(starts):  # seldom, and comparing more than a number costs
        spans.sort(key=lambda s: (s.start_ns, s.end_ns == 0, -s.end_ns, s.span_id))
    return spans, unread


def _trace_of(given: Given, spans: list[Span], unread: int) -> Trace:
    raw, revision, incomplete = given
    trace_id = raw[0].trace_id if raw else ""
    top, root_id = top_of(spans)
    if top is None:
        return Trace(trace_id, (), revision=revision, incomplete=incomplete, unread=unread)
    return Trace(
        trace_id=trace_id,
        spans=tuple(spans),
        root_id=root_id,
        workflow=workflow_of(top, spans),
        service=top.service,
        release=top.release or _first(spans, "release") or "",
        conversation_id=top.conversation_id or _first(spans, "conversation_id"),
        user_id=top.user_id or _first(spans, "user_id"),
        start_ns=spans[0].start_ns,
        end_ns=max([s.end_ns for s in spans]),
        request=request_of(top, spans),
        answer=answer_of(top, spans),
        keys=keys_of(spans),
        reported_success=reported_success(top),
        incomplete=incomplete,
        unread=unread,
        revision=revision,
    )


def read_otlp(otlp: bytes) -> Trace:
    """Read one trace from its stored body.

    Args:
        otlp: an ExportTraceServiceRequest with the spans of one trace, protobuf.

    Raises:
        WireError: the bytes are not an OTLP trace request.
    """
    return read_trace(decode(otlp))


def _each_once(raw: Sequence[RawSpan]) -> list[RawSpan]:
    kept: dict[str, RawSpan] = {}
    for span in raw:
        if span.name == semconv.FIDELITY_OUTCOME_SPAN:
            continue
        known = kept.get(span.span_id)
        if known is None or span.end_ns > known.end_ns:
            kept[span.span_id] = span
    return list(kept.values())


def _first(spans: Sequence[Span], field: str) -> str | None:
    for span in spans:
        value: str | None = getattr(span, field)
        if value:
            return value
    return None
