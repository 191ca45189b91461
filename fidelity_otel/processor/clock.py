"""Time that does not jump: the wall clock at the start, carried on by the monotonic one."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["steady_clock"]


def steady_clock(
    wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
) -> Callable[[], int]:
    """A clock in ns since the epoch that a change of the system's time does not move.

    Waiting times are differences of it, so that an hour's jump neither decides every waiting trace
    at once nor lets none be decided for an hour.
    """
    offset = wall() - monotonic()
    return lambda: monotonic() + offset
