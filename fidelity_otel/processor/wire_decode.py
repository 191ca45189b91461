"""Spans as plain values: what is done once, when a trace is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from fidelity_otel.errors import WireError
from fidelity_otel.model import Event, Link
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.processor.wire_schema import LEAN_REQUEST

__all__ = ["decode"]

_NO_PARENT: Final = (b"", bytes(8))
_SMALL: Final = 96  # bytes of a key-value pair that is worth remembering
_MOST: Final = 50_000
_seen: dict[bytes, tuple[str, Any]] = {}


def decode(otlp: bytes) -> list[RawSpan]:
    """Read every span of a request into plain Python values.

    Args:
        otlp: an ExportTraceServiceRequest or TracesData, protobuf (they are the same on the wire).

    Returns:
        The spans in the order of the bytes. Ids are lower-case hex, times nanoseconds.

    Raises:
        WireError: the bytes are not an OTLP trace request.
    """
    found: list[RawSpan] = []
    try:
        for resource in LEAN_REQUEST.FromString(otlp).resources:
            attributes = _attributes(resource.resource.attributes)
            for scope in resource.scopes:
                name, version = scope.scope.name, scope.scope.version
                found.extend(_span(span, attributes, name, version) for span in scope.spans)
    except (DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"not an OTLP trace request: {error}") from None
    return found


def _span(span: Any, resource: dict[str, Any], scope: str, version: str) -> RawSpan:
    parent, status = span.parent_span_id, span.status
    events, links = span.events, span.links
    return RawSpan(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.name,
        None if parent in _NO_PARENT else parent.hex(),
        span.kind,
        span.start,
        span.end,
        status.code,
        status.message,
        _attributes(span.attributes),
        tuple(Event(e.name, e.time, _attributes(e.attributes)) for e in events) if events else (),
        tuple(Link(n.trace_id.hex(), n.span_id.hex(), _attributes(n.attributes)) for n in links)
        if links
        else (),
        resource,
        scope,
        version,
        span.trace_state,
        span.flags,
    )


def _attributes(pairs: Iterable[bytes]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for raw in pairs:
        if len(raw) < _SMALL:
            pair = _seen.get(raw)
            if pair is None:
                pair = _remembered(raw)
        else:
            pair = _text(raw) or _any(raw)
        out[pair[0]] = pair[1]
    return out


def _remembered(raw: bytes) -> tuple[str, Any]:
    pair = _text(raw) or _any(raw)
    if not isinstance(pair[1], list | dict):  # those could be changed by who reads them
        if len(_seen) >= _MOST:
            _seen.clear()
        _seen[raw] = pair
    return pair


def _text(raw: bytes) -> tuple[str, str] | None:
    """A pair whose value is a text and which is written as every exporter writes it, else None.

    That is: key (field 1), then value (field 2) that holds a text (field 1) and nothing else.
    """
    try:
        if raw[0] != 0x0A:  # noqa: PLR2004
            return None
        end = 2 + raw[1]
        if raw[1] > 0x7F or raw[end] != 0x12:  # noqa: PLR2004
            return None
        size, at = _varint(raw, end + 1)
        if at + size != len(raw) or raw[at] != 0x0A:  # noqa: PLR2004
            return None
        size, at = _varint(raw, at + 1)
    except IndexError:
        return None
    if at + size != len(raw):
        return None
    return raw[2:end].decode(), raw[at:].decode()


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    byte = raw[at]
    if byte < 0x80:  # noqa: PLR2004
        return byte, at + 1
    number, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return number, at + 1
        shift += 7


def _any(raw: bytes) -> tuple[str, Any]:
    pair = KeyValue.FromString(raw)
    return pair.key, _value(pair.value)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else _READ[kind](value)


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "string_value": lambda v: v.string_value,
    "bool_value": lambda v: v.bool_value,
    "int_value": lambda v: v.int_value,
    "double_value": lambda v: v.double_value,
    "bytes_value": lambda v: v.bytes_value,
    "array_value": lambda v: [_value(item) for item in v.array_value.values],
    "kvlist_value": lambda v: {pair.key: _value(pair.value) for pair in v.kvlist_value.values},
    # An index into a string table that trace requests do not have (profiles only).
    "string_value_strindex": lambda v: None,  # noqa: ARG005
}
