"""A request's bytes → the journal's records, one a trace, ready to be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fidelity_otel.processor import wire, wire_scan
from fidelity_otel.processor.journal import (
    CARRIER,
    COMPLETE,
    ROOT,
    SPANS,
    frame_of_two,
    pack_spans_head,
)

__all__ = ["Kept", "Records", "flags_of", "records_in"]

Kept = tuple[bytes, int, int, int]
"""Of one record: trace id, size in bytes, number of spans, flags."""


class Records(NamedTuple):
    """What a request holds, as records of kind SPANS that lie behind one another.

    `pieces` are their bytes, `kept` tells what each of them is, in order. `rejected` spans were
    refused for `reason`, as by `wire.split`.
    """

    pieces: Sequence[bytes]
    kept: Sequence[Kept]
    spans: int
    rejected: int
    reason: str


def flags_of(part: wire.Part) -> int:
    """The flags of the record that holds a part."""
    return (
        (ROOT if part.root else 0)
        | (COMPLETE if part.complete else 0)
        | (CARRIER if part.carrier else 0)
    )


def records_in(body: bytes, *, limit: int, time_ns: int) -> Records:
    """Take a request apart by trace id, into the journal's records.

    Args:
        body: an ExportTraceServiceRequest, protobuf.
        limit: as for `wire.split`.
        time_ns: when it was received, ns since the epoch.

    Raises:
        WireError: as by `wire.split`.
    """
    scanned = wire_scan.records(body, limit, time_ns)
    if scanned is not None:
        whole, kept = scanned
        return Records([whole] if kept else [], kept, sum(each[2] for each in kept), 0, "")
    batch = wire.split(body, limit=limit)
    pieces: list[bytes] = []
    kept = []
    for part in batch.parts:
        start, flags = pack_spans_head(part.trace_id, part.span_ids), flags_of(part)
        head, rest = frame_of_two(SPANS, start, part.otlp, time_ns=time_ns, flags=flags)
        pieces += (head, rest)
        kept.append((part.trace_id, len(head) + len(rest), len(part.span_ids) // 8, flags))
    return Records(pieces, kept, batch.spans, batch.rejected, batch.reason)
