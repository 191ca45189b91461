"""Closing windows: when one has ended, its sample is drawn and put into the review queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fidelity_otel.processor.sample import Sampler

if TYPE_CHECKING:
    from fidelity_otel.store import Store

__all__ = ["Closed", "Windows"]

_CARRY: Final = "sample.carry"
_DRAWN: Final = "sample.drawn_ns"
_NS: Final = 1_000_000_000
_MOST: Final = 20_000
"""A window of so many traces is drawn before its time: a draw looks at all of them at once. What
comes after goes to a window of its own, as whatever comes late does."""


class Closed(NamedTuple):
    """How many windows were drawn, and how many traces went to the queue."""

    windows: int
    enqueued: int


class Windows:
    """Draws windows; the budget that one leaves over is carried to the next, restarts included.

    A window is drawn when its time is over, or when it is full.

    Args:
        store: has windows and candidates, and keeps the draws.
        sampler: gives the sampler of this moment (its settings can be reloaded).
        settings: all settings by dotted name.
        clock: ns since the epoch.
    """

    def __init__(
        self,
        store: Store,
        sampler: Callable[[], Sampler],
        settings: Mapping[str, Any],
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._sampler = sampler
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()

    def close(self, *, now: bool = False) -> Closed:
        """Draw the windows that have ended; with `now` also the one that has not.

        Raises:
            StoreError: what was drawn before stays drawn; the rest is drawn by the next call.
        """
        with self._lock:
            return self._close(now=now)

    def _close(self, *, now: bool) -> Closed:
        sampler, time_ns = self._sampler(), self._clock()
        length = max(1, round(sampler.settings.window_seconds * _NS))
        before = time_ns + 1 if now else time_ns // length * length
        ended, sizes = self._store.open_windows(before), self._store.undrawn_traces()
        full = [w for w, traces in sizes.items() if traces >= _MOST and w not in ended]
        due = [*ended, *full]
        total = sum(sizes.get(window, 0) for window in due)
        if not due:
            return Closed(0, 0)
        last = int(self._store.meta_get(_DRAWN) or 0)
        elapsed = (time_ns - last) / _NS if last else sampler.settings.window_seconds
        carry = float(self._store.meta_get(_CARRY) or 0.0)
        history = self._store.stratum_history()
        windows = enqueued = 0
        for window in due:
            rows = self._store.window_candidates(window)
            # Of the time since the last draw each window gets its part by its number of traces.
            share = elapsed * len(rows) / total if total else 0.0
            drawn = sampler.draw(rows, history, carry=carry, elapsed_seconds=share)
            saved = self._store.save_draw(
                window,
                drawn.arms,
                now_ns=time_ns,
                double_share=float(self._settings["review.double_share"]),
            )
            if saved.saved:
                carry = drawn.carry
                windows += 1
                enqueued += saved.enqueued
        self._store.meta_set(_CARRY, repr(carry))
        self._store.meta_set(_DRAWN, str(time_ns))
        return Closed(windows, enqueued)
