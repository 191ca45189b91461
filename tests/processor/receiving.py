"""The receiving side of the service inside a test's event loop: journal, index, both receivers."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from fidelity_otel.processor import wire
from fidelity_otel.processor.admission import Admission
from fidelity_otel.processor.assemble import Assembler, AssembleSettings
from fidelity_otel.processor.intake import Intake, Look
from fidelity_otel.processor.journal import SPANS, Journal, unpack_spans
from fidelity_otel.processor.receive_http import HttpReceiver
from fidelity_otel.processor.tally import Tally


class Receiving:
    """An intake over a real journal. `metered` counts (protocol, status)."""

    def __init__(
        self,
        folder: Path,
        *,
        max_request_bytes: int = 1 << 20,
        max_in_flight: int = 8 << 20,
        max_journal: int = 8 << 20,
        token: str = "",
        body_seconds: float = 60.0,
        wait_seconds: float = 0.0,
        look: Look | None = None,
    ) -> None:
        self.metered: Counter[tuple[str, str]] = Counter()
        self.journal = Journal(
            folder,
            max_bytes=max_journal,
            commit_ms=0,
            notify=asyncio.get_running_loop().call_soon_threadsafe,
        )
        self.assembler = Assembler(AssembleSettings())
        self.admission = Admission(max_in_flight)
        self.intake = Intake(
            self.journal,
            self.assembler,
            self.admission,
            tally=Tally(),
            clock=lambda: 1_000,
            max_request_bytes=max_request_bytes,
            meter=self._meter,
            wait_seconds=wait_seconds,
            look=look,
        )
        self.http = HttpReceiver(self.intake, token=token, body_seconds=body_seconds)

    def _meter(self, protocol: str, status: str, size: int, accepted: int, rejected: int) -> None:
        self.metered[protocol, status] += 1

    def spans(self) -> list[tuple[str, str]]:
        """(trace id, span id) of every span in the journal, in order."""
        found: list[tuple[str, str]] = []
        for record in self.journal.records():
            if record.kind == SPANS:
                otlp = bytes(unpack_spans(record.payload).otlp)
                found += [(s.trace_id, s.span_id) for s in wire.decode(otlp)]
        return found

    async def close(self) -> None:
        await asyncio.to_thread(self.journal.close)


async def ask(
    app: Any,
    body: bytes | list[bytes] = b"",
    *,
    path: str = "/v1/traces",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    ending: str = "http.request",
) -> tuple[int, dict[str, str], bytes]:
    """One request through ASGI: status, headers, body. A list of bytes arrives in pieces."""
    given = {"content-type": "application/x-protobuf"} | (headers or {})
    pieces = [body] if isinstance(body, bytes) else list(body)
    messages = [
        {"type": "http.request", "body": piece, "more_body": i + 1 < len(pieces)}
        for i, piece in enumerate(pieces)
    ]
    if ending != "http.request":
        messages[-1] = {"type": ending}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()  # the rest never comes
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(k.encode(), v.encode()) for k, v in given.items()],
    }
    await app(scope, receive, send)
    start, end = sent
    answered = {k.decode(): v.decode() for k, v in start["headers"]}
    assert int(answered["content-length"]) == len(end["body"])
    return start["status"], answered, end["body"]
