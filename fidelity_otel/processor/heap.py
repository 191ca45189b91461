"""The C library's heap: keep it small under requests and batches of megabytes.

Left alone, glibc gives every thread a heap of its own and learns from each freed buffer to take the
next one of that size from there, where a small object behind it keeps the whole from being given
back. A service that holds megabytes for moments, in threads that change, then stays at the sum of
all its peaks.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["give_back", "steady_heap"]

# The parameters' numbers in malloc.h. A usual request, of a megabyte, and the bodies of a batch of
# traces stay below: to ask the system for their pages anew each time costs more than to read them.
_SETTINGS: Final = {
    -8: 2,  # M_ARENA_MAX: heaps
    -3: 4 << 20,  # M_MMAP_THRESHOLD: from this size on a buffer is on its own, and goes whole
    -1: 16 << 20,  # M_TRIM_THRESHOLD: free bytes at a heap's end that go back
}


def steady_heap() -> bool:
    """Set the heap up; to be called before threads are started.

    Returns:
        Whether this C library could be told (glibc can; others do not need it or have no way).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    done = [mallopt(name, value) == 1 for name, value in _SETTINGS.items()]
    return all(done)


def give_back() -> bool:
    """Give free pages back to the system, wherever in the heap they lie: after a large work.

    Returns:
        Whether this C library could be told.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return False
    trim(0)
    return True
