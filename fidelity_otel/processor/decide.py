"""Batches of due traces → store, through the pipeline; the step that may have to wait and retry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Tracer

from fidelity_otel.errors import FidelityError, StoreBusy, StoreError
from fidelity_otel.model import TraceRecord
from fidelity_otel.processor.own_traces import NO_PARENT, OFF
from fidelity_otel.processor.pipeline import Decided, Decides, Input, Read
from fidelity_otel.processor.sift import Sieve
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.thinned import ThinnedIds

if TYPE_CHECKING:
    from fidelity_otel.store import Store

__all__ = ["PROBE", "Decider"]

PROBE: Final = "doctor.last"
"""Name in the store under which the last test trace's id is kept."""

_log = logging.getLogger(__name__)


class Decider:
    """Decides batches and stores them; every batch either is stored, or raises and may be retried.

    Args:
        pipeline: decides traces.
        sieve: tells beforehand which of them need not be looked at, or not in full.
        store: keeps them.
        tally: counts.
        clock: ns since the epoch.
        refused: a folder for traces that the store refuses one by one while it takes others.
        stored: hears of every new record once it is stored, and of how many decided traces it
            stands for.
        found: hears of every record with findings that is stored, at least once, whatever happens.
        tracer: makes the service's own spans.
    """

    def __init__(
        self,
        pipeline: Decides,
        store: Store,
        *,
        tally: Tally,
        clock: Callable[[], int],
        refused: Path,
        sieve: Sieve | None = None,
        stored: Callable[[TraceRecord, float], None] = lambda *_: None,
        found: Callable[[TraceRecord], None] | None = None,
        tracer: Tracer = OFF,
    ) -> None:
        self.pipeline = pipeline
        self._sieve = sieve
        self.store = store
        self._tally = tally
        self._clock = clock
        self._refused = refused
        self._stored = stored
        self._found = found
        self._tracer = tracer
        self._thinned = ThinnedIds()

    def run(self, batch: Sequence[Input], read: Read = iter) -> None:
        """Decide and store a batch.

        Args:
            batch: the traces.
            read: gives traces with their bytes, as they are asked for; most of those that are to be
                thinned are not, and of the others most never lie in memory together.

        Raises:
            StoreError: the store can't be used now; nothing is lost, run the batch again.
        """
        with self._tracer.start_as_current_span(
            "decide", NO_PARENT, record_exception=False
        ) as span:
            span.set_attribute("fidelity.traces", len(batch))
            with self._tally.attempt():
                self._run(batch, read)

    def _run(self, batch: Sequence[Input], read: Read) -> None:
        known = self.store.revisions([given.trace_id for given in batch])
        if self._thinned:
            batch = [self._as_known(given, known) for given in batch]
        thinned: list[str] = []
        with self._tracer.start_as_current_span("detect", record_exception=False):
            if self._sieve is None:
                left = list(read(batch))
            else:
                left, thinned = self._sieve.take(batch, known, read)
            made = self.pipeline.decide(left, now_ns=self._clock(), known=known, body=self._body)
        decided = list(zip(left, made, strict=True))
        for given, each in decided:
            if each.end == "probe":
                self.store.meta_set(PROBE, given.trace_id)
        try:
            with self._tracer.start_as_current_span("store", record_exception=False):
                self._store([d for _, d in decided])
        except StoreBusy:
            raise
        except StoreError as error:
            self._one_by_one(decided, error)
        thinned += [given.trace_id for given, each in decided if each.end == "thinned"]
        self._thinned.add(thinned)
        self._tell(decided)

    def _as_known(self, given: Input, known: Mapping[str, int]) -> Input:
        if given.trace_id in known or given.trace_id not in self._thinned:
            return given
        return given._replace(thinned=True)

    def _tell(self, decided: Sequence[tuple[Input, Decided]]) -> None:
        """Say what was found; a duplicate may have been stored before a crash, and not told."""
        if self._found is None:
            return
        for given, each in decided:
            record = each.record
            if each.end == "duplicate":
                stored = self.store.trace(given.trace_id)
                record = stored.record if stored is not None else None
            if record is not None and record.findings:
                self._found(record)

    def _body(self, trace_id: str) -> bytes:
        stored = self.store.trace(trace_id)
        return stored.record.otlp if stored is not None else b""

    def _store(self, decided: Sequence[Decided]) -> None:
        records = [d.record for d in decided if d.record is not None]
        outcomes = [o for d in decided for o in d.outcomes]
        if records:
            added = self.store.add_traces(records)
            self._tally.add("traces_stored", "new", added.new)
            self._tally.add("traces_stored", "revised", added.replaced)
            self._tally.add("traces_stored", "known", added.known)
            self._tally.add("traces_stored", "erased", added.refused)
            for each in decided:
                if each.record is not None and each.record.revision == 0:
                    self._stored(each.record, each.stands_for)
        if outcomes:
            counts = self.store.add_outcomes(outcomes)
            self._tally.add("outcomes_received", "added", counts.added)
            self._tally.add("outcomes_received", "known", counts.known)
            self._tally.add("outcomes_received", "refused", len(counts.refused))
            for why in counts.refused:
                _log.warning("%s", why)

    def _one_by_one(self, decided: Sequence[tuple[Input, Decided]], error: StoreError) -> None:
        """Find out whether the store is down (then raise) or refuses single traces."""
        failed: list[tuple[Input, StoreError]] = []
        for given, each in decided:
            try:
                self._store([each])
            except StoreBusy:
                raise
            except StoreError as single:
                failed.append((given, single))
        if len(failed) == len(decided):
            raise error
        for given, why in failed:
            self._tally.add("traces_ended", "refused")
            self._keep(given, why)

    def _keep(self, given: Input, error: FidelityError) -> None:
        path = self._refused / f"{given.trace_id}.otlp"
        _log.error("the store refuses trace %s: %s. It is kept in %s", given.trace_id, error, path)
        try:
            self._refused.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(given.bodies))
        except OSError:
            _log.exception("trace %s could not be kept and is lost", given.trace_id)
            self._tally.add("traces_lost", "refused")
