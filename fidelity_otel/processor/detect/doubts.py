"""The detectors that may have to look where all others certainly find nothing."""

from __future__ import annotations

from enum import IntFlag

__all__ = ["Doubt"]


class Doubt(IntFlag):
    """Detectors of which each depends on something that is told without reading the trace.

    What a doubted one finds depends on no other detector, and no other on what it finds. `FAILED`
    stands for all of those that what failed concerns: tools, limits, callers that left, answers
    that say otherwise, and errors that nobody mentions. `_sift.c` has the same bits, but for
    `SWAPPED`.
    """

    EMPTY = 1
    TERMINOLOGY = 2
    TRUNCATED = 4
    REFUSAL = 8
    PREMATURE = 16
    BUDGET = 32
    ASKED_AGAIN = 64
    GROUNDING = 128
    STALE = 256
    SWAPPED = 512
    FAILED = 1024
