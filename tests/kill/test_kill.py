"""kill -9 of a real `fidelity serve` under load: what was acked is found once, decided once.

Senders number their spans, keep what was acknowledged, and retry what was not, as exporters do. The
service is killed at random moments, on the same folder again and again; at the end every acked span
is in the store exactly once and no first decision has changed.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from sending import Sender
from serving import Serving

from fidelity_otel.processor import wire
from fidelity_otel.store import open_store

ROUNDS = int(os.environ.get("FIDELITY_KILL_ROUNDS", "20"))


def decisions(data: Path) -> dict[str, tuple[str, str, float]]:
    """Stratum, window and risk of every stored trace, as first decided."""
    with open_store(data) as store:
        rows = store.traces(limit=1_000_000)
        return {row.trace_id: (row.stratum, row.window, row.risk) for row in rows}


@pytest.mark.kill
@pytest.mark.timeout(60 + 30 * ROUNDS)
def test_every_acked_span_is_found_once(tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("FIDELITY_KILL_SEED", "20261124")))
    service = Serving(
        tmp_path / "data",
        FIDELITY_ASSEMBLE_SETTLE_SECONDS="0.3",
        FIDELITY_ASSEMBLE_IDLE_SECONDS="1.5",
        FIDELITY_JOURNAL_SEGMENT_BYTES="65536",
        FIDELITY_SAMPLE_SALT="the same for all rounds",
    )
    before: dict[str, tuple[str, str, float]] = {}
    senders: list[Sender] = []
    with service:
        for _ in range(ROUNDS):
            senders += [Sender(service, len(senders) + i) for i in range(3)]
            running = senders[-3:]
            for sender in running:
                sender.start()
            time.sleep(chance.uniform(0.05, 1.2))
            service.kill()
            for sender in running:
                sender.done.set()
            for sender in running:
                sender.join(20)
                assert not sender.is_alive()
            now = decisions(service.data)
            assert {i: now.get(i) for i in before} == before
            before = now
            service.start()
        acked = set().union(*(sender.acked for sender in senders))
        assert len(acked) > 20 * ROUNDS, "there was hardly any load"
        service.until(
            lambda: (
                service.metric("fidelity_waiting_spans") == 0
                and service.metric("fidelity_waiting_traces") == 0
            ),
            120,
        )
        assert service.stop() == 0
    with open_store(service.data) as store:
        found: Counter[tuple[str, str]] = Counter()
        for trace_id in {t for t, _ in acked}:
            stored = store.trace(trace_id)
            assert stored is not None, f"trace {trace_id} is lost"
            spans = [(s.trace_id, s.span_id) for s in wire.decode(stored.record.otlp)]
            assert stored.record.span_count == len(set(spans))
            found.update(spans)
    assert acked - set(found) == set(), "acked spans are lost"
    assert [pair for pair, n in found.items() if n != 1] == [], "spans are there twice"
    after = decisions(service.data)
    assert {i: after.get(i) for i in before} == before
    print(f"{ROUNDS} kills, {len(acked)} acked spans of {len(after)} traces, all found once")
