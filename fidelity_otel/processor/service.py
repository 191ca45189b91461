"""`fidelity serve`: makes every part, starts them in order, and stops them in the reverse one.

Nothing else in the service starts a server; this is where all parts meet, so that each of them can
be read, and tested, alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.applications import Starlette

from fidelity_otel.processor import native
from fidelity_otel.processor.admission import Admission
from fidelity_otel.processor.assemble import Assembler, AssembleSettings
from fidelity_otel.processor.chain import Chain, restore
from fidelity_otel.processor.chores import Chores
from fidelity_otel.processor.clock import steady_clock
from fidelity_otel.processor.config import Config
from fidelity_otel.processor.decide import Decider
from fidelity_otel.processor.detect import History
from fidelity_otel.processor.folder import hold_folder, write_ports
from fidelity_otel.processor.forward import Findings, forwarders
from fidelity_otel.processor.health import Health
from fidelity_otel.processor.heap import steady_heap
from fidelity_otel.processor.intake import Intake
from fidelity_otel.processor.journal import Journal
from fidelity_otel.processor.live import Live, make_pipeline
from fidelity_otel.processor.metrics import Metrics
from fidelity_otel.processor.own_traces import OwnTraces, check_elsewhere
from fidelity_otel.processor.pipeline import Decides
from fidelity_otel.processor.read import read_otlp
from fidelity_otel.processor.receive_grpc import GrpcReceiver
from fidelity_otel.processor.receive_http import HttpReceiver
from fidelity_otel.processor.reports import Reports
from fidelity_otel.processor.service_http import Listener
from fidelity_otel.processor.sift import Sieve, Sift
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.tls import Tls
from fidelity_otel.processor.windows import Windows
from fidelity_otel.processor.workers import Workers
from fidelity_otel.store import Store, open_store

__all__ = ["Service", "make_pipeline", "serve"]

_log = logging.getLogger(__name__)
_GRACE: Final = 10.0
_GARBAGE: Final = (50_000, 20, 100)


class Service:
    """All parts of a running service.

    Args:
        config: effective settings.
        clock: ns since the epoch.
    """

    def __init__(self, config: Config, *, clock: Callable[[], int] | None = None) -> None:
        self.config = config
        self.data = Path(config["data"])
        self.clock = clock or steady_clock()
        self.tally = Tally()
        self.ports: dict[str, int] = {}
        self._stop = asyncio.Event()
        self._reload: Callable[[], None] = lambda: None

    def reload(self) -> None:
        """Read the configuration file again, as SIGHUP does."""
        self._reload()

    def stop(self) -> None:
        """Ask the service to end, as SIGTERM does."""
        self._stop.set()

    async def run(self, started: Callable[[dict[str, int]], None] = lambda _: None) -> None:
        """Serve until `stop`.

        Args:
            started: called with the bound ports once everything is ready.

        Raises:
            ConfigError: a port or folder cannot be used.
            StoreError, JournalError: they cannot be opened.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(hold_folder(self.data))
            store = stack.enter_context(
                await asyncio.to_thread(open_store, self.data, self.config["store.url"])
            )
            await self._run(store, stack, started)

    async def _run(
        self,
        store: Store,
        stack: contextlib.AsyncExitStack,
        started: Callable[[dict[str, int]], None],
    ) -> None:
        config, loop = self.config, asyncio.get_running_loop()
        native.use(config["receive.native"])
        metrics = self._metrics()
        tls = Tls.of(config.values)
        live = await asyncio.to_thread(Live, config, store)
        journal = await asyncio.to_thread(self._journal, loop, metrics)
        stack.callback(journal.close)
        assembler = Assembler(AssembleSettings.of(config.values))
        waiting = await asyncio.to_thread(restore, journal, assembler, now_ns=self.clock())
        if waiting:
            _log.info("%d spans of %d traces wait from before", waiting, len(assembler))
        for position, size in journal.damaged:
            _log.error("the journal is damaged at position %d: %d bytes are lost", position, size)
            self.tally.add("journal_damaged_bytes", "", size)
        sending = forwarders(
            config.values,
            journal,
            self.data / "forward",
            tally=self.tally,
            lag=lambda name, n: metrics.set("fidelity_forward_lag_bytes", n, destination=name),
        )
        findings = Findings(config["forward.findings"])
        own = await self._own_traces(stack)
        sift = Sift(live, History())
        decider = self._decider(
            live,
            store,
            stack,
            sift=sift,
            stored=metrics.trace,
            found=findings.found if sending and config["forward.findings"] != "none" else None,
            tracer=own.tracer,
        )
        chain = Chain(
            journal,
            assembler,
            decider,
            tally=self.tally,
            clock=self.clock,
            also=findings.take,
        )
        admission = Admission(config["receive.max_in_flight_bytes"])
        health = Health(
            journal=journal,
            assembler=assembler,
            admission=admission,
            chain=chain,
            metrics=metrics,
            store=store,
            tally=self.tally,
            clock=self.clock,
            forwarders=sending,
        )
        health.watch()
        intake = Intake(
            journal,
            assembler,
            admission,
            tally=self.tally,
            clock=self.clock,
            max_request_bytes=config["receive.max_request_bytes"],
            meter=health.meter,
            wait_seconds=config["receive.wait_seconds"],
            tracer=own.tracer,
            look=sift.look_at_all,
        )
        windows = Windows(store, lambda: live.sampler, config.values, self.clock)
        reports = Reports(store, config.values, self.clock)
        chores = Chores(
            chain=chain,
            windows=windows,
            reports=reports,
            store=store,
            metrics=metrics,
            settings=config.values,
            clock=self.clock,
            live=live,
        )

        onward = [asyncio.create_task(each.run(), name="forward") for each in sending]
        for each, task in zip(sending, onward, strict=True):
            stack.push_async_callback(_ended, each.stop, task)
        deciding = asyncio.create_task(chain.run(), name="decide")
        stack.push_async_callback(_ended, chain.stop, deciding)
        keeping = asyncio.create_task(chores.run(), name="chores")
        stack.push_async_callback(_ended, chores.stop, keeping)

        host = config["host"]
        web = self._web(store, health, windows, reports)
        listener = Listener(host)
        stack.push_async_callback(listener.stop, _GRACE)
        http = await listener.start(web, config["ports.http"], "ports.http")
        token = config["receive.token"]
        grpc = GrpcReceiver(
            intake,
            ready=lambda: health.ready,
            token=token,
            credentials=tls.for_grpc() if tls else None,
        )
        stack.push_async_callback(grpc.stop, _GRACE)
        otlp_grpc = await grpc.start(host, config["ports.otlp_grpc"])
        otlp_http = await listener.start(
            HttpReceiver(intake, token=token),
            config["ports.otlp_http"],
            "ports.otlp_http",
            tls=tls.for_http() if tls else None,
        )
        self.ports = {"otlp_grpc": otlp_grpc, "otlp_http": otlp_http, "http": http}
        check_elsewhere(config["telemetry.traces"], host, self.ports.values())
        health.serving = True
        self._reload = live.reload
        stack.callback(write_ports(self.data, self.ports))
        started(self.ports)
        await self._until_stopped(deciding, keeping, *onward)
        health.serving = False  # not ready before it drains

    def _decider(
        self,
        live: Live,
        store: Store,
        stack: contextlib.AsyncExitStack,
        *,
        sift: Sift,
        **telling: Any,
    ) -> Decider:
        pipeline = make_pipeline(live, self.tally, sift.history)
        count = self.config["workers"]
        decides: Decides = pipeline
        if count > 1:
            decides = workers = Workers(
                count,
                live,
                pipeline,
                history=sift.history,
                tally=self.tally,
                log_format=self.config["log.format"],
            )
            stack.callback(workers.close)

        def keep(trace_id: str) -> float:
            return live.sampler.keeps(trace_id)

        return Decider(
            decides,
            store,
            sieve=Sieve(sift, keep=keep, tally=self.tally),
            tally=self.tally,
            clock=self.clock,
            refused=self.data / "refused",
            **telling,
        )

    async def _own_traces(self, stack: contextlib.AsyncExitStack) -> OwnTraces:
        endpoint = self.config["telemetry.traces"]
        own = await asyncio.to_thread(OwnTraces, endpoint, version=version("fidelity-otel"))
        stack.push_async_callback(asyncio.to_thread, own.close)
        return own

    async def _until_stopped(self, *tasks: asyncio.Task[None]) -> None:
        """Until asked to stop; a background task that fails ends the service with its error."""
        waiting = asyncio.create_task(self._stop.wait())
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        for task in tasks:
            if task.done():
                task.result()

    def _journal(self, loop: asyncio.AbstractEventLoop, metrics: Metrics) -> Journal:
        return Journal(
            self.data / "journal",
            max_bytes=self.config["journal.max_bytes"],
            segment_bytes=self.config["journal.segment_bytes"],
            commit_ms=self.config["journal.commit_ms"],
            notify=loop.call_soon_threadsafe,
            observe=lambda seconds: metrics.observe("fidelity_journal_fsync_seconds", seconds),
            clock=self.clock,
        )

    def _metrics(self) -> Metrics:
        metrics = Metrics(
            most=self.config["report.max_workflows"], version=version("fidelity-otel")
        )
        metrics.read_tally(self.tally)
        return metrics

    def _web(self, store: Store, health: Health, windows: Windows, reports: Reports) -> Starlette:
        from fidelity_otel.review.web import Hooks, create_app

        hooks = Hooks(
            close_windows=lambda: windows.close(now=True),
            report=lambda query: msgspec.json.encode(reports.summary(query)),
            report_page=reports.page,
        )
        app = create_app(store, read_otlp, settings=self.config.values, now=self.clock, hooks=hooks)
        app.router.routes[:0] = health.routes()
        return app


async def _ended(stop: Callable[[], None], task: asyncio.Task[None]) -> None:
    stop()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def serve(config: Config, *, say: Callable[[str], None] | None = None) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        config: effective settings.
        say: gets the lines for a person; stderr by default.

    Raises:
        FidelityError: it cannot start; the message says why and how to mend it.
    """
    tell = say or (lambda line: print(line, file=sys.stderr, flush=True))

    steady_heap()

    def started(ports: dict[str, int]) -> None:
        host = config["host"]
        tell(f"OTLP gRPC   {host}:{ports['otlp_grpc']}")
        tell(f"OTLP HTTP   http://{host}:{ports['otlp_http']}/v1/traces")
        tell(f"review, API http://{host}:{ports['http']}/   metrics at /metrics")
        tell(f"scanner     {native.in_use()}")
        tell(f"data in {config['data']}; ready")
        # What is made while a trace is decided has no cycles, so looking for them often is waste:
        # a tenth of the CPU. What was loaded by now stays for good and need not be looked through.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GARBAGE)

    async def main() -> None:
        service = Service(config)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, service.stop)
        loop.add_signal_handler(signal.SIGHUP, service.reload)
        await service.run(started)
        tell("stopped: everything acked is in the journal or the store")

    import uvloop

    uvloop.run(main())
