"""One record of the journal as bytes; the layout is documented in the package's docstring."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

try:  # three to ten times as fast as zlib's, the same polynomial
    from isal.isal_zlib import crc32 as _crc32  # pyright: ignore[reportMissingTypeStubs]
except ImportError:  # pragma: no cover
    from zlib import crc32 as _crc32

crc32: Callable[..., int] = _crc32

__all__ = [
    "CARRIER",
    "COMPLETE",
    "DECIDED",
    "FINDINGS",
    "HEADER_SIZE",
    "LOGS",
    "MOVED",
    "RECORD_SIZE",
    "ROOT",
    "SPANS",
    "Record",
    "frame",
    "frame_of_two",
    "read_header",
    "scan",
    "unframe",
    "write_header",
]

SPANS: Final = 1
DECIDED: Final = 2
FINDINGS: Final = 3
ROOT: Final = 1
COMPLETE: Final = 2
CARRIER: Final = 4
MOVED: Final = 8
LOGS: Final = 1

_SEGMENT_MAGIC: Final = b"FIDELJNL"
_VERSION: Final = 1
_RECORD_MAGIC: Final = 0xF1DE
_RECORD_MAGIC_BYTES: Final = struct.pack("<H", _RECORD_MAGIC)
_HEADER: Final = struct.Struct("<8sHHIQQ")
_RECORD: Final = struct.Struct("<HBBIQ")
_CRC: Final = struct.Struct("<I")
HEADER_SIZE: Final = _HEADER.size
RECORD_SIZE: Final = _RECORD.size + _CRC.size


class Record(NamedTuple):
    """A record read back. `end` is the position of the byte behind it."""

    position: int
    end: int
    kind: int
    flags: int
    time_ns: int
    payload: memoryview


def frame(kind: int, payload: bytes, *, time_ns: int, flags: int = 0) -> bytes:
    """A record's bytes.

    Args:
        kind: SPANS, DECIDED or FINDINGS.
        payload: up to 4 GiB.
        time_ns: when it was received, ns since the epoch.
        flags: bits that the kind defines.
    """
    head = _RECORD.pack(_RECORD_MAGIC, kind, flags, len(payload), time_ns)
    return b"".join((head, _CRC.pack(crc32(payload, crc32(head))), payload))


def frame_of_two(
    kind: int, start: bytes, rest: bytes, *, time_ns: int, flags: int = 0
) -> tuple[bytes, bytes]:
    """`frame` of a payload in two pieces; gives all up to the second one, and that as it is.

    The second one may be large: it is not copied.
    """
    head = _RECORD.pack(_RECORD_MAGIC, kind, flags, len(start) + len(rest), time_ns)
    crc = _CRC.pack(crc32(rest, crc32(start, crc32(head))))
    return b"".join((head, crc, start)), rest


def unframe(data: memoryview, offset: int, base: int) -> Record | None:
    """The record at an offset, or None where there is no whole, sound one.

    Args:
        data: the segment's bytes, or some of them.
        offset: where the record begins in `data`.
        base: the position of `data[0]`.
    """
    if offset + RECORD_SIZE > len(data):
        return None
    magic, kind, flags, length, time_ns = _RECORD.unpack_from(data, offset)
    end = offset + RECORD_SIZE + length
    if magic != _RECORD_MAGIC or end > len(data):
        return None
    (wanted,) = _CRC.unpack_from(data, offset + _RECORD.size)
    payload = data[offset + RECORD_SIZE : end]
    if crc32(payload, crc32(data[offset : offset + _RECORD.size])) != wanted:
        return None
    return Record(base + offset, base + end, kind, flags, time_ns, payload)


def scan(
    data: memoryview,
    base: int,
    damaged: Callable[[int, int], None],
    offset: int = HEADER_SIZE,
) -> Iterator[Record]:
    """Every sound record of a segment's bytes, in order, past any damage.

    Args:
        data: the whole segment, header included.
        base: its base position.
        damaged: called with (position, bytes skipped) where sound records follow after damage. A
            torn tail, after which nothing follows, is not reported.
        offset: where a record begins; the first one's by default.
    """
    size = len(data)
    whole: bytes | None = None
    while offset + RECORD_SIZE <= size:
        record = unframe(data, offset, base)
        if record is not None:
            yield record
            offset = record.end - base
            continue
        if whole is None:
            whole = bytes(data)
        following = offset
        while (following := whole.find(_RECORD_MAGIC_BYTES, following + 1)) >= 0:
            if unframe(data, following, base) is not None:
                break
        if following < 0:
            return
        damaged(base + offset, following - offset)
        offset = following


def write_header(base: int, created_ns: int) -> bytes:
    """The header of a segment that begins at position `base`."""
    bare = _HEADER.pack(_SEGMENT_MAGIC, _VERSION, 0, 0, base, created_ns)
    return _HEADER.pack(_SEGMENT_MAGIC, _VERSION, 0, crc32(bare), base, created_ns)


def read_header(data: bytes) -> tuple[int, int] | None:
    """(version, base position) of a segment, or None where its header is not sound."""
    if len(data) < HEADER_SIZE:
        return None
    magic, version, zero, crc, base, created = _HEADER.unpack_from(data)
    bare = _HEADER.pack(magic, version, zero, 0, base, created)
    if magic != _SEGMENT_MAGIC or crc != crc32(bare):
        return None
    return version, base
