"""OTLP bytes ↔ traces: the only door between protobuf and the rest of the service.

`split` takes a request apart by trace id without decoding attributes: each trace's part is itself a
valid request, so that joining parts is concatenation. `decode` reads a trace's body into plain
values, once, when the trace is decided. A trace's body everywhere in this project is an
`ExportTraceServiceRequest` that holds the spans of one trace.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fidelity_otel import semconv
from fidelity_otel.errors import WireError
from fidelity_otel.processor import wire_scan
from fidelity_otel.processor.wire_decode import decode
from fidelity_otel.processor.wire_json import from_json, to_json
from fidelity_otel.processor.wire_schema import SHADOW_REQUEST, length_prefixed

__all__ = ["Batch", "Part", "decode", "from_json", "join", "scan", "split", "to_json"]

_MARKER = semconv.FIDELITY_COMPLETE.encode()
_CARRIER = semconv.FIDELITY_OUTCOME_SPAN
_NO_PARENT = (b"", bytes(8))
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_ITEMS = b"\x12"  # field 2, length-delimited: scope_spans of a resource, spans of a scope


class Part(NamedTuple):
    """What one request holds of one trace.

    `span_ids` are the spans' ids behind one another, 8 bytes each. `root`: a span without parent
    has ended here. `complete`: a span carries the completion marker. `carrier`: nothing but carrier
    spans of late outcomes.
    """

    trace_id: bytes
    span_ids: bytes
    otlp: bytes
    root: bool
    complete: bool
    carrier: bool


class Batch(NamedTuple):
    """A request taken apart: parts by trace, in order of appearance, and what was refused."""

    parts: list[Part]
    spans: int
    rejected: int
    reason: str


class _Group:
    """A trace's spans under one scope while a request is read."""

    __slots__ = ("carrier", "complete", "ids", "pieces", "root", "size")

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        self.pieces: list[bytes] = []
        self.size = 0
        self.root = False
        self.complete = False
        self.carrier = True


def scan(body: bytes) -> tuple[Any, Any]:
    """A request as (decoded, shadow) message of the same shape.

    Raises:
        WireError: the body is not an OTLP trace request, or is one only in part.
    """
    try:
        return ExportTraceServiceRequest.FromString(body), SHADOW_REQUEST.FromString(body)
    except DecodeError as error:
        raise WireError(f"not an OTLP trace request: {error}") from None


def _salvage(body: bytes) -> tuple[Any, Any, int]:
    """`scan`, or, where a span cannot be decoded, the request without such spans and their count.

    Raises:
        WireError: nothing of the body can be kept.
    """
    try:
        return *scan(body), 0
    except WireError as error:
        refused = error
    try:
        shadow = SHADOW_REQUEST.FromString(body)
    except DecodeError:
        raise refused from None
    bad = 0
    for resource in shadow.resources:
        for scope in resource.scopes:
            good = [raw for raw in scope.items if _decodes(raw)]
            bad += len(scope.items) - len(good)
            del scope.items[:]
            scope.items.extend(good)
    mended = shadow.SerializeToString()
    kept, again = scan(mended)
    if not any(scope.items for resource in again.resources for scope in resource.scopes):
        raise refused
    return kept, again, bad


def _decodes(raw: bytes) -> bool:
    try:
        Span.FromString(raw)
    except DecodeError:
        return False
    return True


def split(body: bytes, *, limit: int = 1 << 30) -> Batch:
    """Take a request apart by trace id; attributes stay encoded.

    Args:
        body: an ExportTraceServiceRequest, protobuf.
        limit: most bytes of all parts together. A resource is repeated in the part of each trace,
            so a hostile request can grow; real ones stay far below.

    Returns:
        The parts. Spans whose ids are not 16 and 8 bytes, or are all zero, and spans that cannot be
        decoded are refused and counted; the rest is kept (OTLP partial success).

    Raises:
        WireError: the body is not an OTLP trace request, or grows past `limit`.
    """
    scanned = wire_scan.split(body, limit)
    if scanned is not None:
        whole = [Part(*part) for part in scanned]
        return Batch(whole, sum(len(part.span_ids) for part in whole) // 8, 0, "")
    decoded, shadow, undecodable = _salvage(body)
    traces: dict[bytes, list[tuple[bytes, bytes, _Group]]] = {}
    unidentified = spans = grown = 0
    for resource, resource_shadow in zip(decoded.resource_spans, shadow.resources, strict=True):
        scopes: list[tuple[bytes, dict[bytes, _Group]]] = []
        for scope, scope_shadow in zip(resource.scope_spans, resource_shadow.scopes, strict=True):
            groups, refused = _group(scope.spans, scope_shadow.items)
            unidentified += refused
            if groups:
                scope_shadow.ClearField("items")
                scopes.append((scope_shadow.SerializeToString(), groups))
        if not scopes:
            continue
        resource_shadow.ClearField("scopes")
        envelope = resource_shadow.SerializeToString()
        for scope_envelope, groups in scopes:
            overhead = len(envelope) + len(scope_envelope)
            for trace_id, group in groups.items():
                spans += len(group.ids)
                grown += overhead + group.size
                traces.setdefault(trace_id, []).append((envelope, scope_envelope, group))
        if grown > limit:
            raise WireError(
                f"the request grows past {limit} bytes when it is taken apart by trace: its "
                f"resource of {len(envelope)} bytes is repeated for {len(traces)} traces. Mend: "
                "smaller resource attributes, or fewer traces a request."
            )
    reasons = [
        f"{count} {why}"
        for count, why in (
            (undecodable, "spans could not be decoded"),
            (unidentified, "spans have a trace id or span id that is empty, zero or of wrong size"),
        )
        if count
    ]
    parts = [_part(trace_id, found) for trace_id, found in traces.items()]
    return Batch(parts, spans, undecodable + unidentified, "; ".join(reasons))


def _group(spans: Iterable[Any], items: Iterable[bytes]) -> tuple[dict[bytes, _Group], int]:
    groups: dict[bytes, _Group] = {}
    refused = 0
    for span, raw in zip(spans, items, strict=True):
        trace_id, span_id = span.trace_id, span.span_id
        if (
            len(trace_id) != 16  # noqa: PLR2004
            or len(span_id) != 8  # noqa: PLR2004
            or trace_id == _NO_TRACE
            or span_id == _NO_SPAN
        ):
            refused += 1
            continue
        group = groups.get(trace_id)
        if group is None:
            group = groups[trace_id] = _Group()
        group.ids.append(span_id)
        size = length_prefixed(len(raw))
        group.pieces += (_ITEMS, size, raw)
        group.size += 1 + len(size) + len(raw)
        carrier = span.name == _CARRIER
        if not carrier:
            group.carrier = False
        if span.parent_span_id in _NO_PARENT and span.end_time_unix_nano:
            group.root = True
        if _MARKER in raw and _marked(span):
            group.complete = True
    return groups, refused


def _marked(span: Any) -> bool:
    return any(a.key == semconv.FIDELITY_COMPLETE and a.value.bool_value for a in span.attributes)


def _part(trace_id: bytes, found: list[tuple[bytes, bytes, _Group]]) -> Part:
    pieces: list[bytes] = []
    for envelope, scope_envelope, group in found:
        scope_size = len(scope_envelope) + group.size
        scope_head = _ITEMS + length_prefixed(scope_size)
        size = len(envelope) + len(scope_head) + scope_size
        pieces += (b"\x0a", length_prefixed(size), envelope, scope_head, scope_envelope)
        pieces += group.pieces
    first = found[0][2]
    if len(found) == 1:
        ids = b"".join(first.ids)
        return Part(trace_id, ids, b"".join(pieces), first.root, first.complete, first.carrier)
    groups = [group for _, _, group in found]
    return Part(
        trace_id,
        b"".join(i for group in groups for i in group.ids),
        b"".join(pieces),
        any(group.root for group in groups),
        any(group.complete for group in groups),
        all(group.carrier for group in groups),
    )


def join(bodies: Iterable[bytes]) -> bytes:
    """Put parts of one trace together: one entry a resource and scope, each span once.

    Of two spans with the same id the one that has ended stays, else the first. Span bytes are
    copied untouched, unknown fields included.

    Raises:
        WireError: a part is not an OTLP trace request.
    """
    body = b"".join(bodies)
    decoded, shadow = scan(body)
    ended: dict[tuple[bytes, bytes], bool] = {}
    merged: dict[bytes, dict[bytes, dict[tuple[bytes, bytes], bytes]]] = {}
    place: dict[tuple[bytes, bytes], dict[tuple[bytes, bytes], bytes]] = {}
    for resource, resource_shadow in zip(decoded.resource_spans, shadow.resources, strict=True):
        scopes = list(zip(resource.scope_spans, resource_shadow.scopes, strict=True))
        contents = [(scope.spans, list(under.items), under) for scope, under in scopes]
        envelopes: list[bytes] = []
        for _, _, under in contents:
            under.ClearField("items")
            envelopes.append(under.SerializeToString())
        resource_shadow.ClearField("scopes")
        target = merged.setdefault(resource_shadow.SerializeToString(), {})
        for (spans, items, _), envelope in zip(contents, envelopes, strict=True):
            into = target.setdefault(envelope, {})
            for span, raw in zip(spans, items, strict=True):
                key = (span.trace_id, span.span_id)
                has_ended = span.end_time_unix_nano != 0
                if key not in ended:
                    into[key] = raw
                    place[key] = into
                    ended[key] = has_ended
                elif has_ended and not ended[key]:
                    place[key][key] = raw
                    ended[key] = True
    return b"".join(
        b"\x0a" + length_prefixed(len(inner)) + inner
        for envelope, scopes in merged.items()
        if (inner := _resource(envelope, scopes)) is not None
    )


def _resource(
    envelope: bytes, scopes: dict[bytes, dict[tuple[bytes, bytes], bytes]]
) -> bytes | None:
    pieces = [envelope]
    for scope_envelope, spans in scopes.items():
        if not spans:
            continue
        inner = scope_envelope + b"".join(
            _ITEMS + length_prefixed(len(raw)) + raw for raw in spans.values()
        )
        pieces += (_ITEMS, length_prefixed(len(inner)), inner)
    return b"".join(pieces) if len(pieces) > 1 else None
