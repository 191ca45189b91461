"""Spans as the bytes of an OTLP ExportTraceServiceRequest, written directly.

Field numbers are those of opentelemetry-proto 1.x: `trace/v1/trace.proto`,
`common/v1/common.proto` and `resource/v1/resource.proto`. A test parses what this writes with the
generated classes and compares it with what the stock exporter writes, field by field.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode

from fidelity_otel.sdk.lean import LeanSpan

__all__ = ["encode_request", "encode_span"]

_HAS_REMOTE: Final = 0x100  # SpanFlags: whether the parent is remote is known …
_IS_REMOTE: Final = 0x200  # … and it is
_FIXED64: Final = struct.Struct("<Q").pack
_FIXED32: Final = struct.Struct("<I").pack
_DOUBLE: Final = struct.Struct("<d").pack
_STATUS: Final = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}
_KEYS: dict[str, bytes] = {}
_KEYS_LIMIT: Final = 4096
_WHOLE: dict[tuple[str, type, Any], bytes] = {}  # short attributes as they were written before
_SHORT: Final = 48
_SLICE: Final = 32
_ONE_BYTE: Final = 0x80
_MASK64: Final = (1 << 64) - 1


def encode_request(
    spans: Sequence[LeanSpan | ReadableSpan], rest: Callable[[], object] = bool
) -> bytes:
    """One request with all spans, grouped by resource and scope as the stock exporter does.

    Args:
        spans: ended spans.
        rest: called now and then, so that other threads get their turn.
    """
    grouped: dict[Any, dict[Any, list[bytes]]] = {}
    for number, span in enumerate(spans):
        if number % _SLICE == _SLICE - 1:
            rest()
        scopes = grouped.setdefault(span.resource, {})
        scopes.setdefault(span.instrumentation_scope, []).append(encode_span(span))
    out = bytearray()
    for resource, scopes in grouped.items():
        body = bytearray(_message(1, _attributes(1, resource.attributes)))
        for scope, encoded in scopes.items():
            inner = bytearray(_message(1, _scope(scope)))
            for one in encoded:
                inner += _message(2, one)
            inner += _text(3, scope.schema_url if scope is not None else None)
            body += _message(2, inner)
        body += _text(3, resource.schema_url)
        out += _message(1, body)
    return bytes(out)


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
    parts = [
        b"\x0a\x10",
        trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        span_id.to_bytes(8, "big"),
        _text(3, _state(state)) if state else b"",
        b"" if parent is None else b"\x22\x08" + parent.span_id.to_bytes(8, "big"),
        _text(5, span.name),
        b"\x30",
        bytes((span.kind.value + 1,)),
        b"\x39" + _FIXED64(span.start_time) if span.start_time else b"",
        b"\x41" + _FIXED64(span.end_time) if span.end_time else b"",
        _attributes(9, attributes),
        _number(0x50, span.dropped_attributes),
        *(_message(11, _event(*event)) for event in events),
        _number(0x60, span.dropped_events),
        *(_message(13, _link(link)) for link in links),
        _number(0x70, span.dropped_links),
        b"\x7a\x00" if status is None else _message(15, _status(status)),
        b"\x85\x01",
        _FIXED32(_flags(parent)),
    ]
    return b"".join(parts)


def _flags(context: SpanContext | None) -> int:
    return _HAS_REMOTE | (_IS_REMOTE if context is not None and context.is_remote else 0)


def _status(status: Any) -> bytes:
    code = _STATUS[status.status_code]
    return _text(2, status.description) + (b"" if not code else bytes((0x18, code)))


def _event(name: str, at: int, attributes: Any) -> bytes:
    head = b"\x09" + _FIXED64(at) if at else b""
    dropped = getattr(attributes, "dropped", 0)
    return head + _text(2, name) + _attributes(3, attributes or {}) + _number(0x20, dropped)


def _link(link: Any) -> bytes:
    context = link.context
    return b"".join(
        (
            b"\x0a\x10" + context.trace_id.to_bytes(16, "big"),
            b"\x12\x08" + context.span_id.to_bytes(8, "big"),
            _attributes(4, link.attributes or {}),
            _number(0x28, link.dropped_attributes),
            b"\x35" + _FIXED32(_flags(context)),
        )
    )


def _scope(scope: Any) -> bytes:
    if scope is None:
        return b""
    named = _text(1, scope.name) + _text(2, scope.version)
    return named + _attributes(3, getattr(scope, "attributes", None) or {})


def _state(state: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in state.items())


# --- attributes ----------------------------------------------------------------------------------


def _attributes(field: int, attributes: Mapping[str, Any]) -> bytes:
    """Each attribute as a KeyValue message in a field whose tag is one byte."""
    tag = bytes((field << 3 | 2,))
    parts: list[bytes] = []
    add = parts.append
    for key, value in attributes.items():
        kind = type(value)
        short = kind is bool or (kind is str and len(value) <= _SHORT)
        if short and (whole := _WHOLE.get((key, kind, value))) is not None:
            add(tag)
            add(whole)
            continue
        if kind is str:
            data = _utf8(value)
            size = _VARINTS[len(data)] if len(data) < _TABLE else _varint(len(data))
            inner = b"\x0a" + size + data
        else:
            inner = _value(value)
        length = len(inner)
        body = b"\x12" + (_VARINTS[length] if length < _TABLE else _varint(length)) + inner
        name = _KEYS.get(key) or _key(key)
        add(tag)
        if short:
            whole = _varint(len(name) + len(body)) + name + body
            if len(_WHOLE) >= _KEYS_LIMIT:
                _WHOLE.clear()
            _WHOLE[key, kind, value] = whole
            add(whole)
        else:
            length = len(name) + len(body)
            add(_VARINTS[length] if length < _TABLE else _varint(length))
            add(name)
            add(body)
    return b"".join(parts)


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
