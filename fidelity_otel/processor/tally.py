"""Plain counters of what went in, waited, was lost and came out; the metrics read them."""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["Tally"]


class Tally:
    """Counters by name and one label; cheap enough for every request, safe from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, label: str = "", count: int = 1) -> None:
        """Count something; nothing where `count` is 0."""
        if count:
            with self._lock:
                self._counts[name, label] += count

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
