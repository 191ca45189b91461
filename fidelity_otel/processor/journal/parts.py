"""Many records of spans read back at once: what lies side by side is read together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from fidelity_otel.errors import JournalError
from fidelity_otel.processor import native
from fidelity_otel.processor.journal.frame import SPANS, unframe
from fidelity_otel.processor.journal.payload import unpack_spans

if TYPE_CHECKING:
    from fidelity_otel.processor.journal.log import Journal

__all__ = ["Part", "are_unique", "read_parts"]

_log = logging.getLogger(__name__)
_MOST_BYTES: Final = 512 << 10
"""Of one read, so that what was read is still in the processor's cache when it is looked at."""


class Part(NamedTuple):
    """A record's spans. `span_ids` are 8 bytes each; `unique`: no two of them are the same."""

    otlp: bytes
    span_ids: bytes
    unique: bool


def read_parts(journal: Journal, places: Sequence[tuple[int, int]]) -> Iterator[Part | None]:
    """Read records of kind SPANS, in their order and as they are asked for; None for unsound ones.

    Args:
        journal: has them.
        places: position and size of each.
    """
    buffer = bytearray(max(_MOST_BYTES, max((size for _, size in places), default=0)))
    with memoryview(buffer) as view:
        for run in _runs(places):
            yield from _read(journal, run, view)


def _runs(places: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """Neighbours that are to be read together."""
    first, end, size = 0, -1, 0
    for number, (position, length) in enumerate(places):
        if number > first and (position != end or size + length > _MOST_BYTES):
            yield places[first:number]
            first, size = number, 0
        end = position + length
        size += length
    if places:
        yield places[first:]


def _read(
    journal: Journal, run: Sequence[tuple[int, int]], view: memoryview
) -> Sequence[Part | None]:
    sizes = [size for _, size in run]
    position = run[0][0]
    try:
        held = journal.read_into(view[: sum(sizes)], position)
    except (JournalError, OSError) as error:
        if len(run) > 1:  # the others need not be lost with the one that can't be read
            return [part for each in run for part in _read(journal, [each], view)]
        _log.error("spans in the journal cannot be read and are left out: %s", error)
        return [None]
    with view[:held] as data:
        parts = _parts(data, sizes)
    for (at, _), part in zip(run, parts, strict=True):
        if part is None:
            _log.error("spans in the journal at position %d are damaged and left out", at)
    return parts


def _parts(data: memoryview, sizes: list[int]) -> Sequence[Part | None]:
    """The parts in records of these sizes that lie behind one another."""
    if native.journal is not None:
        return [part and _part(*part) for part in native.journal.parts(data, sizes)]
    found: list[Part | None] = []
    at = 0
    for size in sizes:
        with data[at : at + size] as some:
            record = unframe(some, 0, 0)
            if record is None or record.kind != SPANS or record.end != size:
                found.append(None)
            else:
                spans = unpack_spans(record.payload)
                found.append(_part(bytes(spans.otlp), bytes(spans.span_ids), None))
                del spans
            del record
        at += size
    return found


def _part(otlp: bytes, ids: bytes, unique: bool | None) -> Part:
    return Part(otlp, ids, are_unique(ids) if unique is None else unique)


def are_unique(ids: bytes) -> bool:
    """Whether no two of the ids, 8 bytes each, are the same."""
    return len({ids[i : i + 8] for i in range(0, len(ids), 8)}) * 8 == len(ids)
