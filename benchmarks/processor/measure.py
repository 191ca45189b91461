"""The measurements: each starts what it measures, loads it, and returns a flat row of figures."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import process
from spans import SPANS_A_TRACE, TRACES_A_REQUEST
from systems import SYSTEMS, Fidelity, Running, Service, UnavailableError

__all__ = ["latency", "memory", "restart", "throughput"]

LOAD = Path(__file__).with_name("load.py")
LATENCIES = 400
"""As many at least, where half a minute gives them: a p99 of fewer is their maximum."""
SPANS_A_REQUEST = SPANS_A_TRACE * TRACES_A_REQUEST
Row = dict[str, Any]


class Load:
    """One run of the generator against a service."""

    def __init__(self, running: Running, protocol: str, core: int, **options: float) -> None:
        command = [sys.executable, str(LOAD), "--protocol", protocol, "--core", str(core)]
        command += ["--port", str(running.ports[f"otlp_{protocol}"])]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @property
    def under_way(self) -> bool:
        return self._process.poll() is None

    def result(self, timeout: float) -> Row:
        """Its figures.

        Raises:
            UnavailableError: it failed or did not end in time.
        """
        try:
            out, err = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise UnavailableError(f"the load did not end within {timeout:.0f} s") from None
        if self._process.returncode:
            raise UnavailableError(f"the load failed:\n{err.decode()[-1500:]}")
        figures: Row = json.loads(out)
        if figures["lost"]:
            raise UnavailableError(f"the service refused for good: {figures['lost']}")
        return figures

    def stop(self) -> None:
        if self.under_way:
            self._process.kill()
            self._process.wait(10)


def drain(running: Running, is_done: Callable[[], bool], wait: float, limit: float) -> float:
    """Wait until what was sent has been worked through; returns the seconds that it took.

    Done is: the service says so (where it can), the wait is over, and its CPU is quiet.
    """
    began = time.monotonic()
    before = process.cpu_seconds(running.pid)
    while time.monotonic() - began < limit:
        time.sleep(1.0)
        now = process.cpu_seconds(running.pid)
        quiet, before = now - before < 0.1, now
        if quiet and time.monotonic() - began > wait + 1 and is_done():
            break
    return time.monotonic() - began


def throughput(name: str, protocol: str, service: Service, *, seconds: float, core: int) -> Row:
    """As fast as the service acknowledges; all CPU until everything is decided counts."""
    system = SYSTEMS[name]()
    with system.run(service) as running:
        time.sleep(0.5)
        idle = process.cpu_seconds(running.pid)
        figures = Load(running, protocol, core, seconds=seconds).result(seconds + 90)
        loaded = process.cpu_seconds(running.pid)
        memory_now = process.memory_bytes(running.pid)
        traces = figures["acked"] // SPANS_A_TRACE
        limit = service.wait + 40 * seconds
        wait = 0.0 if name == "pass-through" else service.wait
        drained = drain(running, lambda: system.settled(running, traces), wait, limit)
        cpu = process.cpu_seconds(running.pid) - idle
        return {
            "system": name,
            "protocol": protocol,
            "spans_per_cpu_second": figures["acked"] / cpu,
            "acked_per_second": figures["acked"] / figures["seconds"],
            "sustained_per_second": min(
                figures["acked"] / figures["seconds"], len(service.cores) * figures["acked"] / cpu
            ),
            "cpu_us_per_span": 1e6 * cpu / figures["acked"],
            "cpu_us_per_span_before_drain": 1e6 * (loaded - idle) / figures["acked"],
            "memory_mb": memory_now / 1e6,
            "acked": figures["acked"],
            "rejected": figures["rejected"],
            "refusals": sum(figures["refusals"].values()),
            "all_decided": system.settled(running, traces),
            "drain_seconds": drained,
            "generator_cpu_share": figures["generator_cpu_seconds"] / figures["seconds"],
        }


def latency(
    name: str, protocol: str, service: Service, *, seconds: float, core: int, rate: float
) -> Row:
    """Time from when a request was due to its acknowledgement, at a steady rate."""
    with SYSTEMS[name]().run(service) as running:
        seconds = min(30.0, max(seconds, LATENCIES * SPANS_A_REQUEST / rate))
        Load(running, protocol, core, seconds=1, rate=rate / 2).result(60)
        figures = Load(running, protocol, core, seconds=seconds, rate=rate).result(seconds + 90)
        return {
            "system": name,
            "protocol": protocol,
            "rate": rate,
            "reached": figures["acked"] / figures["seconds"],
            "refusals": sum(figures["refusals"].values()),
            **{f"ack_{key}_ms": value for key, value in figures["latency_ms"].items()},
        }


def memory(name: str, service: Service, *, core: int, rate: float, wait: float) -> Row:
    """Resident bytes per waiting span, at a steady rate, once as many leave as come.

    The difference between the plateau and the memory early in the same run, over the difference
    in waiting spans: what the service needs anyway drops out.
    """
    early = max(2.0, wait / 10)
    service = replace(service, wait=wait)
    with SYSTEMS[name]().run(service) as running:
        load = Load(running, "grpc", core, seconds=wait * 1.5, rate=rate)
        try:
            samples = _sample(running, load)
        finally:
            load.stop()
        if not samples:
            raise UnavailableError("no sample of memory was taken")
    began = samples[0].at
    first = [sample for sample in samples if early <= sample.at - began < early + 2]
    plateau = [sample for sample in samples if wait <= sample.at - began]
    if not first or not plateau:
        raise UnavailableError("the load ended too early to see a plateau")
    low, high = (statistics.median(s.memory for s in part) for part in (first, plateau))
    # A service that says how many wait is believed; of one that does not, rate and wait say it.
    waits = [statistics.median(s.waiting or 0 for s in part) for part in (first, plateau)]
    if not waits[1]:
        waits = [rate * (early + 1), rate * wait]
    return {
        "system": name,
        "rate": rate,
        "wait": wait,
        "memory_mb": high / 1e6,
        "waiting": waits[1],
        "bytes_per_waiting_span": (high - low) / (waits[1] - waits[0]),
    }


class Sample(NamedTuple):
    """What a service held at a moment: bytes, and spans that wait where it says so."""

    at: float
    memory: int
    waiting: float | None


def _sample(running: Running, load: Load) -> list[Sample]:
    idle = process.cpu_seconds(running.pid)
    while load.under_way and process.cpu_seconds(running.pid) - idle < 0.03:
        time.sleep(0.05)  # the generator is still building its requests
    samples: list[Sample] = []
    while load.under_way:
        memory_now = process.memory_bytes(running.pid)
        waiting = running.metric("fidelity_waiting_spans")
        samples.append(Sample(time.monotonic(), memory_now, waiting))
        time.sleep(1.0)
    load.result(1)
    return samples


def restart(service: Service, *, core: int, waiting: int) -> Row:
    """Fill with spans that wait, kill -9, start again: seconds until it is ready, and what it has.

    Starting with nothing is measured beside it: imports cost what they cost.
    """
    service = replace(service, wait=86_000.0)
    system = Fidelity()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=service.directory) as name:
        directory = Path(name)
        running = system.launch(service, directory)
        empty = running.ready_seconds
        try:
            load = Load(running, "grpc", core, seconds=300, spans=waiting)
            figures = load.result(400)
        finally:
            running.stop(kill=True)
        again = system.launch(service, directory)
        try:
            return {
                "system": system.name,
                "waiting": figures["acked"],
                "ready_seconds": again.ready_seconds,
                "ready_seconds_when_empty": empty,
                "cpu_seconds": process.cpu_seconds(again.pid),
                "memory_mb": process.memory_bytes(again.pid) / 1e6,
                "bytes_per_waiting_span": process.memory_bytes(again.pid) / figures["acked"],
                "waiting_after": again.metric("fidelity_waiting_spans"),
            }
        finally:
            again.stop(kill=True)
