"""What the service says of itself: alive, ready, and its own metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fidelity_otel.processor.admission import Admission
from fidelity_otel.processor.assemble import Assembler
from fidelity_otel.processor.chain import Chain
from fidelity_otel.processor.decide import PROBE
from fidelity_otel.processor.forward import Forwarder
from fidelity_otel.processor.journal import Journal
from fidelity_otel.processor.live_page import LivePage
from fidelity_otel.processor.metrics import Metrics
from fidelity_otel.processor.tally import Tally

if TYPE_CHECKING:
    from fidelity_otel.store import Store

__all__ = ["Health"]


class Health:
    """Answers probes. `serving` is true between start and stop."""

    def __init__(
        self,
        *,
        journal: Journal,
        assembler: Assembler,
        admission: Admission,
        chain: Chain,
        metrics: Metrics,
        store: Store,
        tally: Tally,
        clock: Callable[[], int],
        forwarders: Sequence[Forwarder] = (),
    ) -> None:
        self.serving = False
        self._forwarders = forwarders
        self._journal = journal
        self._assembler = assembler
        self._admission = admission
        self._chain = chain
        self._metrics = metrics
        self._store = store
        self._tally = tally
        self._clock = clock
        self._taken = Tally()
        self._live = LivePage(self._now, self.problems, clock)

    @property
    def ready(self) -> bool:
        """Whether requests can be taken now."""
        return self.serving and self._journal.failure is None and not self._full

    @property
    def _full(self) -> bool:
        return self._journal.bytes_used >= self._journal.max_bytes

    def problems(self) -> dict[str, str]:
        """What is wrong now, by part; empty where nothing is."""
        found: dict[str, str] = {}
        if not self.serving:
            found["service"] = "starting or stopping"
        if self._journal.failure is not None:
            found["journal"] = str(self._journal.failure)
        elif self._full:
            found["journal"] = "its disk budget is used up (journal.max_bytes)"
        if self._chain.stalled is not None:
            found["store"] = str(self._chain.stalled)
        if self._admission.refusing:
            found["receive"] = "senders are asked to come again (receive.max_in_flight_bytes)"
        for each in self._forwarders:
            if each.stalled:
                found[f"forward {each.destination.name}"] = each.stalled
        return found

    def routes(self) -> list[Route]:
        """The routes /healthz, /readyz, /metrics, /live and, for `fidelity doctor`, /probe."""
        return [
            Route("/healthz", self._alive, methods=["GET"]),
            Route("/readyz", self._is_ready, methods=["GET"]),
            Route("/metrics", self._expose, methods=["GET"]),
            self._live.route(),
            Route("/probe/{trace_id}", self._probe, methods=["GET"]),
        ]

    async def _alive(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _is_ready(self, _request: Request) -> Response:
        body: dict[str, Any] = {
            "status": "ready" if self.ready else "not ready",
            "problems": self.problems(),
        }
        return JSONResponse(body, 200 if self.ready else 503)

    async def _expose(self, request: Request) -> Response:
        content, kind = self._metrics.expose(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": kind})

    async def _probe(self, request: Request) -> Response:
        """Whether a test trace of `fidelity doctor` has come through to the store."""
        last = await asyncio.to_thread(self._store.meta_get, PROBE)
        arrived = last == request.path_params["trace_id"]
        return JSONResponse({"arrived": arrived}, 200 if arrived else 404)

    def meter(self, protocol: str, status: str, size: int, accepted: int, rejected: int) -> None:
        """Count a request."""
        inc = self._metrics.inc
        self._taken.add("requests", status)
        self._taken.add("spans", "accepted", accepted)
        self._taken.add("spans", "rejected", rejected)
        inc("fidelity_received_requests", protocol=protocol, status=status)
        if size:
            inc("fidelity_received_bytes", size, protocol=protocol)
        if accepted:
            inc("fidelity_received_spans", accepted, protocol=protocol, status="accepted")
        if rejected:
            inc("fidelity_received_spans", rejected, protocol=protocol, status="rejected")

    def _now(self) -> dict[str, dict[str, float]]:
        """What the live page shows."""
        taken, tally, journal = self._taken.get, self._tally.all(), self._journal
        requests = {
            label: n for (name, label), n in self._taken.all().items() if name == "requests"
        }
        ended = {end: n for (name, end), n in sorted(tally.items()) if name == "traces_ended"}
        return {
            "in": {
                "requests": taken("requests"),
                **{f"requests {status}": n for status, n in sorted(requests.items())},
                "spans in": taken("spans", "accepted"),
                "spans rejected": taken("spans", "rejected"),
                "bytes in flight": self._admission.in_flight,
            },
            "waiting": {
                "spans waiting": self._assembler.waiting_spans,
                "traces waiting": len(self._assembler) + self._assembler.deciding,
                "seconds the oldest waits": round(self._assembler.oldest_seconds(self._clock()), 1),
                "journal bytes": journal.bytes_used,
                "journal bytes at most": journal.max_bytes,
            },
            "out": {
                "spans out": self._tally.get("spans_decided"),
                "traces out": sum(ended.values()),
                **{f"traces {end}": n for end, n in ended.items()},
                "traces stored": self._tally.get("traces_stored", "new"),
                "store retries": self._tally.get("store_retries"),
            },
        }

    def watch(self) -> None:
        """Have the gauges read at each scrape."""
        clock = self._clock
        read, assembler, journal = self._metrics.read_from, self._assembler, self._journal
        admission = self._admission
        read("fidelity_in_flight_bytes", lambda: admission.in_flight)
        read("fidelity_in_flight_limit_bytes", lambda: admission.max_bytes)
        read("fidelity_journal_bytes", lambda: journal.bytes_used)
        read("fidelity_journal_limit_bytes", lambda: journal.max_bytes)
        read("fidelity_journal_lag_bytes", lambda: assembler.waiting_bytes)
        read("fidelity_journal_lag_seconds", lambda: assembler.oldest_seconds(clock()))
        read("fidelity_waiting_traces", lambda: len(assembler) + assembler.deciding)
        read("fidelity_waiting_spans", lambda: assembler.waiting_spans)
