"""Spans as the bytes of an OTLP ExportTraceServiceRequest, written directly.

Field numbers are those of opentelemetry-proto 1.x: `trace/v1/trace.proto`,
`common/v1/common.proto` and `resource/v1/resource.proto`. A test parses what this writes with the
generated classes and compares it with what the stock exporter writes, field by field.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from fidelity_otel.sdk.lean import LeanSpan

__all__ = ["Encoded", "Request", "encode_request", "encode_span"]

_HAS_REMOTE: Final = 0x100  # SpanFlags: whether the parent is remote is known …
_IS_REMOTE: Final = 0x200  # … and it is
_FIXED64: Final = struct.Struct("<Q").pack
_FIXED32: Final = struct.Struct("<I").pack
_DOUBLE: Final = struct.Struct("<d").pack
_STATUS: Final = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}
_INTERNAL: Final = b"\x30" + bytes((SpanKind.INTERNAL.value + 1,))
_RESOURCE, _EVENT, _LINK, _SPAN = 1, 3, 4, 9  # fields of attributes; a scope's is an event's
_KEYS: dict[str, bytes] = {}
_KEYS_LIMIT: Final = 4096
_KEPT: Final[dict[int, dict[type, dict[str, dict[Any, bytes]]]]] = {
    field: {kind: {} for kind in (str, int, float, bool)}
    for field in (_RESOURCE, _EVENT, _LINK, _SPAN)
}
"""Short attributes as they were written before: field number → type → key → value → bytes."""
_KEPT_KEYS: Final = 128
_KEPT_VALUES: Final = 64
_SHORT: Final = 48
_ONE_BYTE: Final = 0x80
_MASK64: Final = (1 << 64) - 1
_PIECE: Final = 96 << 10

Encoded = tuple[Any, Any, bytes]
"""A span's resource and scope, and its `Span` message."""


def encode_request(spans: Sequence[LeanSpan | ReadableSpan]) -> bytes:
    """One request with all spans, grouped by resource and scope as the stock exporter does.

    Args:
        spans: ended spans.
    """
    found = [(span.resource, span.instrumentation_scope, encode_span(span)) for span in spans]
    return b"".join(Request(found))


class Request:
    """The bytes of a request; iterated, they are joined anew, some tens of kilobytes at a time.

    One large text would be held beside all the small ones, and joining it would hold up other
    threads.

    Args:
        spans: encoded, each with its resource and scope.
    """

    def __init__(self, spans: Sequence[Encoded]) -> None:
        self._parts = list(_request(_grouped(spans)))
        self.size = sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of the request."""
        waiting: list[bytes] = []
        size = 0
        for part in self._parts:
            waiting.append(part)
            size += len(part)
            if size >= _PIECE:
                yield b"".join(waiting)
                waiting.clear()
                size = 0
        yield b"".join(waiting)


def _grouped(spans: Sequence[Encoded]) -> dict[Any, dict[Any, list[bytes]]]:
    """By resource and scope; equal ones are one, but to compare them takes long."""
    groups: dict[Any, dict[Any, list[bytes]]] = {}
    same: dict[tuple[int, int], list[bytes]] = {}
    for resource, scope, body in spans:
        known = same.get((id(resource), id(scope)))
        if known is None:
            known = groups.setdefault(resource, {}).setdefault(scope, [])
            same[id(resource), id(scope)] = known
        known.append(body)
    return groups


def _request(groups: Mapping[Any, Mapping[Any, list[bytes]]]) -> Iterable[bytes]:
    for resource, scopes in groups.items():
        first = _message(1, _attributes(_RESOURCE, resource.attributes))
        last = _text(3, resource.schema_url)
        inside = [_in_scope(scope, bodies) for scope, bodies in scopes.items()]
        size = len(first) + len(last)
        for parts, length in inside:
            size += 1 + len(_varint(length)) + length
            parts[0] = b"\x12" + _varint(length) + parts[0]
        yield b"\x0a" + _varint(size) + first
        for parts, _ in inside:
            yield from parts
        yield last


def _in_scope(scope: Any, bodies: list[bytes]) -> tuple[list[bytes], int]:
    """The parts of a `ScopeSpans` message and its length."""
    parts = [_message(1, _scope(scope))]
    for body in bodies:
        length = len(body)
        parts.extend((b"\x12" + (_VARINTS[length] if length < _TABLE else _varint(length)), body))
    parts.append(_text(3, scope.schema_url if scope is not None else None))
    return parts, sum(map(len, parts))


def encode_span(span: LeanSpan | ReadableSpan) -> bytes:
    """One `Span` message, without its own tag and length."""
    if isinstance(span, LeanSpan):
        trace_id, span_id, parent = span.trace_id, span.span_id, span.parent
        state = None if parent is None else parent.trace_state
        events: Iterable[tuple[str, int, Any]] = span.event_list or ()
        links, status = span.link_list, span.status
        attributes: Mapping[str, Any] = span.held
    else:
        context = span.context
        assert context is not None
        trace_id, span_id, parent = context.trace_id, context.span_id, span.parent
        state = context.trace_state
        events = [(e.name, e.timestamp, e.attributes) for e in span.events]
        links, status = span.links, span.status
        attributes = span.attributes or {}
    kind = span.kind
    parts = [
        b"\x0a\x10" + trace_id.to_bytes(16, "big") + b"\x12\x08" + span_id.to_bytes(8, "big"),
        _text(3, _state(state)) if state else b"",
        b"" if parent is None else b"\x22\x08" + parent.span_id.to_bytes(8, "big"),
        _text(5, span.name),
        _INTERNAL if kind is SpanKind.INTERNAL else b"\x30" + bytes((kind.value + 1,)),
        b"\x39" + _FIXED64(span.start_time) if span.start_time else b"",
        b"\x41" + _FIXED64(span.end_time) if span.end_time else b"",
    ]
    _add_attributes(parts, _SPAN, attributes)
    if dropped := span.dropped_attributes:
        parts.append(_number(0x50, dropped))
    parts.extend([_message(11, _event(*event)) for event in events])
    if dropped := span.dropped_events:
        parts.append(_number(0x60, dropped))
    parts.extend([_message(13, _link(link)) for link in links])
    if dropped := span.dropped_links:
        parts.append(_number(0x70, dropped))
    parts.extend(
        (
            b"\x7a\x00" if status is None else _message(15, _status(status)),
            b"\x85\x01" + _FIXED32(_flags(parent)),
        )
    )
    return b"".join(parts)


def _flags(context: SpanContext | None) -> int:
    return _HAS_REMOTE | (_IS_REMOTE if context is not None and context.is_remote else 0)


def _status(status: Any) -> bytes:
    code = _STATUS[status.status_code]
    return _text(2, status.description) + (b"" if not code else bytes((0x18, code)))


def _event(name: str, at: int, attributes: Any) -> bytes:
    head = b"\x09" + _FIXED64(at) if at else b""
    dropped = getattr(attributes, "dropped", 0)
    held = _attributes(_EVENT, attributes or {})
    return head + _text(2, name) + held + _number(0x20, dropped)


def _link(link: Any) -> bytes:
    context = link.context
    return b"".join(
        (
            b"\x0a\x10" + context.trace_id.to_bytes(16, "big"),
            b"\x12\x08" + context.span_id.to_bytes(8, "big"),
            _attributes(_LINK, link.attributes or {}),
            _number(0x28, link.dropped_attributes),
            b"\x35" + _FIXED32(_flags(context)),
        )
    )


def _scope(scope: Any) -> bytes:
    if scope is None:
        return b""
    named = _text(1, scope.name) + _text(2, scope.version)
    return named + _attributes(_EVENT, getattr(scope, "attributes", None) or {})


def _state(state: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in state.items())


# --- attributes ----------------------------------------------------------------------------------


def _attributes(field: int, attributes: Mapping[str, Any]) -> bytes:
    """Each attribute as a KeyValue message in a field whose tag is one byte."""
    parts: list[bytes] = []
    _add_attributes(parts, field, attributes)
    return b"".join(parts)


def _add_attributes(parts: list[bytes], field: int, attributes: Mapping[str, Any]) -> None:
    """The same, appended; long texts are parts of their own, so as not to be copied twice."""
    kept = _KEPT[field]
    texts = kept[str]
    tag = bytes((field << 3 | 2,))
    add = parts.append
    for key, value in attributes.items():
        kind = type(value)
        if kind is str and len(value) > _SHORT:
            data = _utf8(value)
            length = len(data)
            inner = b"\x0a" + (_VARINTS[length] if length < _TABLE else _varint(length))
        else:
            before = texts if kind is str else kept.get(kind)
            known = None if before is None else before.get(key)
            if known is not None and (whole := known.get(value)) is not None:
                add(whole)
                continue
            data, length, inner = b"", 0, _value(value)
        size = len(inner) + length
        head = b"%b\x12%b%b" % (
            _KEYS.get(key) or _key(key),
            _VARINTS[size] if size < _TABLE else _varint(size),
            inner,
        )
        size = len(head) + length
        whole = tag + (_VARINTS[size] if size < _TABLE else _varint(size)) + head
        add(whole)
        if data:
            add(data)
        elif value and kind in kept:  # 0.0 is equal to -0.0
            _keep(kept[kind], key, value, whole)


def _keep(before: dict[str, dict[Any, bytes]], key: str, value: Any, whole: bytes) -> None:
    """Keep an attribute as it was written: applications use few keys, and few values of most."""
    known = before.get(key)
    if known is None:
        if len(before) >= _KEPT_KEYS:
            return
        known = before[key] = {}
    elif len(known) >= _KEPT_VALUES:
        known.clear()
    known[value] = whole


def _key(key: str) -> bytes:
    """Field 1 of a KeyValue; kept, as applications use few keys."""
    encoded = _text(1, key)
    if len(_KEYS) < _KEYS_LIMIT:
        _KEYS[key] = encoded
    return encoded


def _value(value: Any) -> bytes:
    """An AnyValue."""
    if isinstance(value, str):
        data = _utf8(value)
        return b"\x0a" + _varint(len(data)) + data
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & _MASK64)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE(value)
    if isinstance(value, bytes):
        return b"\x3a" + _varint(len(value)) + value
    if isinstance(value, Sequence):
        return _message(5, b"".join(_message(1, _value(v)) for v in value))
    if isinstance(value, Mapping):
        return _message(6, _attributes(1, {str(k): v for k, v in value.items()}))
    return b""


# --- wire ----------------------------------------------------------------------------------------


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates
        return text.encode("utf-8", "replace")


def _varint(value: int) -> bytes:
    if value < _ONE_BYTE:
        return bytes((value,))
    out = bytearray()
    while value >= _ONE_BYTE:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_TABLE: Final = 4096
_VARINTS: Final = tuple(_varint(n) for n in range(_TABLE))


def _number(tag: int, value: int) -> bytes:
    return bytes((tag,)) + _varint(value) if value else b""


def _text(field: int, text: str | None) -> bytes:
    if not text:
        return b""
    data = _utf8(text)
    return bytes((field << 3 | 2,)) + _varint(len(data)) + data


def _message(field: int, body: bytes | bytearray) -> bytes:
    return bytes((field << 3 | 2,)) + _varint(len(body)) + body
