"""The journal: what was acked is in here, on disk, until nobody needs it any more.

Format, version 1 (all integers little-endian)
----------------------------------------------
The journal is a folder of *segments*, files named by the *position* of their first byte, 20 decimal
digits and `.seg`. Positions are 64-bit, grow for ever and are never used twice; gaps are allowed.

    segment = header, record, record, …
    header  = magic "FIDELJNL" (8) | version u16 | zero u16 | crc32 u32 | base position u64 |
              created, ns since the epoch u64                                          (32 bytes)
    record  = magic 0xF1DE u16 | kind u8 | flags u8 | payload length u32 |
              received, ns since the epoch u64 | crc32 u32                     (20 bytes) | payload

A header's crc32 is over the header with zero in its place, a record's over its first 16 bytes and
its payload.

    kind 1, spans:   trace id (16) | number of spans u32 | their ids (8 each) | OTLP request of
                     these spans alone. flags: 1 a root has ended, 2 completion marker,
                     4 only carriers of late outcomes, 8 moved here from an older segment.
    kind 2, decided: for each trace: trace id (16) | position u64. What is stored of the trace
                     below that position is decided and in the store.
    kind 3, findings: an OTLP request that tells destinations what was found in a decided trace.
                     flags: 1 a logs request, else a trace request. Only where `forward.findings`
                     asks for it; older releases pass over it.

Guarantees
----------
* `append` reports success after `fdatasync` (and, for a new segment, `fsync` of the folder).
* A record is whole or not there: a torn tail is cut off when the journal is opened; a damaged
  record further up is skipped, counted, and costs nothing but itself.
* A failed write leaves the journal as it was before. It stays open and tries again with the next
  append, so it heals by itself once there is space.
* Segments are deleted from the oldest on, only below what every reader has said it still needs.
"""

from __future__ import annotations

from fidelity_otel.processor.journal.frame import (
    CARRIER,
    COMPLETE,
    DECIDED,
    FINDINGS,
    LOGS,
    MOVED,
    ROOT,
    SPANS,
    Record,
    frame,
    frame_of_two,
)
from fidelity_otel.processor.journal.log import Journal
from fidelity_otel.processor.journal.parts import Part, are_unique, read_parts
from fidelity_otel.processor.journal.payload import (
    Spans,
    pack_decided,
    pack_spans,
    pack_spans_head,
    unpack_decided,
    unpack_spans,
)

__all__ = [
    "CARRIER",
    "COMPLETE",
    "DECIDED",
    "FINDINGS",
    "LOGS",
    "MOVED",
    "ROOT",
    "SPANS",
    "Journal",
    "Part",
    "Record",
    "Spans",
    "are_unique",
    "frame",
    "frame_of_two",
    "pack_decided",
    "pack_spans",
    "pack_spans_head",
    "read_parts",
    "unpack_decided",
    "unpack_spans",
]
