"""`make soak`: hours of steady load on a real `fidelity serve`: memory flat, gauges back to zero.

    python benchmarks/processor/soak.py --seconds 3600 --rate 1000

Beside the load, connections that say nothing, bodies that are no OTLP and traces that never end
come in all the time, and the report and the metrics are asked for, as in production. Exit code 1
where memory grows, a gauge does not fall back, spans are missing, or the service fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import socket
import statistics
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import process
from measure import Load
from systems import Fidelity, Running, Service

GAUGES = (
    "fidelity_waiting_spans",
    "fidelity_waiting_traces",
    "fidelity_in_flight_bytes",
    "fidelity_journal_lag_bytes",
    "fidelity_journal_lag_seconds",
)
ALLOWED_GROWTH = 0.10
ALLOWED_BYTES = 24e6
WARM_SHARE = 0.4
"""Of the time: caches fill and the store's page cache grows to its limit."""


class Trouble:
    """What senders do that they should not."""

    def __init__(self, running: Running) -> None:
        self._ports = running.ports
        self._silent: list[socket.socket] = []
        self.rootless = 0

    def make(self) -> None:
        """Some of each: a silent connection, half a request, garbage, a trace without a root."""
        with contextlib.suppress(OSError):
            for port in ("otlp_http", "otlp_grpc"):
                self._silent.append(socket.create_connection(("127.0.0.1", self._ports[port]), 5))
            self._silent[-2].send(b"POST /v1/traces HTTP/1.1\r\ncontent-length: 999\r\n\r\nhalf")
        while len(self._silent) > 200:
            self._silent.pop(0).close()
        self._post(secrets.token_bytes(500))
        if self._post(_rootless()) == 200:
            self.rootless += 1

    def _post(self, body: bytes) -> int:
        url = f"http://127.0.0.1:{self._ports['otlp_http']}/v1/traces"
        request = urllib.request.Request(url, body, {"content-type": "application/x-protobuf"})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def end(self) -> None:
        for each in self._silent:
            each.close()


def _rootless() -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    made = ExportTraceServiceRequest()
    span = made.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
    span.parent_span_id, span.name = secrets.token_bytes(8), "orphan"
    span.start_time_unix_nano, span.end_time_unix_nano = 1, 2
    return made.SerializeToString()


def gauges(running: Running) -> dict[str, float]:
    """The gauges that fall to zero when nothing waits."""
    return {name: running.metric(name) or 0.0 for name in GAUGES}


def soak(
    running: Running, *, seconds: float, rate: float, core: int, report: bool = True
) -> dict[str, object]:
    """Load it, watch it, let it come to rest; returns figures and `problems`."""
    load = Load(running, "grpc", core, seconds=seconds, rate=rate, connections=2)
    trouble = Trouble(running)
    began, samples = time.monotonic(), list[tuple[float, int]]()
    while load.under_way:
        time.sleep(2.0)
        trouble.make()
        running.get("/metrics")
        if report and len(samples) % 8 == 0:
            running.get("/api/v1/report")
        if running.process.poll() is not None:
            break
        samples.append((time.monotonic() - began, process.memory_bytes(running.pid)))
    figures = load.result(60)
    trouble.end()
    expected = figures["acked"] + trouble.rootless
    deadline = time.monotonic() + 300
    while any(gauges(running).values()) and time.monotonic() < deadline:
        time.sleep(1.0)
    left = {name: value for name, value in gauges(running).items() if value}
    decided = running.metric("fidelity_decided_spans_total") or 0.0
    warm = [memory for at, memory in samples if at >= WARM_SHARE * seconds]
    half = len(warm) // 2
    first, last = statistics.median(warm[:half]), statistics.median(warm[half:])
    problems = [f"{name} stays at {value:g}" for name, value in left.items()]
    if last - first > max(ALLOWED_GROWTH * first, ALLOWED_BYTES):
        problems.append(f"memory grew from {first / 1e6:.0f} to {last / 1e6:.0f} MB")
    if decided != expected:
        problems.append(f"{expected} spans acked, {decided:.0f} decided")
    if running.get("/readyz")[0] != 200:
        problems.append("not ready at the end")
    if "Traceback" in running.log.read_text(errors="replace"):
        problems.append("an exception is in the log")
    return {
        "seconds": round(time.monotonic() - began),
        "spans": figures["acked"],
        "spans_per_second": figures["acked"] / figures["seconds"],
        "rootless_traces": trouble.rootless,
        "memory_mb_at_start": samples[0][1] / 1e6,
        "memory_mb_middle": first / 1e6,
        "memory_mb_last": last / 1e6,
        "memory_mb": [round(memory / 1e6) for _, memory in samples[:: max(1, len(samples) // 20)]],
        "cpu_seconds": process.cpu_seconds(running.pid),
        "ack_ms": figures["latency_ms"],
        "refusals": figures["refusals"],
        "problems": problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=1000.0, help="spans a second")
    parser.add_argument("--core", type=int, default=1, help="of the load generator")
    parser.add_argument("--folder", type=Path, help="for data (the system's temporary one)")
    parser.add_argument(
        "--report",
        type=float,
        default=15.0,
        help="seconds between refreshes of the report's numbers; 0 = none, and it is not asked for",
    )
    parser.add_argument("--keep", type=float, default=1.0, help="sample.keep_share")
    chosen = parser.parse_args()
    environment = {
        "FIDELITY_ASSEMBLE_IDLE_SECONDS": "20",
        "FIDELITY_RETAIN_MAX_BYTES": str(200 << 20),
        "FIDELITY_SAMPLE_KEEP_SHARE": str(chosen.keep),
        "FIDELITY_REPORT_REFRESH_SECONDS": str(chosen.report or 1e6),
    }
    options = Service(wait=5.0, directory=chosen.folder, environment=environment)
    with Fidelity().run(options) as running:
        told = soak(
            running,
            seconds=chosen.seconds,
            rate=chosen.rate,
            core=chosen.core,
            report=chosen.report > 0,
        )
    print(json.dumps(told, indent=1))
    return 1 if told["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
