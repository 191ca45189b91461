"""Two schemas of our own for OTLP's bytes, because what isn't looked at need not be decoded.

*Shadow*: `spans` is redeclared as `repeated bytes`, so that a request can be taken apart and put
together again without decoding or copying what it carries. *Lean*: everything is decoded but
attributes, which stay bytes: most of them are the same few key-value pairs over and over, and a
table of those already seen is faster than any decoder.

Field numbers are those of `opentelemetry/proto/trace/v1/trace.proto`, 1.x. Unknown fields survive
in shadow messages; lean ones are only read.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["LEAN_REQUEST", "SHADOW_REQUEST", "field", "length_prefixed", "varint"]

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_BYTES: Final = _FIELD.TYPE_BYTES
_STRING: Final = _FIELD.TYPE_STRING
_INT32: Final = _FIELD.TYPE_INT32
_FIXED64: Final = _FIELD.TYPE_FIXED64
_FIXED32: Final = _FIELD.TYPE_FIXED32
_PACKAGE: Final = "fidelity_otel.wire"

# Message → its fields: (name, number, type or message), a star before the name for repeated ones.
_MESSAGES: Final[dict[str, tuple[tuple[str, int, int | str], ...]]] = {
    "ShadowScope": (("scope", 1, _BYTES), ("*items", 2, _BYTES), ("schema_url", 3, _BYTES)),
    "ShadowResource": (
        ("resource", 1, _BYTES),
        ("*scopes", 2, "ShadowScope"),
        ("schema_url", 3, _BYTES),
    ),
    "ShadowRequest": (("*resources", 1, "ShadowResource"),),
    "Event": (("time", 1, _FIXED64), ("name", 2, _STRING), ("*attributes", 3, _BYTES)),
    "Link": (("trace_id", 1, _BYTES), ("span_id", 2, _BYTES), ("*attributes", 4, _BYTES)),
    "Status": (("message", 2, _STRING), ("code", 3, _INT32)),
    "Span": (
        ("trace_id", 1, _BYTES),
        ("span_id", 2, _BYTES),
        ("trace_state", 3, _STRING),
        ("parent_span_id", 4, _BYTES),
        ("name", 5, _STRING),
        ("kind", 6, _INT32),
        ("start", 7, _FIXED64),
        ("end", 8, _FIXED64),
        ("*attributes", 9, _BYTES),
        ("*events", 11, "Event"),
        ("*links", 13, "Link"),
        ("status", 15, "Status"),
        ("flags", 16, _FIXED32),
    ),
    "ScopeName": (("name", 1, _STRING), ("version", 2, _STRING)),
    "Scope": (("scope", 1, "ScopeName"), ("*spans", 2, "Span")),
    "ResourceName": (("*attributes", 1, _BYTES),),
    "Resource": (("resource", 1, "ResourceName"), ("*scopes", 2, "Scope")),
    "LeanRequest": (("*resources", 1, "Resource"),),
}


def _build() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="fidelity_otel/wire.proto", package=_PACKAGE, syntax="proto3"
    )
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for name, number, kind in fields:
            nested = isinstance(kind, str)
            made.field.add(
                name=name.removeprefix("*"),
                number=number,
                label=_FIELD.LABEL_REPEATED if name[0] == "*" else _FIELD.LABEL_OPTIONAL,
                type=_FIELD.TYPE_MESSAGE if nested else kind,
                type_name=f".{_PACKAGE}.{kind}" if nested else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL: Final = _build()


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


SHADOW_REQUEST: Final = _message("ShadowRequest")
LEAN_REQUEST: Final = _message("LeanRequest")


def varint(number: int) -> bytes:
    """A non-negative integer as protobuf writes it, seven bits a byte."""
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SHORT = tuple(varint(n) for n in range(1 << 14))


def length_prefixed(size: int) -> bytes:
    """The length of a field as a varint; a table look-up for the sizes that spans have."""
    return _SHORT[size] if size < len(_SHORT) else varint(size)


def field(number: int, payload: bytes) -> bytes:
    """One length-delimited field (number below 16): tag, length, payload."""
    return bytes((number << 3 | 2,)) + length_prefixed(len(payload)) + payload
