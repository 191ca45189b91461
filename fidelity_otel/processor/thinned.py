"""Which traces were thinned lately, so that what comes late of one is known as that."""

from __future__ import annotations

from array import array
from typing import Final

__all__ = ["ThinnedIds"]

_FEWEST: Final = 1 << 12
_MASK: Final = (1 << 64) - 1


class _Generation:
    """A set of 64-bit marks other than 0: a table of twice as many places, so 16 to 32 bytes each.

    Two ids of one mark are taken for the same: with a million of them, one in ten trillion is.
    """

    __slots__ = ("_count", "_places", "_table")

    def __init__(self) -> None:
        self._lay_out(_FEWEST)

    def _lay_out(self, places: int) -> None:
        self._places = places
        self._table = array("Q", bytes(8 * places))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, mark: int) -> bool:
        return self._table[self._place(mark)] == mark

    def add(self, mark: int) -> None:
        """Note a mark that is not in it."""
        if 2 * (self._count + 1) > self._places:
            held = [each for each in self._table if each]
            self._lay_out(2 * self._places)
            for each in held:
                self.add(each)
        self._table[self._place(mark)] = mark
        self._count += 1

    def _place(self, mark: int) -> int:
        table, last = self._table, self._places - 1
        place = mark & last
        while table[place] not in (0, mark):
            place = (place + 1) & last
        return place


class ThinnedIds:
    """The ids that were added last: at least half of `most`, at most all of them.

    What is older is forgotten half of it at a time. It lives as long as the process.

    Args:
        most: ids to keep, at least 2.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        self._half = max(1, most // 2)
        self._new, self._old = _Generation(), _Generation()

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def __contains__(self, trace_id: str) -> bool:
        mark = _mark(trace_id)
        return mark in self._new or mark in self._old

    def add(self, trace_id: str) -> None:
        """Note a trace's id, in hex."""
        mark = _mark(trace_id)
        if mark in self._new:
            return
        if len(self._new) >= self._half:
            self._new, self._old = _Generation(), self._new
        self._new.add(mark)


def _mark(trace_id: str) -> int:
    # Python's hash is keyed anew in each process: ids cannot be chosen so that they meet.
    return hash(trace_id) & _MASK or 1
