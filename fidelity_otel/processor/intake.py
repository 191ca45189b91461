"""From a request's bytes to the journal and the index: what happens before the ack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from opentelemetry.trace import SpanKind, Tracer

from fidelity_otel.errors import FidelityError, JournalFull
from fidelity_otel.processor import wire
from fidelity_otel.processor.admission import Admission
from fidelity_otel.processor.assemble import Assembler, Place
from fidelity_otel.processor.journal import (
    CARRIER,
    COMPLETE,
    ROOT,
    SPANS,
    Journal,
    frame_of_two,
    pack_spans_head,
)
from fidelity_otel.processor.own_traces import NO_PARENT, OFF
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.wire_logs import carriers

__all__ = ["Accepted", "Intake", "flags_of"]

_REST_SECONDS: Final = 0.02


class Accepted(NamedTuple):
    """A request is durable; `rejected` of its items were refused, for the reason given."""

    rejected: int = 0
    message: str = ""


Meter = Callable[[str, str, int, int, int], None]
"""Hears of every request: protocol, status, bytes, spans accepted, spans rejected.

The status is ok, partial, invalid, too_large, refused (come again) or error.
"""


def flags_of(part: wire.Part) -> int:
    """The flags of the record that holds a part."""
    return (
        (ROOT if part.root else 0)
        | (COMPLETE if part.complete else 0)
        | (CARRIER if part.carrier else 0)
    )


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
        batch = wire.split(body, limit=4 * self.max_request_bytes)
        if batch.parts:
            with self._tracer.start_as_current_span("commit", record_exception=False):
                await self._commit(batch.parts)
        status = "partial" if batch.rejected else "ok"
        self.meter(protocol, status, len(body), batch.spans, batch.rejected)
        said = "; ".join(m for m in (batch.reason, message) if m)
        return Accepted(batch.rejected, said), batch.spans

    async def _commit(self, parts: Sequence[wire.Part]) -> None:
        loop = asyncio.get_running_loop()
        until, now = loop.time() + self._wait_seconds, self._clock()
        ready: asyncio.Future[None] = loop.create_future()
        flags = [flags_of(p) for p in parts]
        framed = [
            frame_of_two(
                SPANS, pack_spans_head(p.trace_id, p.span_ids), p.otlp, time_ns=now, flags=f
            )
            for p, f in zip(parts, flags, strict=True)
        ]
        frames = [piece for pieces in framed for piece in pieces]

        def durable(outcome: int | FidelityError) -> None:
            # Also where the sender has gone meanwhile: what is in the journal must be in the index.
            if isinstance(outcome, FidelityError):
                if not ready.done():
                    ready.set_exception(outcome)
                return
            position = outcome
            for part, (head, otlp), marks in zip(parts, framed, flags, strict=True):
                size = len(head) + len(otlp)
                self.assembler.add(
                    part.trace_id,
                    Place(position, size),
                    spans=len(part.span_ids) // 8,
                    flags=marks,
                    now_ns=now,
                )
                position += size
            if not ready.done():
                ready.set_result(None)

        async with self._turn:
            while True:
                try:
                    self.journal.append(frames, durable)
                    break
                except JournalFull:
                    if loop.time() >= until:
                        raise
                    await asyncio.sleep(_REST_SECONDS)
        await ready
