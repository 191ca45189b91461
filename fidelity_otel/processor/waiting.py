"""A trace that waits to be decided: what is known of it, in few bytes."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = ["CODES", "FOREVER", "INCOMPLETE", "PACKED", "Place", "Waiting"]

INCOMPLETE: Final = frozenset(
    {"idle", "max_age", "max_spans", "max_bytes", "pressure", "input_end", "damaged"}
)
"""Reasons that mean: decided although spans may be missing."""

FOREVER: Final = 1 << 63
PACKED: Final = struct.Struct("<6Q3IB")
"""What is kept of a trace, in the order of `Waiting.packed`."""

_REASONS: Final = ("", "root", "complete", "late", "outcome", *sorted(INCOMPLETE))
CODES: Final = {reason: code for code, reason in enumerate(_REASONS)}


class Place(NamedTuple):
    """Where a part of a trace lies in the journal: position and size of its record, in bytes."""

    position: int
    size: int


class Waiting:
    """A trace that waits, as it is worked on; between times it is kept packed, in 61 bytes."""

    __slots__ = (
        "bytes",
        "ends_ns",
        "first_ns",
        "last_ns",
        "note",
        "position",
        "reason",
        "size",
        "spans",
        "wakes_ns",
    )

    def __init__(self, now_ns: int, place: Place) -> None:
        self.position, self.size = place  # of its first part
        self.spans = 0
        self.note = 0  # what the sift saw of it, where it came in one part
        self.bytes = 0  # of all parts
        self.first_ns = self.last_ns = now_ns
        self.ends_ns = FOREVER  # when it is due for `reason`, whatever else comes
        self.reason = ""
        self.wakes_ns = FOREVER  # the time under which the agenda has it

    def packed(self) -> bytes:
        """The bytes to keep."""
        return PACKED.pack(
            self.position,
            self.bytes,
            self.first_ns,
            self.last_ns,
            self.ends_ns,
            self.wakes_ns,
            self.size,
            self.spans,
            self.note,
            CODES[self.reason],
        )

    @classmethod
    def of(cls, packed: bytes) -> Waiting:
        """From the bytes that were kept."""
        self = cls.__new__(cls)
        (
            self.position,
            self.bytes,
            self.first_ns,
            self.last_ns,
            self.ends_ns,
            self.wakes_ns,
            self.size,
            self.spans,
            self.note,
            code,
        ) = PACKED.unpack(packed)
        self.reason = _REASONS[code]
        return self

    def end(self, at_ns: int, reason: str) -> None:
        """It is due at a time at the latest."""
        if at_ns < self.ends_ns:
            self.ends_ns, self.reason = at_ns, reason
