"""The services under test: the real Collector in two configurations, and ours.

Each is started with its own directory, on free loopback ports, pinned to the cores given, and ended
by its process id.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import parts  # noqa: E402

__all__ = ["SYSTEMS", "Running", "Service", "System", "UnavailableError"]

READY_SECONDS = 180.0


class UnavailableError(RuntimeError):
    """A system cannot be measured here; the message says why."""


@dataclass
class Service:
    """How all systems are started in one run of the benchmark."""

    command: Sequence[str] = (str(Path(sys.executable).parent / "fidelity"),)
    cores: frozenset[int] = frozenset({0})
    wait: float = 5.0
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None


@dataclass
class Running:
    """A started service."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int]
    log: Path
    ready_seconds: float

    @property
    def pid(self) -> int:
        return self.process.pid

    def get(self, path: str) -> tuple[int, str]:
        """A page of its HTTP port: status and text; status 0 where there is no answer."""
        try:
            address = f"http://127.0.0.1:{self.ports['http']}{path}"
            with urllib.request.urlopen(address, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except (OSError, KeyError):
            return 0, ""

    def metric(self, name: str, label: str = "") -> float | None:
        """The sum of a metric over its labels, or those with this one; None where there is none."""
        _, text = self.get("/metrics")
        labels = rf"\{{[^}}]*{label}[^}}]*\}}" if label else r"(?:\{[^}]*\})?"
        found = re.findall(rf"^{name}{labels} ([0-9.eE+-]+)$", text, re.MULTILINE)
        return sum(map(float, found)) if found else None

    def stop(self, *, kill: bool = False) -> None:
        """End the service; a politely asked one gets thirty seconds."""
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class System:
    """Something that takes OTLP. `name` is what the table calls it."""

    name = ""
    title = ""

    def command(self, options: Service, directory: Path) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def ready(self, directory: Path) -> dict[str, int] | None:
        """The ports once it takes requests."""
        raise NotImplementedError

    def settled(self, _running: Running, _traces: int) -> bool:
        """Whether all that was sent has been worked through; CPU says it where this can't."""
        return True

    def launch(self, options: Service, directory: Path) -> Running:
        """Start in a directory of the caller's; returns when it is ready.

        Raises:
            UnavailableError: it does not start; the end of its log is in the message.
        """
        command, environment = self.command(options, directory)
        log = directory / f"{self.name}.log"
        began = time.monotonic()
        with log.open("ab") as sink, _pinned(options.cores):
            process = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, **environment, **options.environment},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        while time.monotonic() - began < READY_SECONDS:
            ports = self.ready(directory)
            if ports is not None:
                return Running(process, ports, log, time.monotonic() - began)
            if process.poll() is not None:
                break
            time.sleep(0.02)
        process.kill()
        process.wait(10)
        end = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise UnavailableError(f"{self.name} did not become ready:\n{end}")

    @contextmanager
    def run(self, options: Service) -> Iterator[Running]:
        """Start in a fresh directory, and end and clean up when the block is left."""
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as name:
            running = self.launch(options, Path(name))
            try:
                yield running
            finally:
                running.stop()


@contextmanager
def _pinned(cores: frozenset[int]) -> Iterator[None]:
    """What is started in the block stays on these cores, with every thread it will have."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Collector(System):
    """The real OpenTelemetry Collector, one processor, exporter nop."""

    processors = ""

    def __init__(self) -> None:
        self._ports: dict[str, int] = {}

    def processor(self, _options: Service) -> str:
        return "{}"

    def command(self, options: Service, directory: Path) -> tuple[list[str], dict[str, str]]:
        binary = parts.find("otelcol")
        if binary is None:
            raise UnavailableError(f"the Collector is not here: {parts.mend('otelcol')}")
        grpc, http, metrics = _free_ports(3)
        self._ports = {"otlp_grpc": grpc, "otlp_http": http, "http": metrics}
        config = directory / "collector.yaml"
        config.write_text(f"""
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:{grpc}, max_recv_msg_size_mib: 64}}
      http: {{endpoint: 127.0.0.1:{http}}}
processors: {self.processor(options)}
exporters: {{nop: {{}}}}
service:
  telemetry:
    logs: {{level: warn}}
    metrics:
      readers:
        - pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {metrics}}}}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [{self.processors}], exporters: [nop]}}
""")
        # One core is what it gets, so one is what its scheduler should know of.
        environment = {"GOMAXPROCS": str(len(options.cores))}
        return [str(binary), "--config", str(config)], environment

    def ready(self, _directory: Path) -> dict[str, int] | None:
        return self._ports if all(map(_listens, self._ports.values())) else None


class PassThrough(Collector):
    """Receive and drop: what transport and decoding cost in Go."""

    name, title = "pass-through", "Collector, otlp → nop"


class TailSampling(Collector):
    """The yardstick: status + latency + 1 %."""

    name, title = "tail_sampling", "Collector, tail_sampling: errors, slow + 1%"
    processors = "tail_sampling"

    def processor(self, options: Service) -> str:
        return f"""
  tail_sampling:
    decision_wait: {options.wait:g}s
    num_traces: 1000000
    expected_new_traces_per_sec: 10000
    policies:
      - {{name: failed, type: status_code, status_code: {{status_codes: [ERROR]}}}}
      - {{name: slow, type: latency, latency: {{threshold_ms: 30000}}}}
      - {{name: some, type: probabilistic, probabilistic: {{sampling_percentage: 1}}}}
"""


class Fidelity(System):
    """`fidelity serve`: fsync before ack, assembly, detectors, sampling, store."""

    name, title = "fidelity", "fidelity serve, every trace stored"

    def command(self, options: Service, directory: Path) -> tuple[list[str], dict[str, str]]:
        data = directory / "data"
        (data / "ports.json").unlink(missing_ok=True)
        environment = {
            "FIDELITY_OTLP_GRPC_PORT": "0",
            "FIDELITY_OTLP_HTTP_PORT": "0",
            "FIDELITY_HTTP_PORT": "0",
            "FIDELITY_ASSEMBLE_SETTLE_SECONDS": f"{options.wait:g}",
        }
        return [*options.command, "serve", "--data", str(data)], environment

    def ready(self, directory: Path) -> dict[str, int] | None:
        try:
            ports: dict[str, int] = json.loads((directory / "data" / "ports.json").read_text())
        except (OSError, ValueError):
            return None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/readyz", timeout=2):
                return ports
        except OSError:
            return None

    def settled(self, running: Running, traces: int) -> bool:
        ends = (
            running.metric("fidelity_stored_traces_total", 'kind="new"'),
            running.metric("fidelity_ended_traces_total", 'end="thinned"'),
        )
        return ends == (None, None) or sum(each or 0.0 for each in ends) >= traces


class FidelityKeep(Fidelity):
    """The same, storing what tail_sampling lets through: all findings, what is slow, and 1 %."""

    name, title = "fidelity-keep", "fidelity serve, findings, slow + 1% stored"

    def command(self, options: Service, directory: Path) -> tuple[list[str], dict[str, str]]:
        command, environment = super().command(options, directory)
        return command, {
            **environment,
            "FIDELITY_SAMPLE_KEEP_SHARE": "0.01",
            "FIDELITY_DETECT_MAX_SECONDS": "30",
        }


SYSTEMS: Mapping[str, type[System]] = {
    each.name: each for each in (PassThrough, TailSampling, Fidelity, FidelityKeep)
}
