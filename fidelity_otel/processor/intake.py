"""From a request's bytes to the journal and the index: what happens before the ack."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Sequence
from typing import Final, NamedTuple

from opentelemetry.trace import SpanKind, Tracer

from fidelity_otel.errors import FidelityError, JournalFull
from fidelity_otel.processor.admission import Admission
from fidelity_otel.processor.assemble import Assembler
from fidelity_otel.processor.journal import Journal
from fidelity_otel.processor.own_traces import NO_PARENT, OFF
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.wire_logs import carriers
from fidelity_otel.processor.wire_records import Kept, Records, records_in

__all__ = ["Accepted", "Intake"]

_log = logging.getLogger(__name__)
_REST_SECONDS: Final = 0.02


class Accepted(NamedTuple):
    """A request is durable; `rejected` of its items were refused, for the reason given."""

    rejected: int = 0
    message: str = ""


Meter = Callable[[str, str, int, int, int], None]
"""Hears of every request: protocol, status, bytes, spans accepted, spans rejected.

The status is ok, partial, invalid, too_large, refused (come again) or error.
"""


Look = Callable[[bytes, Sequence[Kept], Container[bytes]], list[int]]
"""Of records, what each of them is, and the traces that wait: the notes of those that are whole."""


class Intake:
    """Takes requests in. Runs on one event loop, which the journal's callbacks come back to.

    Args:
        journal: makes them durable.
        assembler: learns where they are.
        admission: how much may be in flight.
        tally: counts.
        clock: ns since the epoch, steady.
        max_request_bytes: largest request.
        meter: hears of every request.
        wait_seconds: how long a request waits while the journal is full. Requests wait in the order
            in which they came: were they turned away at once, room would go to whoever asks most
            often, and exporters that give up after some tries would lose spans.
        tracer: makes the service's own spans.
        look: gives the notes of a request's records; see `sift.Sift.look_at_all`.
    """

    def __init__(
        self,
        journal: Journal,
        assembler: Assembler,
        admission: Admission,
        *,
        tally: Tally,
        clock: Callable[[], int],
        max_request_bytes: int,
        meter: Meter = lambda *_: None,
        wait_seconds: float = 0.0,
        tracer: Tracer = OFF,
        look: Look | None = None,
    ) -> None:
        self.journal = journal
        self.assembler = assembler
        self.admission = admission
        self.tally = tally
        self.max_request_bytes = max_request_bytes
        self.meter = meter
        self._clock = clock
        self._tracer = tracer
        self._wait_seconds = wait_seconds
        self._look = look
        self._turn = asyncio.Lock()

    async def take(self, signal: str, body: bytes, protocol: str) -> Accepted:
        """Take a request in; returns when all of it that was accepted is durable.

        Args:
            signal: traces or logs.
            protocol: grpc or http, for the meter.
            body: the export request, protobuf, within the size limit and admitted.

        Raises:
            WireError: it is not what it should be.
            JournalFull, JournalError: it cannot be made durable now.
        """
        with self._tracer.start_as_current_span(
            "receive", NO_PARENT, SpanKind.SERVER, record_exception=False
        ) as span:
            accepted, spans = await self._take(signal, body, protocol)
            if span.is_recording():
                span.set_attributes(
                    {
                        "fidelity.signal": signal,
                        "fidelity.protocol": protocol,
                        "fidelity.bytes": len(body),
                        "fidelity.spans": spans,
                        "fidelity.rejected": accepted.rejected,
                    }
                )
            return accepted

    async def _take(self, signal: str, body: bytes, protocol: str) -> tuple[Accepted, int]:
        message = ""
        if signal == "logs":
            carried = carriers(body)
            body = carried.otlp
            self.tally.add("log_records", "outcome", carried.outcomes)
            self.tally.add("log_records", "ignored", carried.others)
            if carried.others:
                message = (
                    f"{carried.others} log records are no gen_ai.evaluation.result events and were "
                    "left out; send only those here"
                )
        now = self._clock()
        records = records_in(body, limit=4 * self.max_request_bytes, time_ns=now)
        if records.kept:
            with self._tracer.start_as_current_span("commit", record_exception=False):
                await self._commit(records, now)
        status = "partial" if records.rejected else "ok"
        self.meter(protocol, status, len(body), records.spans, records.rejected)
        said = "; ".join(m for m in (records.reason, message) if m)
        return Accepted(records.rejected, said), records.spans

    async def _commit(self, records: Records, now_ns: int) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._wait_seconds
        ready: asyncio.Future[None] = loop.create_future()
        notes: list[int] = []

        def durable(outcome: int | FidelityError) -> None:
            # Also where the sender has gone meanwhile: what is in the journal must be in the index.
            if isinstance(outcome, FidelityError):
                if not ready.done():
                    ready.set_exception(outcome)
                return
            self.assembler.add_all(records.kept, outcome, now_ns, notes)
            if not ready.done():
                ready.set_result(None)

        async with self._turn:
            while True:
                try:
                    self.journal.append(records.pieces, durable)
                    break
                except JournalFull:
                    if loop.time() >= until:
                        raise
                    await asyncio.sleep(_REST_SECONDS)
        # While another thread writes them: both find the bytes in the processor's caches.
        notes += self._looked_at(records)
        await ready

    def _looked_at(self, records: Records) -> list[int]:
        if self._look is None or len(records.pieces) != 1:
            return []
        try:
            return self._look(records.pieces[0], records.kept, self.assembler.waiting_ids)
        except Exception:  # noqa: BLE001 (a bug there must not cost the request: others look later)
            _log.exception("a request's traces could not be sifted")
            return []
