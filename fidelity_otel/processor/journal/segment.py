"""One file of the journal."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fidelity_otel.errors import JournalError
from fidelity_otel.processor.journal.frame import (
    HEADER_SIZE,
    RECORD_SIZE,
    Record,
    read_header,
    scan,
    unframe,
    write_header,
)

__all__ = ["Segment", "sync_folder"]

_VERSION = 1
_MOST_PIECES = 1024
"""Of one write: IOV_MAX of every system."""


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _behind(pieces: Sequence[bytes | memoryview], size: int) -> list[bytes | memoryview]:
    """What follows the first `size` bytes."""
    for number, piece in enumerate(pieces):
        if size < len(piece):
            return [memoryview(piece)[size:], *pieces[number + 1 :]]
        size -= len(piece)
    return []


class Segment:
    """A segment: `size` counts its sound bytes, header included."""

    __slots__ = ("base", "handle", "path", "size")

    def __init__(self, path: Path, base: int, size: int, handle: int) -> None:
        self.path = path
        self.base = base
        self.size = size
        self.handle = handle

    @property
    def end(self) -> int:
        """The position behind its last sound byte."""
        return self.base + self.size

    @classmethod
    def create(cls, folder: Path, base: int, created_ns: int) -> Segment:
        """A new, durable, empty segment.

        Raises:
            OSError: it cannot be made; nothing of it stays.
        """
        path = folder / f"{base:020d}.seg"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        segment = cls(path, base, 0, handle)
        try:
            segment.write(write_header(base, created_ns))
            os.fsync(handle)
            sync_folder(folder)
        except BaseException:
            segment.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return segment

    @classmethod
    def open(cls, path: Path) -> Segment:
        """An existing segment, as large as its file.

        Raises:
            JournalError: of a newer version, or not a segment under its own name.
        """
        handle = os.open(path, os.O_RDWR)
        size = os.fstat(handle).st_size
        header = read_header(os.pread(handle, HEADER_SIZE, 0))
        if header is None or f"{header[1]:020d}" != path.stem:
            os.close(handle)
            raise JournalError(
                f"{path}: not a journal segment under its own name, or its first {HEADER_SIZE} "
                "bytes are damaged. Mend: move the file out of the folder; spans that only it "
                "holds are lost."
            )
        version, base = header
        if version != _VERSION:
            os.close(handle)
            raise JournalError(
                f"{path}: written in format {version}, this release reads format {_VERSION}. "
                "Mend: use the release that wrote it until the journal is empty."
            )
        return cls(path, base, size, handle)

    def write(self, *pieces: bytes) -> None:
        """Write behind the last byte, all or (as far as `size` goes) nothing.

        Raises:
            OSError: as the system gives it.
        """
        offset = self.size
        for first in range(0, len(pieces), _MOST_PIECES):
            some: Sequence[bytes | memoryview] = pieces[first : first + _MOST_PIECES]
            size = sum(map(len, some))
            while size:
                written = os.pwritev(self.handle, some, offset)
                offset += written
                size -= written
                if size:
                    some = _behind(some, written)
        self.size = offset

    def sync(self) -> None:
        """Return when all that was written is on the disk."""
        os.fdatasync(self.handle)

    def truncate(self, size: int) -> None:
        """Cut off what lies behind `size` bytes."""
        os.ftruncate(self.handle, size)
        self.size = size

    def read(self, position: int, size: int) -> Record | None:
        """The record at a position, or None where it is not sound.

        Args:
            position: of the record's first byte.
            size: the whole record's length in bytes.
        """
        data = os.pread(self.handle, max(size, RECORD_SIZE), position - self.base)
        return unframe(memoryview(data), 0, position)

    def read_into(self, view: memoryview, position: int) -> int:
        """Fill a buffer with what lies from a position on; the number of bytes that were there."""
        return os.preadv(self.handle, [view], position - self.base)

    def records(
        self, damaged: Callable[[int, int], None], since: int = 0, until: int | None = None
    ) -> Iterator[Record]:
        """Every sound record; payloads are views into the mapped file and may be kept.

        Args:
            damaged: as in `scan`.
            since: the position of a record, from which on they are wanted.
            until: the position of a record's end, behind which nothing is looked at.
        """
        size = self.size if until is None else min(self.size, until - self.base)
        if size > HEADER_SIZE:
            # Not closed here: it goes when the last view into it goes.
            mapped = mmap.mmap(self.handle, size, access=mmap.ACCESS_READ)
            offset = max(HEADER_SIZE, since - self.base)
            yield from scan(memoryview(mapped), self.base, damaged, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self.handle)

    def delete(self) -> None:
        """Close and remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)
