"""kill -9 of worker processes and of the service they belong to, under load."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from sending import Sender
from serving import Serving

from fidelity_otel.processor import wire
from fidelity_otel.store import open_store

ROUNDS = int(os.environ.get("FIDELITY_KILL_ROUNDS", "20")) // 4
MARK = b"fidelity_otel.processor.worker"


def children(pid: int) -> list[int]:
    """The worker processes of a service."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == pid and MARK in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Whether it runs still; one that has ended and waits to be looked at does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.kill
@pytest.mark.timeout(120 + 60 * ROUNDS)
def test_killed_workers_lose_nothing_and_outlive_nobody(tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("FIDELITY_KILL_SEED", "20261125")))
    service = Serving(
        tmp_path / "data",
        "--workers",
        "2",
        FIDELITY_ASSEMBLE_SETTLE_SECONDS="0.2",
        FIDELITY_ASSEMBLE_IDLE_SECONDS="1",
    )
    senders: list[Sender] = []
    deaths = 0.0
    with service:
        for _ in range(ROUNDS):
            running = [Sender(service, len(senders) + i) for i in range(3)]
            senders += running
            for sender in running:
                sender.start()
            assert service.process is not None
            for number in range(1, 4):
                time.sleep(chance.uniform(0.2, 1.0))
                os.kill(chance.choice(children(service.process.pid)), signal.SIGKILL)
                service.until(lambda n=number: service.metric("fidelity_worker_deaths_total") >= n)
            deaths += service.metric("fidelity_worker_deaths_total")
            workers = children(service.process.pid)
            assert len(workers) == 2
            service.kill()
            for sender in running:
                sender.done.set()
            for sender in running:
                sender.join(20)
            service.until(lambda gone=workers: not any(map(alive, gone)))
            service.start()
        acked = set().union(*(sender.acked for sender in senders))
        assert len(acked) > 20 * ROUNDS, "there was hardly any load"
        service.until(lambda: service.metric("fidelity_waiting_traces") == 0, 120)
        assert service.process is not None
        workers = children(service.process.pid)
        assert service.stop() == 0
        assert not any(map(alive, workers))
    with open_store(service.data) as store:
        found: Counter[tuple[str, str]] = Counter()
        for trace_id in {trace for trace, _ in acked}:
            stored = store.trace(trace_id)
            assert stored is not None, f"trace {trace_id} is lost"
            found.update((s.trace_id, s.span_id) for s in wire.decode(stored.record.otlp))
    assert acked - set(found) == set(), "acked spans are lost"
    assert [pair for pair, n in found.items() if n != 1] == [], "spans are there twice"
    print(f"{ROUNDS} kills, {deaths:.0f} of workers, {len(acked)} acked spans, all found once")
