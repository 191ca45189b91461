"""`fidelity serve`, the real one, as a child process, and its HTTP API."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from processes import HERE, ChildFailedError

START_SECONDS = 60.0
SETTINGS = HERE / "fidelity.yaml"
FIDELITY = str(Path(sys.executable).parent / "fidelity")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: where it listens, and a client of its API."""

    otlp: str
    address: str
    api: httpx.Client

    def traces(self) -> list[dict[str, Any]]:
        """Every stored trace, once, with what was found in it."""
        found: dict[str, dict[str, Any]] = {}
        offset = 0
        while True:
            asked = {"limit": 500, "offset": offset}
            page = self.api.get("/api/v1/traces", params=asked).raise_for_status().json()
            # The newest come first: one that arrives meanwhile pushes others onto the next page.
            found |= {trace["trace_id"]: trace for trace in page}
            offset += len(page)
            if not page:
                return list(found.values())

    def wait_for_traces(self, count: int, seconds: float = 60.0) -> list[dict[str, Any]]:
        """All traces, as soon as there are `count`: assembling waits a moment for stragglers."""
        give_up = time.monotonic() + seconds
        while len(found := self.traces()) < count:
            if time.monotonic() > give_up:
                raise ChildFailedError(f"{len(found)} of {count} traces stored after {seconds:g} s")
            time.sleep(0.2)
        return found

    def report(self) -> dict[str, Any]:
        """The report's numbers."""
        numbers: dict[str, Any] = self.api.get("/api/v1/report").raise_for_status().json()
        return numbers

    def wait_for_outcomes(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many outcomes have found their traces."""
        give_up = time.monotonic() + seconds
        while (found := sum(line["traces"] for line in self.report()["outcomes"])) < count:
            if time.monotonic() > give_up:
                raise ChildFailedError(f"{found} of {count} outcomes arrived within {seconds:g} s")
            time.sleep(0.2)


@contextlib.contextmanager
def running_service(data: Path, env: Mapping[str, str], log: Path) -> Iterator[Service]:
    """Run `fidelity serve` on free ports for the length of a `with` block.

    Args:
        data: its folder.
        env: settings beyond those of fidelity.yaml.
        log: file for what it says.

    Raises:
        ChildFailedError: it does not start.
    """
    ports = data / "ports.json"
    free = {f"FIDELITY_{name}_PORT": "0" for name in ("OTLP_GRPC", "OTLP_HTTP", "HTTP")}
    with log.open("w", encoding="utf-8") as said:
        child = subprocess.Popen(
            [FIDELITY, "serve", "--config", str(SETTINGS), "--data", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, **free, **env},
        )
    try:
        give_up = time.monotonic() + START_SECONDS
        while not ports.exists():
            if child.poll() is not None or time.monotonic() > give_up:
                raise ChildFailedError(f"fidelity serve did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        bound = json.loads(ports.read_text("utf-8"))
        address = f"http://127.0.0.1:{bound['http']}"
        with httpx.Client(base_url=address, timeout=30) as api:
            yield Service(f"http://127.0.0.1:{bound['otlp_http']}", address, api)
    finally:
        child.terminate()
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
