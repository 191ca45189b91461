"""Threads for shadow candidates: never more than allowed, kept for the next one, never waited for.

To start a thread takes the starter until the new one runs, so the incumbent's caller would wait for
it at each call. A thread that has nothing to do for some seconds ends.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from fidelity_otel.sdk import guard

__all__ = ["Crew"]

_PATIENCE: Final = 10.0


class Crew:
    """Does jobs in daemon threads, and says so of those that take too long.

    Args:
        limit: most jobs at a time.
        timeout: seconds until a job that is watched is late.
        late: called with what was given to `watch`, from a thread of its own.
    """

    def __init__(self, limit: int, timeout: float, late: Callable[[Any], object]) -> None:
        self._limit = max(limit, 1)
        self._timeout = timeout
        self._late = late
        self._reset()
        if hasattr(os, "register_at_fork"):
            me = weakref.ref(self)

            def child() -> None:  # a forked child has none of the threads
                if (found := me()) is not None:
                    found._reset()  # noqa: SLF001

            os.register_at_fork(after_in_child=child)

    def _reset(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._busy = 0
        self._idle = 0
        self._watched: deque[Watched] = deque()
        self._watching = False

    def start(self, job: Callable[[], object]) -> bool:
        """Have a job done beside; False where all are busy or no thread is to be had."""
        with self._lock:
            if self._busy >= self._limit:
                return False
            self._busy += 1
            kept = self._idle > 0
            self._idle -= kept
        if not kept:
            try:
                threading.Thread(target=self._work, name="fidelity-shadow", daemon=True).start()
            except RuntimeError:  # no more threads
                with self._lock:
                    self._busy -= 1
                return False
        self._jobs.put(job)
        return True

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_PATIENCE)
            except queue.Empty:
                with self._lock:
                    if self._idle:  # else a job is on its way to this thread
                        self._idle -= 1
                        return
                continue
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - the thread is kept
                guard.counts["shadow_failed"] += 1
                guard.log.debug("shadow: %r", error)
            del job
            with self._lock:
                self._busy -= 1
                self._idle += 1

    def watch(self, subject: Any) -> Watched:
        """From now on, until it is `done`, something may become late."""
        found = Watched(time.monotonic() + self._timeout, subject)
        with self._lock:
            self._watched.append(found)
            start, self._watching = not self._watching, True
        if start:
            try:
                threading.Thread(target=self._watch, name="fidelity-late", daemon=True).start()
            except RuntimeError:
                self._watching = False
        return found

    def _watch(self) -> None:
        watched = self._watched
        while True:
            with self._lock:
                while watched and watched[0].subject is None:
                    watched.popleft()
                if not watched:
                    self._watching = False
                    return
                first = watched[0]
            left = first.at - time.monotonic()
            if left > 0:
                time.sleep(left)
            elif (subject := first.done()) is not None:
                self._late(subject)


class Watched:
    """Something that becomes late at a time of `time.monotonic`, unless it is done before."""

    __slots__ = ("at", "subject")

    def __init__(self, at: float, subject: Any) -> None:
        self.at = at
        self.subject: Any = subject

    def done(self) -> Any:
        """Watch it no more; what was watched, the first time."""
        subject, self.subject = self.subject, None
        return subject
