"""Which traces were thinned lately, so that what comes late of one is known as that."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["ThinnedIds"]

_MASK: Final = (1 << 64) - 1


class _Generation:
    """A set of 64-bit marks other than 0: a table of at least twice as many places as it may hold.

    Laid out at once, because a table that grows stops everything while it is filled anew. Two ids
    of one mark are taken for the same: with a million of them, one in ten trillion is.
    """

    __slots__ = ("_count", "_last", "_most", "_table")

    def __init__(self, most: int) -> None:
        places = 1 << (2 * most).bit_length()
        self._most, self._count, self._last = most, 0, places - 1
        self._table = array("Q", bytes(8 * places))

    def __len__(self) -> int:
        return self._count

    def __contains__(self, mark: int) -> bool:
        return self._table[self._place(mark)] == mark

    def take(self, marks: Iterator[int]) -> int:
        """Note marks while there is room; returns the first that there was none for, else 0."""
        table, last, room = self._table, self._last, self._most - self._count
        try:
            for mark in marks:  # as `_place`, without a call for each
                place = mark & last
                while (held := table[place]) and held != mark:
                    place = (place + 1) & last
                if not held:
                    if not room:
                        return mark
                    table[place] = mark
                    room -= 1
        finally:
            self._count = self._most - room
        return 0

    def _place(self, mark: int) -> int:
        table, last = self._table, self._last
        place = mark & last
        while (held := table[place]) and held != mark:
            place = (place + 1) & last
        return place


class ThinnedIds:
    """The ids that were added last: at least half of `most`, at most all of them.

    What is older is forgotten half of it at a time. It takes 16 to 32 bytes for each of `most` once
    the first was added, and lives as long as the process.

    Args:
        most: ids to keep, at least 2.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        self._half = max(1, most // 2)
        self._new, self._old = _Generation(0), _Generation(0)

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def __contains__(self, trace_id: str) -> bool:
        mark = _mark(trace_id)
        return mark in self._new or mark in self._old

    def add(self, trace_ids: Iterable[str]) -> None:
        """Note traces' ids, in hex."""
        marks = map(_mark, trace_ids)
        while left := self._new.take(marks):
            self._new, self._old = _Generation(self._half), self._new
            self._new.take(iter((left,)))


def _mark(trace_id: str) -> int:
    # Python's hash is keyed anew in each process: ids cannot be chosen so that they meet.
    return hash(trace_id) & _MASK or 1
