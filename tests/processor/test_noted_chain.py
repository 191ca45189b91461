"""From intake to store: what was told of a trace as it came in spares reading it, and no more."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from memory import MemoryStore
from otlp import request, span

sys.path.insert(0, str(Path(__file__).parent / "detect"))

from test_notes import Knowing, plain

from fidelity_otel.processor import native
from fidelity_otel.processor.admission import Admission
from fidelity_otel.processor.assemble import Assembler, AssembleSettings
from fidelity_otel.processor.chain import Chain, restore
from fidelity_otel.processor.contract import Contracts
from fidelity_otel.processor.decide import Decider
from fidelity_otel.processor.detect import DEFAULT
from fidelity_otel.processor.detect.risk import PRIOR
from fidelity_otel.processor.intake import Intake, Look
from fidelity_otel.processor.journal import Journal
from fidelity_otel.processor.live import Rules, make_pipeline
from fidelity_otel.processor.sample import Sampler
from fidelity_otel.processor.sift import Sieve, Sift
from fidelity_otel.processor.tally import Tally

pytestmark = pytest.mark.skipif(
    not native.available(), reason="the native parts were not built: no C compiler"
)
FAILED = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "look",
    "error.type": "TimeoutError",
}


class There:
    """A service's way of the data, in parts; of plain traces none is stored."""

    def __init__(self, folder: Path, look: Callable[[Sift], Look | None]) -> None:
        self.now = 1_000_000 * 10**9
        self.tally, self.store = Tally(), MemoryStore()
        sampler = Sampler({"sample.keep_share": 1e-12}, "salt")
        rules, history = Rules(sampler, DEFAULT, Contracts(), PRIOR), Knowing()
        sift = Sift(rules, history)
        loop = asyncio.get_running_loop()
        self.journal = Journal(folder, commit_ms=0, notify=loop.call_soon_threadsafe)
        self.read: list[int] = []
        read_into = self.journal.read_into
        self.journal.read_into = lambda view, at: self._noting(read_into, view, at)  # type: ignore[method-assign]
        self.assembler = Assembler(AssembleSettings(settle_seconds=1))
        self.waiting = restore(self.journal, self.assembler, now_ns=self.now)
        decider = Decider(
            make_pipeline(rules, self.tally, history),
            self.store,  # type: ignore[arg-type]
            sieve=Sieve(sift, keep=sampler.keeps, tally=self.tally),
            tally=self.tally,
            clock=lambda: self.now,
            refused=folder / "refused",
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
            look=look(sift),
        )

    def _noting(self, read: Any, view: memoryview, at: int) -> int:
        self.read.append(at)
        held: int = read(view, at)
        return held

    async def take(self, *bodies: bytes) -> None:
        await self.intake.take("traces", b"".join(bodies), "grpc")

    async def decide(self) -> None:
        self.now += 10 * 10**9
        while ready := self.assembler.due(self.now):
            await self.chain.settle(ready)

    def close(self) -> None:
        self.chain._thread.shutdown()
        self.journal.close()

    def ended(self) -> dict[str, int]:
        return {label: n for (name, label), n in self.tally.all().items() if name == "traces_ended"}


def by_sift(sift: Sift) -> Look:
    return sift.look_at_all


async def test_plain_traces_are_thinned_without_being_read(tmp_path: Path) -> None:
    there = There(tmp_path, by_sift)
    await there.take(*(plain(number) for number in range(1, 41)))
    await there.decide()
    assert there.ended() == {"thinned": 40}
    assert there.tally.get("spans_decided") == 80
    assert there.read == []
    there.chain.free()
    assert there.assembler.waiting_spans == 0
    there.close()


async def test_after_a_restart_they_are_read_and_decided_the_same(tmp_path: Path) -> None:
    there = There(tmp_path, by_sift)
    await there.take(*(plain(number) for number in range(1, 41)))
    there.close()
    again = There(tmp_path, by_sift)
    assert again.waiting == 80
    await again.decide()
    assert again.ended() == {"thinned": 40}
    assert again.read
    again.close()


async def test_what_comes_later_of_a_plain_trace_is_looked_at_with_it(tmp_path: Path) -> None:
    there = There(tmp_path, by_sift)
    await there.take(plain(1), plain(2), plain(3))
    await there.take(request(span(2, 7, parent=1, name="look", **FAILED)))
    await there.decide()
    assert there.ended() == {"thinned": 2, "decided": 1}
    (found,) = there.store.records.values()
    assert found.trace_id == f"{2:032x}"
    assert found.span_count == 3
    assert "timeout" in {finding.mode for finding in found.findings}
    # and what comes once it was thinned counts by itself
    await there.take(request(span(3, 7, parent=1, name="look", **FAILED)))
    await there.decide()
    assert sorted(there.store.records) == [f"{2:032x}", f"{3:032x}"]
    there.close()


async def test_a_look_that_fails_costs_no_request(tmp_path: Path) -> None:
    def broken(_: Sift) -> Look:
        def look(*_: Any) -> list[int]:
            raise IndexError("string index out of range")

        return look

    there = There(tmp_path, broken)
    await there.take(plain(1))
    await there.decide()
    assert there.ended() == {"thinned": 1}
    assert there.read
    there.close()


@pytest.mark.parametrize("look", [lambda _: None, lambda _: lambda *_: []])
async def test_without_notes_all_are_read(tmp_path: Path, look: Any) -> None:
    there = There(tmp_path, look)
    await there.take(plain(1), plain(2))
    await there.decide()
    assert there.ended() == {"thinned": 2}
    assert there.read
    there.close()
