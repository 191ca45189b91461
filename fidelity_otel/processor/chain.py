"""From the journal to the store: restores the index, decides what is due, frees the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Final

from fidelity_otel.errors import FidelityError, JournalError, StoreError
from fidelity_otel.processor.assemble import Assembler, Place, Ready
from fidelity_otel.processor.decide import Decider
from fidelity_otel.processor.journal import (
    DECIDED,
    MOVED,
    SPANS,
    Journal,
    Part,
    are_unique,
    frame,
    pack_decided,
    pack_spans,
    read_parts,
    unpack_decided,
    unpack_spans,
)
from fidelity_otel.processor.pipeline import Input
from fidelity_otel.processor.tally import Tally

__all__ = ["Chain", "restore"]

_log = logging.getLogger(__name__)
_BATCH: Final = 1024  # a transaction's cost is by pages: the more traces share one, the cheaper
_BATCH_BYTES: Final = 24 << 20
_REST_SECONDS: Final = 0.05
_LONGEST_BACKOFF: Final = 30.0
_FREE_SECONDS: Final = 0.1
"""Under load the journal is freed this often: pages of memory that are used again at once cost less
than others, by half of what writing costs."""
_READER: Final = "assembler"


def restore(journal: Journal, assembler: Assembler, *, now_ns: int) -> int:
    """Fill the index from the journal after a start; returns the spans that wait.

    Args:
        journal: opened.
        assembler: empty.
        now_ns: records from the future (the clock was set back) count as received now.
    """
    for record in journal.records():
        if record.kind == SPANS:
            spans = unpack_spans(record.payload)
            assembler.add(
                spans.trace_id,
                Place(record.position, record.end - record.position),
                spans=spans.number,
                flags=record.flags,
                now_ns=min(record.time_ns, now_ns),
            )
        elif record.kind == DECIDED:
            for trace_id, upto in unpack_decided(record.payload):
                assembler.forget(trace_id, upto)
    return assembler.waiting_spans


class Chain:
    """Decides what is due, for as long as the service runs.

    Args:
        journal: has the bytes.
        assembler: knows what is due; touched only on the event loop.
        decider: decides and stores, in a thread of its own.
        tally: counts.
        clock: ns since the epoch, steady.
        also: frames that are written together with the mark of a decided batch.
    """

    def __init__(
        self,
        journal: Journal,
        assembler: Assembler,
        decider: Decider,
        *,
        tally: Tally,
        clock: Callable[[], int],
        also: Callable[[], list[bytes]] = list,
    ) -> None:
        self.journal = journal
        self.assembler = assembler
        self.stalled: FidelityError | None = None
        self._decider = decider
        self._tally = tally
        self._clock = clock
        self._also = also
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decide")
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Decide due traces until `stop`; then what is due at that moment, and return."""
        loop, freed = asyncio.get_running_loop(), 0.0
        while True:
            ready = self.assembler.due(self._clock(), _BATCH, max_bytes=_BATCH_BYTES)
            if ready:
                await self.settle(ready)
                if loop.time() - freed > _FREE_SECONDS:
                    self._need()
                    await loop.run_in_executor(self._thread, self.journal.trim)
                    freed = loop.time()
                continue
            if self._stop.is_set():
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _REST_SECONDS)
        self._thread.shutdown(wait=True)

    def stop(self) -> None:
        """Ask `run` to end; what still waits stays in the journal for the next start."""
        self._stop.set()

    async def settle(self, ready: Sequence[Ready]) -> None:
        """Decide a batch and mark it decided, with patience while the store can't be used."""
        loop, backoff = asyncio.get_running_loop(), 0.1
        while True:
            try:
                await loop.run_in_executor(self._thread, self._decide, ready)
                break
            except StoreError as error:
                if self.stalled is None:
                    _log.error("decisions wait for the store: %s", error)
                self.stalled = error
                self._tally.add("store_retries")
                if self._stop.is_set():
                    for each in ready:
                        self.assembler.again(each, self._clock() + (1 << 62))
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), backoff)
                backoff = min(2 * backoff, _LONGEST_BACKOFF)
        if self.stalled is not None:
            _log.warning("the store can be used again")
            self.stalled = None
        self._mark(ready)
        for each in ready:
            self.assembler.done(each)

    def _decide(self, ready: Sequence[Ready]) -> None:
        inputs = [
            Input(each.trace_id.hex(), (), each.reason, note=each.note, places=each.places)
            for each in ready
        ]
        self._decider.run(inputs, self._read)

    def _read(self, inputs: Iterable[Input]) -> Iterator[Input]:
        inputs = list(inputs)
        read = read_parts(self.journal, [place for each in inputs for place in each.places])
        for each in inputs:
            parts = [part for part in islice(read, len(each.places)) if part is not None]
            reason = each.reason
            if len(parts) < len(each.places):
                self._tally.add("parts_damaged", "", len(each.places) - len(parts))
                reason = "damaged"
            if parts:
                bodies = [part.otlp for part in parts]
                yield each._replace(bodies=bodies, reason=reason, unique=_unique(parts), places=())
            else:
                self._tally.add("traces_lost", "damaged")

    def _mark(self, ready: Sequence[Ready]) -> None:
        """Note in the journal what was decided. Without it, a restart finds out from the store."""
        decided = pack_decided((each.trace_id, each.upto) for each in ready)
        frames = [*self._also(), frame(DECIDED, decided, time_ns=self._clock())]
        with contextlib.suppress(JournalError):
            self.journal.append(frames, lambda _: None, internal=True)

    # --- the journal's space -----------------------------------------------------------------

    def free(self) -> int:
        """Delete what the journal need not keep; returns the bytes freed."""
        self._need()
        return self.journal.trim()

    def _need(self) -> None:
        self.journal.need(_READER, self.assembler.lowest(self.journal.end))

    async def compact(self) -> int:
        """Copy long-waiting traces out of the oldest segment when it is mostly dead.

        An agent's trace of eight hours would otherwise hold eight hours of everyone's spans on
        disk. Returns the bytes copied.
        """
        segments = self.journal.segments
        live = self.assembler.waiting_bytes
        if len(segments) < 4 or self.journal.bytes_used < 2 * live:  # noqa: PLR2004
            return 0
        moves = list(self.assembler.below(segments[0][1]))
        copied = 0
        for trace_id, places in moves:
            loop = asyncio.get_running_loop()
            frames = await loop.run_in_executor(None, self._copies, places)
            if frames is None:
                continue
            ready: asyncio.Future[int | FidelityError] = loop.create_future()
            self.journal.append(frames, partial(_resolve, ready), internal=True)
            position = await ready
            if isinstance(position, FidelityError):
                return copied
            after: list[Place] = []
            for data in frames:
                after.append(Place(position, len(data)))
                position += len(data)
            self.assembler.moved(trace_id, places, tuple(after))
            copied += sum(map(len, frames))
        self._tally.add("journal_moved_bytes", "", copied)
        return copied

    def _copies(self, places: Sequence[Place]) -> list[bytes] | None:
        frames: list[bytes] = []
        for place in places:
            try:
                record = self.journal.read(place.position, place.size)
            except (JournalError, OSError):
                return None
            spans = unpack_spans(record.payload)
            payload = pack_spans(spans.trace_id, bytes(spans.span_ids), bytes(spans.otlp))
            frames.append(frame(SPANS, payload, time_ns=record.time_ns, flags=record.flags | MOVED))
        return frames


def _unique(parts: Sequence[Part]) -> bool:
    if len(parts) == 1:
        return parts[0].unique
    return are_unique(b"".join(part.span_ids for part in parts))


def _resolve(future: asyncio.Future[int | FidelityError], outcome: int | FidelityError) -> None:
    if not future.done():
        future.set_result(outcome)
