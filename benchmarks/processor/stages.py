"""Where the CPU goes: each step of a span's way through the service, alone, in this process.

Every figure is the best of several rounds over the same request of 64 traces of 8 spans, in CPU
microseconds a span. The steps are what `serve` calls; the event loop, gRPC and threads between them
are not in here, so the sum is less than what the whole service uses.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from spans import SPANS_A_TRACE, TRACES_A_REQUEST, requests

from fidelity_otel.processor import detect as detection
from fidelity_otel.processor import wire
from fidelity_otel.processor.assemble import Assembler, AssembleSettings
from fidelity_otel.processor.contract import Contracts
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.journal import Journal, read_parts
from fidelity_otel.processor.outcomes import outcomes_of
from fidelity_otel.processor.pipeline import Input, Pipeline
from fidelity_otel.processor.read import read_trace
from fidelity_otel.processor.sample import Sampler
from fidelity_otel.processor.sift import Sift
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.wire_records import Records, records_in
from fidelity_otel.store import open_store

__all__ = ["stages"]

SPANS_A_REQUEST = SPANS_A_TRACE * TRACES_A_REQUEST


class _Known(detection.History):
    """Has seen what every tool gives."""

    def learn_usual(self, workflow: str, told: Any, traces: int = 1) -> bool:
        return True


class Rounds:
    """Times steps and keeps the best of each."""

    def __init__(self, count: int) -> None:
        self._count = max(3, count)
        self.table: dict[str, float] = {}

    def time(self, name: str, step: Callable[[], Any], *, repeats: int = 3) -> Any:
        """Run a step several times; returns its last result."""
        best, result = float("inf"), None
        for _ in range(self._count):
            began = time.process_time()
            for _ in range(repeats):
                result = step()
            best = min(best, time.process_time() - began)
        self.table[name] = 1e6 * best / repeats / SPANS_A_REQUEST
        return result


def _detectors(rounds: Rounds, traces: list[Any], now: int) -> None:
    settings = detection.DEFAULT

    facts = rounds.time("detect: facts", lambda: [Facts(trace) for trace in traces])

    def each(find: Callable[..., Any], *more: Any) -> None:
        for one in facts:
            list(find(one, settings, *more))

    for find, more in [(f, ()) for f in detection.FIRST] + [(f, ((),)) for f in detection.SECOND]:
        label = f"detect: {find.__module__.rsplit('.', 1)[-1]}.{find.__name__}"
        rounds.time(label, lambda find=find, more=more: each(find, *more))  # type: ignore[misc]
    rounds.time("detect: all", lambda: detection.detect_all(traces, now_ns=now))


def _journal(rounds: Rounds, records: Records, folder: Path) -> None:
    journal = Journal(folder / "journal")
    try:
        write = lambda: journal.write(records.pieces)  # noqa: E731
        position = rounds.time("journal: write + fdatasync", write)
        places = []
        for _, size, _, _ in records.kept:
            places.append((position, size))
            position += size
        rounds.time("journal: read back", lambda: list(read_parts(journal, places)))
    finally:
        journal.close()


def _index(rounds: Rounds, records: Records) -> None:
    now = time.time_ns()

    def add() -> None:
        assembler = Assembler(AssembleSettings())
        assembler.add_all(records.kept, 0, now)
        for ready in assembler.due(now + 10**12):
            assembler.done(ready)

    rounds.time("index: add, due, done", add)


def stages(count: int) -> dict[str, float]:
    """CPU microseconds a span of each step."""
    rounds = Rounds(count)
    now = time.time_ns()
    body = requests(1, now_ns=now)[0].fresh(os.urandom(16 * TRACES_A_REQUEST))
    rounds.time("wire: protobuf's own parse", lambda: wire.scan(body))
    batch = rounds.time("wire: split", lambda: wire.split(body))
    bodies = [part.otlp for part in batch.parts]
    records = rounds.time(
        "wire: records (split + frame)", lambda: records_in(body, limit=1 << 30, time_ns=now)
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        _journal(rounds, records, Path(name))
        _index(rounds, records)
        rounds.time("wire: join", lambda: [wire.join([each]) for each in bodies])
        live = SimpleNamespace(detection=detection.DEFAULT, contracts=Contracts())
        sift = Sift(cast(Any, live), _Known())
        rounds.time("sift", lambda: [sift.look(each) for each in bodies])
        raw = rounds.time("wire: decode", lambda: [wire.decode(each) for each in bodies])
        rounds.time("outcomes", lambda: [outcomes_of(spans) for spans in raw])
        traces = rounds.time("read: dialects", lambda: [read_trace(spans) for spans in raw])
        _detectors(rounds, traces, now)
        sampler = Sampler({}, "salt")
        rounds.time(
            "sample: candidate", lambda: [sampler.candidate(t, (), 0.2, now) for t in traces]
        )
        pipeline = Pipeline(
            detect=lambda traces, at, doubts: detection.detect_all(
                traces, now_ns=at, doubts=doubts
            ),
            risk=detection.risk,
            candidate=lambda t, f, r, at, state: sampler.candidate(t, f, r, at, trace_state=state),
            tally=Tally(),
        )
        inputs = [Input(p.trace_id.hex(), [p.otlp], "root", unique=True) for p in batch.parts]
        decided = rounds.time(
            "pipeline: decide (decode … record)",
            lambda: pipeline.decide(inputs, now_ns=now),
        )
        records = [each.record for each in decided if each.record is not None]
        store = open_store(Path(name) / "data")
        try:
            # Fresh ids each time: what is known already costs less.
            def add() -> None:
                import msgspec

                fresh = [msgspec.structs.replace(r, trace_id=os.urandom(16).hex()) for r in records]
                store.add_traces(fresh)

            rounds.time("store: add_traces, every body", add)
        finally:
            store.close()
    return rounds.table
