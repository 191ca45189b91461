"""Whatever comes in whatever order, twice, with crashes between: each acked span is stored once."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from memory import MemoryStore, pipeline
from otlp import request, span

from fidelity_otel.model import Decision
from fidelity_otel.processor.admission import Admission
from fidelity_otel.processor.assemble import Assembler, AssembleSettings
from fidelity_otel.processor.chain import Chain, restore
from fidelity_otel.processor.decide import Decider
from fidelity_otel.processor.intake import Intake
from fidelity_otel.processor.journal import Journal
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.waiting import Waiting

SECOND = 1_000_000_000
SETTINGS = AssembleSettings(
    settle_seconds=2, idle_seconds=30, max_age_seconds=300, max_spans=12, max_waiting_traces=6
)
spans = st.tuples(st.integers(1, 8), st.integers(1, 6))


class World(RuleBasedStateMachine):
    """A service that is fed, waits, decides, compacts, frees, and dies at any point."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 1_000_000 * SECOND
        self.acked: dict[str, set[str]] = {}
        self.first: dict[str, Decision] = {}
        self.store = MemoryStore()
        self.start()

    def start(self) -> None:
        self.tally = Tally()
        self.journal = Journal(
            self.folder, segment_bytes=900, commit_ms=0, notify=self.loop.call_soon_threadsafe
        )
        self.assembler = Assembler(SETTINGS, remember=3)
        restore(self.journal, self.assembler, now_ns=self.now)
        decider = Decider(
            pipeline(self.tally),
            self.store,  # type: ignore[arg-type]
            tally=self.tally,
            clock=lambda: self.now,
            refused=self.folder / "refused",
        )
        self.chain = Chain(
            self.journal, self.assembler, decider, tally=self.tally, clock=lambda: self.now
        )
        self.intake = Intake(
            self.journal,
            self.assembler,
            Admission(1 << 30),
            tally=self.tally,
            clock=lambda: self.now,
            max_request_bytes=1 << 20,
        )

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @rule(batch=st.lists(spans, min_size=1, max_size=6), marked=st.booleans())
    def receive(self, batch: list[tuple[int, int]], marked: bool) -> None:
        """Span 1 is each trace's root; the same span may come again at any time."""
        made = [
            span(t, n, parent=None if n == 1 else 1)
            | ({"attributes": {"fidelity.complete": True}} if marked else {})
            for t, n in batch
        ]
        self.run(self.intake.take("traces", request(*made), "grpc"))
        for t, n in batch:
            self.acked.setdefault(f"{t:032x}", set()).add(f"{n:016x}")

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(limit=st.integers(1, 5))
    def decide(self, limit: int) -> None:
        ready = self.assembler.due(self.now, limit)
        if ready:
            self.run(self.chain.settle(ready))

    @rule()
    def decide_while_the_store_is_busy(self) -> None:
        self.store.busy = 1
        self.decide(3)
        self.store.busy = 0

    @rule(batch=st.lists(spans, min_size=1, max_size=3))
    def receive_while_deciding(self, batch: list[tuple[int, int]]) -> None:
        ready = self.assembler.due(self.now, 3)
        self.receive(batch, marked=False)
        if ready:
            self.run(self.chain.settle(ready))

    @rule()
    def put_off(self) -> None:
        for ready in self.assembler.due(self.now, 2):
            self.assembler.again(ready, self.now + SECOND)

    @rule(stored=st.booleans())
    def crash_while_deciding(self, stored: bool) -> None:
        """Killed after the store has it and before the journal knows, or before either."""
        ready = self.assembler.due(self.now, 3)
        if ready and stored:
            self.chain._decide(ready)
        self.crash()

    @rule()
    def crash(self) -> None:
        self.stop()
        self.start()

    @rule()
    def free(self) -> None:
        self.chain.free()

    @rule(crash=st.booleans())
    def compact(self, crash: bool) -> None:
        self.run(self.chain.compact())
        if crash:
            self.crash()

    @rule()
    def compact_while_receiving(self) -> None:
        async def both() -> None:
            made = request(*(span(t, 6) for t in range(1, 9)))
            await asyncio.gather(self.chain.compact(), self.intake.take("traces", made, "grpc"))

        self.run(both())
        for t in range(1, 9):
            self.acked.setdefault(f"{t:032x}", set()).add(f"{6:016x}")

    @invariant()
    def the_journal_has_what_waits(self) -> None:
        lowest = self.assembler.lowest(self.journal.end)
        for trace_id in self.assembler._waiting:
            for place in self.assembler._places(trace_id):
                assert place.position >= lowest
                self.journal.read(*place)

    @invariant()
    def first_decisions_stand(self) -> None:
        for trace_id, decision in self.first.items():
            assert self.store.decisions[trace_id] == decision
        self.first = dict(self.store.decisions)

    @invariant()
    def gauges_are_true(self) -> None:
        waiting = [Waiting.of(packed) for packed in self.assembler._waiting.values()]
        assert self.assembler.waiting_bytes == sum(w.bytes for w in waiting)
        assert self.assembler.waiting_spans == sum(w.spans for w in waiting)
        assert (self.assembler.waiting_spans == 0) == (len(self.assembler) == 0)

    def stop(self) -> None:
        self.chain._thread.shutdown()
        self.journal.close()

    def teardown(self) -> None:
        self.now += 1_000 * SECOND
        while ready := self.assembler.due(self.now):
            self.run(self.chain.settle(ready))
        assert self.store.spans() == {t: sorted(ids) for t, ids in self.acked.items()}
        assert len(self.assembler) == self.assembler.deciding == 0
        self.crash()  # the marks hold: nothing waits again
        while ready := self.assembler.due(self.now + 1_000 * SECOND):
            self.run(self.chain.settle(ready))
        assert self.tally.get("traces_ended", "decided") == 0
        assert self.tally.get("traces_ended", "revised") == 0
        self.chain.free()
        assert len(self.journal.segments) <= 1
        self.stop()
        self.loop.close()
        shutil.rmtree(self.folder)


World.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestWorld = World.TestCase
