"""Real programs for a test: the Collector, Prometheus, and sinks that speak OTLP."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from fidelity_otel.processor import wire
from fidelity_otel.processor.rawspan import RawSpan

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "collector-config"


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def until(condition: Callable[[], Any], seconds: float = 40.0, said: str = "") -> Any:
    """Ask again and again; what the condition gave once it held."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"it never came to be: {said}"
        time.sleep(0.05)
    return found


class Sink:
    """An OTLP gRPC server that keeps what it gets. `open` and `close` it as often as you like."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self._bodies: list[bytes] = []
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def open(self) -> None:
        def export(body: bytes, _: grpc.ServicerContext) -> bytes:
            with self._lock:
                self._bodies.append(body)
            return b""

        method = grpc.unary_unary_rpc_method_handler(export)
        name = "opentelemetry.proto.collector.trace.v1.TraceService"
        self._server = grpc.server(
            ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", 64 << 20)]
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"Export": method}),)
        )
        assert self._server.add_insecure_port(self.address) == self.port
        self._server.start()

    def close(self) -> None:
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def spans(self) -> list[RawSpan]:
        with self._lock:
            bodies = list(self._bodies)
        return [span for body in bodies for span in wire.decode(body)]

    def names(self) -> set[str]:
        return {span.name for span in self.spans()}


@contextmanager
def sink() -> Iterator[Sink]:
    made = Sink()
    made.open()
    try:
        yield made
    finally:
        made.close()


class Running:
    """A program with its output in a file."""

    def __init__(self, command: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.command, self.log = command, log
        self.env = {**os.environ, **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool]) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

        def up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            return ready()

        until(up, 60, self.command[0])

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


class Collector(Running):
    """The real Collector with one of our files; addresses through the environment."""

    def __init__(self, binary: Path, file: str, folder: Path, **addresses: str) -> None:
        grpc_port, http_port, self.health = free_ports(3)
        self.grpc, self.http = f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{http_port}"
        env = {
            "OTLP_GRPC_ENDPOINT": self.grpc,
            "OTLP_HTTP_ENDPOINT": f"127.0.0.1:{http_port}",
            "HEALTH_ENDPOINT": f"127.0.0.1:{self.health}",
            "GOMAXPROCS": "1",
            **addresses,
        }
        command = [str(binary), f"--config={CONFIG / 'otelcol' / file}"]
        super().__init__(command, folder / f"{file}.log", env)

    def run(self) -> None:
        self.start(lambda: answers(f"http://127.0.0.1:{self.health}/"))


@contextmanager
def collector(binary: Path, file: str, folder: Path, **addresses: str) -> Iterator[Collector]:
    made = Collector(binary, file, folder, **addresses)
    made.run()
    try:
        yield made
    finally:
        made.stop()
