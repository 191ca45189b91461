"""A real `fidelity serve` in its own process, on free ports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

FIDELITY = str(Path(sys.executable).parent / "fidelity")
QUICK = {
    "FIDELITY_OTLP_GRPC_PORT": "0",
    "FIDELITY_OTLP_HTTP_PORT": "0",
    "FIDELITY_HTTP_PORT": "0",
    "FIDELITY_ASSEMBLE_SETTLE_SECONDS": "0.2",
    "FIDELITY_ASSEMBLE_IDLE_SECONDS": "1",
    "FIDELITY_REPORT_REFRESH_SECONDS": "0.5",
}


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without settings of this project or of OpenTelemetry."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FIDELITY_", "OTEL_"))}
    return kept | QUICK | more


class Serving:
    """A running service. `start` again after `kill` to see what is left of it."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        self._command = [FIDELITY, "serve", "--data", str(data), *options]
        self._environment = clean_environment(**environment)
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def start(self, seconds: float = 60.0) -> None:
        ports = self.data / "ports.json"
        ports.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stderr=log
            )
        end = time.monotonic() + seconds
        while not ports.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the service did not start:\n{self.said()}")
            time.sleep(0.02)
        self.ports = json.loads(ports.read_text())

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """Ask politely; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        port: str = "http",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """GET, or POST where there is a body (bytes as they are, else as JSON)."""
        given = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body, given = json.dumps(body).encode(), {"content-type": "application/json"} | given
        url = f"http://127.0.0.1:{self.ports[port]}{path}"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, body, given), timeout=20
            ) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def send(self, body: bytes) -> int:
        """An OTLP request over HTTP; the status."""
        headers = {"content-type": "application/x-protobuf"}
        return self.ask("/v1/traces", body, port="otlp_http", headers=headers)[0]

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 where it is not there."""
        text = self.ask("/metrics")[1].decode()
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+-]+)$", text, re.MULTILINE)
        return sum(map(float, found))

    def until(self, condition: Any, seconds: float = 40.0) -> Any:
        """Ask again and again; what the condition gave once it held."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"it never came to be:\n{self.said()[-3000:]}"
            time.sleep(0.05)
        return found

    def trace(self, trace_id: str) -> Any:
        """A stored trace through the API, None where it is not (yet) there."""
        code, body = self.ask(f"/api/v1/traces/{trace_id}")
        return json.loads(body) if code == 200 else None
