"""Sampled traces into SQLite: `Store.add_traces`, 30 KB a trace, fifty at a time."""

from __future__ import annotations

import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from spans import trace_bodies

from fidelity_otel.model import Decision, Finding, TraceRecord
from fidelity_otel.store import open_store

__all__ = ["storing"]

HOUR_NS = 3600 * 10**9


def _record(trace_id: str, otlp: bytes, number: int, now_ns: int) -> TraceRecord:
    stratum = f"support.answer|2026.11.03|{number % 8 == 0}"
    return TraceRecord(
        trace_id=trace_id,
        otlp=otlp,
        decision=Decision(
            trace_id=trace_id,
            stratum=stratum,
            window=f"{now_ns // HOUR_NS * HOUR_NS}",
            randomness=int.from_bytes(os.urandom(7), "big"),
            size=0.6,
            risk=0.1 + 0.1 * (number % 8),
            flagged=number % 8 == 0,
            decided_ns=now_ns,
        ),
        findings=(
            (Finding("tool_error", "unrecovered", "00" * 8, "the tool failed"),)
            if number % 8 == 0
            else ()
        ),
        workflow="support.answer",
        service="support",
        release="2026.11.03",
        conversation_id=f"conv-{number % 500}",
        user_id=f"user-{number % 300}",
        start_ns=now_ns,
        end_ns=now_ns + 10**9,
        span_count=12,
        request="Where is my order? " * 8,
        answer="On its way. " * 15,
        response_ids=(f"chatcmpl-{number}",),
        keys=(("ticket", f"T-{number}"),),
    )


def storing(count: int, *, size: int = 30_000, batch: int = 50, folder: Path | None = None) -> Any:
    """Traces a second, by the clock and by CPU, into a fresh SQLite store."""
    now = time.time_ns()
    bodies = [body for _, body in islice(trace_bodies(12, size), 200)]
    records = [
        _record(os.urandom(16).hex(), bodies[number % len(bodies)], number, now)
        for number in range(count)
    ]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as name:
        store = open_store(Path(name))
        try:
            cpu, wall = time.process_time(), time.perf_counter()
            for start in range(0, count, batch):
                store.add_traces(records[start : start + batch])
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        finally:
            store.close()
        disk = sum(path.stat().st_size for path in Path(name).iterdir() if path.is_file())
    return {
        "traces": count,
        "bytes_a_trace": sum(map(len, bodies)) / len(bodies),
        "batch": batch,
        "traces_per_second": count / wall,
        "traces_per_cpu_second": count / cpu,
        "disk_bytes_a_trace": disk / count,
    }
