"""Plain counters of what went in, waited, was lost and came out; the metrics read them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["Tally"]


class Tally:
    """Counters by name and one label; cheap enough for every request, safe from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._aside = threading.local()

    def add(self, name: str, label: str = "", count: int = 1) -> None:
        """Count something; nothing where `count` is 0."""
        if not count:
            return
        aside: Counter[tuple[str, str]] | None = getattr(self._aside, "counts", None)
        if aside is not None:
            aside[name, label] += count
            return
        with self._lock:
            self._counts[name, label] += count

    @contextmanager
    def attempt(self) -> Generator[None]:
        """What this thread counts inside counts once it ends well, and not at all where it raises.

        For what is tried again as a whole.
        """
        counts: Counter[tuple[str, str]] = Counter()
        self._aside.counts = counts
        try:
            yield
        finally:
            self._aside.counts = None
        with self._lock:
            self._counts.update(counts)

    def take(self) -> dict[tuple[str, str], int]:
        """Every counter, by (name, label); they begin anew."""
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
            return counts

    def get(self, name: str, label: str | None = None) -> int:
        """A counter's value; over all labels where none is given."""
        with self._lock:
            if label is not None:
                return self._counts[name, label]
            return sum(n for (each, _), n in self._counts.items() if each == name)

    def all(self) -> dict[tuple[str, str], int]:
        """Every counter, by (name, label)."""
        with self._lock:
            return dict(self._counts)
