"""One destination's way through the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fidelity_otel.errors import ConfigError, JournalError
from fidelity_otel.processor.forward.cursor import Cursor
from fidelity_otel.processor.forward.destination import Answer, Destination
from fidelity_otel.processor.journal import FINDINGS, LOGS, MOVED, SPANS, Journal, unpack_spans
from fidelity_otel.processor.tally import Tally

__all__ = ["Forwarder", "forwarders"]

_log = logging.getLogger(__name__)
_BATCH_BYTES: Final = 1 << 20
_REST_SECONDS: Final = 0.1
_LONGEST_BACKOFF: Final = 30.0


class _Piece(NamedTuple):
    """One record to send: its signal, its OTLP, and how many spans are in it."""

    signal: str
    otlp: bytes
    spans: int


class Forwarder:
    """Sends what the journal holds to one destination, in order, until it has taken it.

    Args:
        journal: where it is read from; nothing at or above the cursor is freed.
        destination: who gets it.
        cursor: how far it has it.
        tally: counts `forward_sent` and `forward_refused` spans by destination.
        lag: hears of the bytes that it has not taken yet.
    """

    def __init__(
        self,
        journal: Journal,
        destination: Destination,
        cursor: Cursor,
        *,
        tally: Tally,
        lag: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.destination = destination
        self.stalled = ""
        self._journal = journal
        self._cursor = cursor
        self._tally = tally
        self._lag = lag
        self._stop = asyncio.Event()
        self._reader = f"forward {destination.key}"
        if not journal.begin <= cursor.position <= journal.end:
            # The journal was removed, or another data folder's cursor put here.
            _log.warning("%s: what the journal held for it is gone", destination.name)
            cursor.move(journal.begin)
        journal.need(self._reader, cursor.position)

    def stop(self) -> None:
        """Ask `run` to end; what was not sent is sent after the next start."""
        self._stop.set()

    async def run(self) -> None:
        """Send until `stop`."""
        while not self._stop.is_set():
            pieces, end = await asyncio.to_thread(self._read)
            self._lag(max(0, self._journal.durable - self._cursor.position))
            if end == self._cursor.position:
                await self._rest(_REST_SECONDS)
                continue
            if not await self._deliver(pieces):
                return
            try:
                await asyncio.to_thread(self._cursor.move, end)
            except JournalError as error:
                _log.error("%s", error)
                self._cursor.position = end
            self._journal.need(self._reader, end)
            self._lag(max(0, self._journal.durable - end))

    def _read(self) -> tuple[list[_Piece], int]:
        """The next records to send, and the position behind them."""
        pieces: list[_Piece] = []
        size, end = 0, self._cursor.position
        for record in self._journal.follow(end):
            end = record.end
            # What was moved to a newer segment has been read where it lay before.
            if record.kind == SPANS and not record.flags & MOVED:
                spans = unpack_spans(record.payload)
                pieces.append(_Piece("traces", bytes(spans.otlp), spans.number))
            elif record.kind == FINDINGS:
                signal = "logs" if record.flags & LOGS else "traces"
                pieces.append(_Piece(signal, bytes(record.payload), 0))
            else:
                continue
            size += len(pieces[-1].otlp)
            if size >= _BATCH_BYTES:
                break
        return pieces, end

    async def _deliver(self, pieces: list[_Piece]) -> bool:
        """Send pieces until each was taken or refused for good; False where `stop` came before."""
        for signal in ("traces", "logs"):
            some = [piece for piece in pieces if piece.signal == signal]
            if some and not await self._send(signal, some):
                return False
        return True

    async def _send(self, signal: str, pieces: list[_Piece]) -> bool:
        answer = await self._until_answered(signal, b"".join(piece.otlp for piece in pieces))
        if answer is None:
            return False
        if answer.end == "taken":
            self._count("forward_sent", pieces)
        elif len(pieces) == 1:
            self._count("forward_refused", pieces)
            _log.error(
                "%s: %d spans are left out for this destination", answer.why, pieces[0].spans
            )
        else:  # find out which of them it is: the others must not suffer
            half = len(pieces) // 2
            return await self._send(signal, pieces[:half]) and await self._send(
                signal, pieces[half:]
            )
        return True

    def _count(self, what: str, pieces: list[_Piece]) -> None:
        self._tally.add(what, self.destination.name, sum(piece.spans for piece in pieces))

    async def _until_answered(self, signal: str, body: bytes) -> Answer | None:
        backoff = 0.2
        while not self._stop.is_set():
            answer = await asyncio.to_thread(self.destination.send, signal, body)
            if answer.end != "later":
                if self.stalled:
                    _log.warning("%s takes spans again", self.destination.name)
                    self.stalled = ""
                return answer
            if not self.stalled:
                _log.error("%s: it gets its spans later", answer.why)
            self.stalled = answer.why
            await self._rest(max(answer.after, backoff * random.uniform(0.7, 1.3)))  # noqa: S311
            backoff = min(2 * backoff, _LONGEST_BACKOFF)
        return None

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def forwarders(
    settings: Mapping[str, Any],
    journal: Journal,
    folder: Path,
    *,
    tally: Tally,
    lag: Callable[[str, int], None],
) -> list[Forwarder]:
    """One for each endpoint of `forward.to`.

    Args:
        settings: by dotted name.
        journal: opened.
        folder: of the cursors.
        tally: counts.
        lag: hears of a destination's name and the bytes that it has not taken yet.

    Raises:
        ConfigError: an endpoint or header is wrong, or an endpoint is there twice.
        JournalError: a cursor cannot be read or written.
    """
    made: dict[str, Forwarder] = {}
    for url in settings["forward.to"]:
        there = Destination(url, settings["forward.headers"])
        if there.key in made:
            raise ConfigError(f"forward.to names {url} twice")
        made[there.key] = Forwarder(
            journal,
            there,
            Cursor(folder / f"{there.key}.json", journal.end),
            tally=tally,
            lag=lambda n, name=there.name: lag(name, n),  # type: ignore[misc]
        )
    return list(made.values())
