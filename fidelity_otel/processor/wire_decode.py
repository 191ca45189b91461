"""Spans as plain values: what is done once, when a trace is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from fidelity_otel.errors import WireError
from fidelity_otel.model import Event, Link
from fidelity_otel.processor import wire_scan
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.processor.wire_schema import LEAN_REQUEST, varint

__all__ = ["decode"]

_NO_PARENT: Final = (b"", bytes(8))
_SMALL: Final = 96  # bytes of a key-value pair that is worth remembering
_MOST: Final = 50_000


def decode(otlp: bytes) -> list[RawSpan]:
    """Read every span of a request into plain Python values.

    Args:
        otlp: an ExportTraceServiceRequest or TracesData, protobuf (they are the same on the wire).

    Returns:
        The spans in the order of the bytes. Ids are lower-case hex, times nanoseconds.

    Raises:
        WireError: the bytes are not an OTLP trace request.
    """
    scanned = wire_scan.decode(otlp)
    if scanned is not None:
        return scanned
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


class _Seen(dict[bytes, tuple[str, Any]]):
    """Key-value pairs by their bytes; what is missing is read, and remembered where it is small."""

    def __missing__(self, raw: bytes) -> tuple[str, Any]:
        pair = _text(raw) or _any(raw)
        # Lists and dicts could be changed by who reads them.
        if len(raw) < _SMALL and not isinstance(pair[1], list | dict):
            if len(self) >= _MOST:
                self.clear()
            self[raw] = pair
        return pair


_seen: Final = _Seen()
_heads: Final[dict[int, bytes]] = {}


def _attributes(pairs: Iterable[bytes]) -> dict[str, Any]:
    return dict(map(_seen.__getitem__, pairs))


def _text(raw: bytes) -> tuple[str, str] | None:
    """A pair whose value is a text and which is written as every exporter writes it, else None.

    That is: key (field 1), then value (field 2) that holds a text (field 1) and nothing else. How
    long the rest is says what stands before the text.
    """
    if len(raw) < 3 or raw[0] != 0x0A or raw[1] > 0x7F:  # noqa: PLR2004
        return None
    end = 2 + raw[1]
    rest = len(raw) - end
    head = _heads.get(rest)
    if head is None:
        head = _head(rest)
    if not head or not raw.startswith(head, end):
        return None
    return raw[2:end].decode(), raw[end + len(head) :].decode()


def _head(rest: int) -> bytes:
    """What stands before a text in a value field of so many bytes; empty where there is no such."""
    inner = _within(rest)
    size = None if inner is None else _within(inner)
    head = b""
    if inner is not None and size is not None:
        head = b"\x12" + varint(inner) + b"\x0a" + varint(size)
    if len(_heads) >= _MOST:
        _heads.clear()
    _heads[rest] = head
    return head


def _within(field: int) -> int | None:
    """The size of what a length-delimited field of so many bytes holds."""
    for width in range(1, 6):
        size = field - 1 - width
        if size >= 0 and len(varint(size)) == width:
            return size
    return None


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
