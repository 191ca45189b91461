"""How the sending thread shares the interpreter: short stretches of work, and a pause after each.

CPython lets a thread that works keep the interpreter for 5 ms (`sys.getswitchinterval`) while
others wait. The sending thread would make every call of the application wait that long now and
then, so it lets go much earlier by itself. To let go without a pause (`sleep(0)`) is no use: it
has the interpreter back before those who wait have woken up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Pace"]

_STRETCH: Final = 0.0002
_PAUSE: Final = 0.00005


class Pace:
    """Called between two spans; pauses where a stretch of work is over.

    Args:
        pressed: whether there is no time for pauses: spans would be dropped, or someone waits.
        clock: seconds, of any origin.
        sleep: pauses for some seconds.
    """

    __slots__ = ("_clock", "_pressed", "_since", "_sleep")

    def __init__(
        self,
        pressed: Callable[[], bool],
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pressed = pressed
        self._clock = clock
        self._sleep = sleep
        self._since = clock()

    def __call__(self) -> None:
        """Pause, if it is time."""
        if self._clock() - self._since >= _STRETCH and not self._pressed():
            self._sleep(_PAUSE)
            self._since = self._clock()
