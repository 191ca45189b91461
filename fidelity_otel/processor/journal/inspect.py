"""Reading a journal's files without opening it: nothing is changed, the service may be running."""

from __future__ import annotations

import mmap
from pathlib import Path

import msgspec

from fidelity_otel.errors import InputError
from fidelity_otel.processor.journal.frame import (
    DECIDED,
    HEADER_SIZE,
    MOVED,
    SPANS,
    read_header,
    scan,
)
from fidelity_otel.processor.journal.payload import Spans, unpack_decided, unpack_spans

__all__ = ["Damage", "Inspected", "SegmentFacts", "inspect"]

_VERSION = 1


class Damage(msgspec.Struct, frozen=True):
    """Bytes that hold no sound record, and where."""

    file: str
    position: int
    bytes: int
    what: str


class SegmentFacts(msgspec.Struct, frozen=True):
    """One file. `first_ns` and `last_ns` are times of receipt; `torn` bytes at its end."""

    file: str
    base: int
    bytes: int
    records: int
    spans: int
    first_ns: int
    last_ns: int
    torn: int


class Inspected(msgspec.Struct, frozen=True):
    """A whole journal. `waiting_*` is what is in it and not yet marked as decided."""

    segments: list[SegmentFacts]
    damaged: list[Damage]
    bytes: int
    records: int
    spans: int
    waiting_traces: int
    waiting_spans: int
    oldest_waiting_ns: int


class _Index:
    """Which parts of which trace wait, by their span ids: position, spans and time of receipt.

    A part that came twice, or was moved to a newer segment, counts once.
    """

    def __init__(self) -> None:
        self.waiting: dict[bytes, dict[bytes, tuple[int, int, int]]] = {}

    def spans(self, held: Spans, position: int, time_ns: int) -> None:
        parts = self.waiting.setdefault(held.trace_id, {})
        parts[bytes(held.span_ids)] = (position, held.number, time_ns)

    def decided(self, trace_id: bytes, upto: int) -> None:
        parts = self.waiting.get(trace_id, {})
        left = {ids: part for ids, part in parts.items() if part[0] >= upto}
        if left:
            self.waiting[trace_id] = left
        else:
            self.waiting.pop(trace_id, None)


def inspect(folder: Path) -> Inspected:
    """Read every record of a journal and check its sums.

    Args:
        folder: of the segments. The last one may be growing: what is half written at its end is
            counted as torn, which is no damage, because it was never acked.

    Raises:
        InputError: there is no journal, or a file cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no journal. Mend: give the service's --data DIR.")
    index, damaged = _Index(), list[Damage]()
    segments: list[SegmentFacts] = []
    paths = sorted(folder.glob("*.seg"))
    for path in paths:
        try:
            facts = _segment(path, index, damaged, newest=path == paths[-1])
        except FileNotFoundError:
            continue  # the service has freed it meanwhile
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        if facts is not None:
            segments.append(facts)
    parts = [part for each in index.waiting.values() for part in each.values()]
    return Inspected(
        segments,
        damaged,
        bytes=sum(s.bytes for s in segments),
        records=sum(s.records for s in segments),
        spans=sum(s.spans for s in segments),
        waiting_traces=len(index.waiting),
        waiting_spans=sum(number for _, number, _ in parts),
        oldest_waiting_ns=min((time_ns for _, _, time_ns in parts), default=0),
    )


def _segment(
    path: Path, index: _Index, damaged: list[Damage], *, newest: bool
) -> SegmentFacts | None:
    with path.open("rb") as file:
        size = path.stat().st_size
        header = read_header(file.read(HEADER_SIZE))
        if header is None or f"{header[1]:020d}" != path.stem or header[0] != _VERSION:
            if newest and size <= HEADER_SIZE:
                return None  # just being made
            what = "no sound header under its own name" if header is None else "another format"
            damaged.append(Damage(path.name, 0, size, what))
            return None
        # Kept until the last view into it goes.
        data = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
    base = header[1]
    records = spans = 0
    first = last = 0
    end = HEADER_SIZE
    for record in scan(
        data,
        base,
        lambda at, gone: damaged.append(Damage(path.name, at, gone, "no sound record")),
    ):
        records += 1
        end = record.end - base
        if record.kind == SPANS:
            held = unpack_spans(record.payload)
            index.spans(held, record.position, record.time_ns)
            if not record.flags & MOVED:
                spans += held.number
                first = min(first or record.time_ns, record.time_ns)
                last = max(last, record.time_ns)
        elif record.kind == DECIDED:
            for trace_id, upto in unpack_decided(record.payload):
                index.decided(trace_id, upto)
    torn = size - end
    if torn and not newest:
        damaged.append(Damage(path.name, base + end, torn, "the file ends within a record"))
    return SegmentFacts(path.name, base, size, records, spans, first, last, torn)
