"""What is in a record, by kind; the layout is documented in the package's docstring."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = [
    "Spans",
    "pack_decided",
    "pack_spans",
    "pack_spans_head",
    "unpack_decided",
    "unpack_spans",
]

_COUNT: Final = struct.Struct("<I")
_DECIDED: Final = struct.Struct("<16sQ")
_IDS_AT: Final = 16 + _COUNT.size


class Spans(NamedTuple):
    """A record of kind SPANS, without copying what it holds."""

    trace_id: bytes
    number: int
    span_ids: memoryview
    otlp: memoryview


def pack_spans(trace_id: bytes, span_ids: bytes, otlp: bytes) -> bytes:
    """The payload of a SPANS record; `span_ids` are 8 bytes each."""
    return pack_spans_head(trace_id, span_ids) + otlp


def pack_spans_head(trace_id: bytes, span_ids: bytes) -> bytes:
    """What stands before the OTLP request in the payload of a SPANS record."""
    return b"".join((trace_id, _COUNT.pack(len(span_ids) // 8), span_ids))


def unpack_spans(payload: memoryview) -> Spans:
    """Read the payload of a SPANS record."""
    (count,) = _COUNT.unpack_from(payload, 16)
    end = _IDS_AT + 8 * count
    return Spans(bytes(payload[:16]), count, payload[_IDS_AT:end], payload[end:])


def pack_decided(decided: Iterable[tuple[bytes, int]]) -> bytes:
    """The payload of a DECIDED record: traces, each with the position below which it is decided."""
    return b"".join(_DECIDED.pack(trace_id, upto) for trace_id, upto in decided)


def unpack_decided(payload: memoryview) -> list[tuple[bytes, int]]:
    """Read the payload of a DECIDED record."""
    return list(_DECIDED.iter_unpack(payload))
