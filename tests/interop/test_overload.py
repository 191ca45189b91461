"""Ten times more than the service can take, from stock exporters: they are put off, nothing is lost.

What the senders send unhindered is measured first; then the service gets a journal that is so small
that it can hold a tenth of that for as long as traces wait. `make test-overload` does it for five
minutes.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "processor")]
from serving import Serving  # noqa: E402
from test_collector import _find_collector, _free_ports  # noqa: E402

from fidelity_otel.store import open_store  # noqa: E402

SECONDS = float(os.environ.get("FIDELITY_OVERLOAD_SECONDS", "10"))
UNHINDERED = 4.0
SETTLE = 1.0
TIMES = 13.0  # a little above ten: that rate is measured on a service that warms up
FREED = 0.1  # seconds until what is decided has left the journal
PATIENCE = 300.0
"""The Collector retries for so long by default; the SDK's exporter gets the same (its default, 10 s,
is shorter than what it may be asked to wait)."""

pytestmark = [
    pytest.mark.xdist_group("interop"),
    pytest.mark.parts,
    pytest.mark.timeout(300 + 2 * SECONDS),
]


class Sender(threading.Thread):
    """A stock exporter that is given batches of four traces, the next one when it has returned."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(daemon=True)
        self.exporter = exporter
        self.done = threading.Event()
        self.sent: dict[str, int] = {}
        self.lost = 0
        self._kept = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self._text = secrets.token_hex(400)

    def run(self) -> None:
        tracer = self._provider.get_tracer("overload")
        while not self.done.is_set():
            for _ in range(4):
                with tracer.start_as_current_span("root"):
                    for number in range(7):
                        attributes = {"text": self._text, "number": number}
                        tracer.start_span("step", attributes=attributes).end()
            spans = self._kept.get_finished_spans()
            self._kept.clear()
            if self.exporter.export(spans) is not SpanExportResult.SUCCESS:
                self.lost += len(spans)
                continue
            for span in spans:
                trace_id = f"{span.get_span_context().trace_id:032x}"
                self.sent[trace_id] = self.sent.get(trace_id, 0) + 1
        self.exporter.shutdown()


def grpc(address: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=address, insecure=True, timeout=PATIENCE)


def http(address: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"http://{address}/v1/traces", timeout=PATIENCE)


@contextmanager
def collecting(binary: Path, folder: Path, service: Serving) -> Iterator[list[str]]:
    """The Collector, sending on by gRPC and by HTTP; given are its addresses, one for each."""
    folder.mkdir()
    ports = _free_ports(2)
    queue = "sending_queue: {queue_size: 10, block_on_overflow: true}"
    to = {name: f"127.0.0.1:{service.ports[f'otlp_{name}']}" for name in ("grpc", "http")}
    (folder / "config.yaml").write_text(f"""
receivers:
  otlp/grpc: {{protocols: {{http: {{endpoint: '127.0.0.1:{ports[0]}'}}}}}}
  otlp/http: {{protocols: {{http: {{endpoint: '127.0.0.1:{ports[1]}'}}}}}}
exporters:
  otlp_grpc: {{endpoint: '{to["grpc"]}', tls: {{insecure: true}}, {queue}}}
  otlp_http: {{endpoint: 'http://{to["http"]}', {queue}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces/grpc: {{receivers: [otlp/grpc], exporters: [otlp_grpc]}}
    traces/http: {{receivers: [otlp/http], exporters: [otlp_http]}}
""")
    log = folder / "collector.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(binary), "--config", str(folder / "config.yaml")],
            env={**os.environ, "GOMAXPROCS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + 30
        while b"Everything is ready" not in log.read_bytes():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.05)
        yield [f"127.0.0.1:{port}" for port in ports]
        said = log.read_text(errors="replace")
        assert "Dropping data" not in said, said[-3000:]
    finally:
        process.terminate()
        process.wait(30)


def load(service: Serving, through: list[str], seconds: float) -> list[Sender]:
    """Six senders for so long: two by gRPC, two by HTTP, two that have a Collector between."""
    addresses = {name: f"127.0.0.1:{service.ports[f'otlp_{name}']}" for name in ("grpc", "http")}
    senders = [
        *(Sender(grpc(addresses["grpc"])) for _ in range(2)),
        *(Sender(http(addresses["http"])) for _ in range(2)),
        *(Sender(http(address)) for address in through),
    ]
    for sender in senders:
        sender.start()
    time.sleep(seconds)
    for sender in senders:
        sender.done.set()
    for sender in senders:
        sender.join(PATIENCE)
        assert not sender.is_alive()
    return senders


@contextmanager
def serving(folder: Path, binary: Path, **environment: str) -> Iterator[tuple[Serving, list[str]]]:
    with (
        Serving(
            folder / "data", FIDELITY_ASSEMBLE_SETTLE_SECONDS=str(SETTLE), **environment
        ) as service,
        collecting(binary, folder / "collector", service) as through,
    ):
        yield service, through


def test_ten_times_too_much_is_put_off_and_nothing_is_lost(tmp_path: Path, missing: Any) -> None:
    binary = _find_collector()
    if binary is None:
        missing("the Collector (`python3 tools/parts.py get otelcol`)")
    (tmp_path / "free").mkdir()
    with serving(tmp_path / "free", binary) as (service, through):
        free = sum(len(s.sent) for s in load(service, through, UNHINDERED)) / UNHINDERED
        unhindered = service.metric("fidelity_journal_bytes") / UNHINDERED
    small = int(unhindered / TIMES * (SETTLE + FREED))
    (tmp_path / "small").mkdir()
    with serving(
        tmp_path / "small",
        binary,
        FIDELITY_JOURNAL_MAX_BYTES=str(max(1 << 16, small)),
        FIDELITY_JOURNAL_SEGMENT_BYTES=str(max(1 << 12, small // 8)),
    ) as (service, through):
        senders = load(service, through, SECONDS)
        sent: dict[str, int] = {}
        for sender in senders:
            sent |= sender.sent
        total = sum(sent.values())

        def decided() -> bool:
            return service.metric("fidelity_decided_spans_total") >= total

        service.until(decided, PATIENCE)
        told = service.ask("/metrics")[1].decode().splitlines()
        refused = sum(
            float(line.rpartition(" ")[2])
            for line in told
            if line.startswith("fidelity_received_requests_total") and 'status="refused"' in line
        )
        # Ready again once the journal has fallen well below its limit, not at the first free byte.
        service.until(lambda: service.ask("/readyz")[0] == 200, PATIENCE)
        assert service.process is not None
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
        assert service.stop() == 0
    assert [sender.lost for sender in senders] == [0] * len(senders)
    assert all(sender.sent for sender in senders)
    times = free * SECONDS / len(sent)
    filled = len(sent) * (unhindered / free) / small  # by what a trace takes in the journal
    assert filled > 2, "the journal was never full: it was not too much"
    assert peak < 400
    with open_store(service.data) as store:
        found = {row.trace_id: row.span_count for row in store.traces(limit=10_000_000)}
    assert {trace_id: found.get(trace_id) for trace_id in sent} == sent
    print(
        f"{times:.1f} times too much: {unhindered / 1e6:.1f} MB/s unhindered, {total} spans in "
        f"{SECONDS:.0f} s through a journal of {small / 1e6:.2f} MB, {refused:.0f} requests put off, "
        f"none lost, at most {peak} MB of memory"
    )
