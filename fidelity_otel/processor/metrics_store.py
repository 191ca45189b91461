"""What is counted in the store rather than in the process: verdicts, outcomes, leases.

They come in by many doors (page, API, terminal, CSV, spans), some of them other processes, and the
store is where all of them end.
"""

from __future__ import annotations

from typing import Protocol

from fidelity_otel.model import Review
from fidelity_otel.processor.metrics import Metrics
from fidelity_otel.store import Counts, Progress

__all__ = ["StoreWatch"]

_OVERLAP_NS = 60 * 10**9


class Counted(Protocol):
    """What is read of the store."""

    def counts(self) -> Counts:
        """Raw counts of all that is stored."""
        ...

    def progress(self) -> Progress:
        """The queue's state."""
        ...

    def reviews(self, since_ns: int = 0) -> list[Review]:
        """Reviews finished since."""
        ...


class StoreWatch:
    """Looks into the store now and then and tells the metrics what is new.

    Args:
        metrics: what is told.
        store: where it looks.
        started_ns: reviews that were finished before are of another life of the service: they are
            in the totals, their durations are not seen again.
    """

    def __init__(self, metrics: Metrics, store: Counted, *, started_ns: int) -> None:
        self._metrics = metrics
        self._store = store
        self._since = started_ns
        self._seen: dict[str, int] = {}

    def look(self) -> None:
        """Bring the metrics up to date."""
        counts, progress = self._store.counts(), self._store.progress()
        total = self._metrics.set_total
        for (verdict, arm), n in counts.reviews_by_verdict_arm.items():
            total("fidelity_reviews", n, verdict, arm)
        for (name, label), n in counts.outcomes_by_name_label.items():
            total("fidelity_outcomes", n, name, label)
        for ending, n in counts.lease_endings.items():
            total("fidelity_lease_endings", n, ending)
        self._metrics.set("fidelity_leases", progress.held)
        self._durations()

    def _durations(self) -> None:
        """Observe each new review once; a verdict may be stored a little after it was finished."""
        for review in self._store.reviews(max(0, self._since - _OVERLAP_NS)):
            if review.id in self._seen or review.finished_ns < self._since - _OVERLAP_NS:
                continue
            self._seen[review.id] = review.finished_ns
            if review.finished_ns > review.started_ns > 0:
                seconds = (review.finished_ns - review.started_ns) / 1e9
                self._metrics.observe("fidelity_review_duration_seconds", seconds)
            self._since = max(self._since, review.finished_ns)
        oldest = self._since - 2 * _OVERLAP_NS
        self._seen = {i: t for i, t in self._seen.items() if t >= oldest}
