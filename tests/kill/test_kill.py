"""kill -9 of a real `fidelity serve` under load: what was acked is found once, decided once.

Senders number their spans, keep what was acknowledged, and retry what was not, as exporters do. The
service is killed at random moments, on the same folder again and again; at the end every acked span
is in the store exactly once and no first decision has changed.
"""

from __future__ import annotations

import os
import random
import threading
import time
import urllib.error
from collections import Counter
from pathlib import Path

import grpc
import pytest
from otlp import request, span
from serving import Serving

from fidelity_otel.processor import wire
from fidelity_otel.store import open_store

ROUNDS = int(os.environ.get("FIDELITY_KILL_ROUNDS", "20"))
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Sender(threading.Thread):
    """Sends traces of four spans in mixed pieces, retrying each piece until it is acked."""

    def __init__(self, service: Serving, number: int) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._random = random.Random(number)
        self._grpc = number % 2 == 0
        self._base = (number + 1) << 100
        self.acked: set[tuple[str, str]] = set()
        self.refused: Counter[str] = Counter()
        self.done = threading.Event()

    def run(self) -> None:
        trace = 0
        while not self.done.is_set():
            traces = [self._base + trace + i for i in range(8)]
            trace += 8
            pairs = [(t, n) for t in traces for n in range(1, 5)]
            self._random.shuffle(pairs)
            for part in (pairs[:20], pairs[20:]):
                self._until_acked(part)

    def _until_acked(self, pairs: list[tuple[int, int]]) -> None:
        body = request(
            *(span(t, n, parent=None if n == 1 else 1, text="x" * 300) for t, n in pairs)
        )
        while not self.done.is_set():
            if self._send(body):
                self.acked |= {(f"{t:032x}", f"{n:016x}") for t, n in pairs}
                return
            time.sleep(0.02)

    def _send(self, body: bytes) -> bool:
        try:
            if not self._grpc:
                return self._service.send(body) == 200
            with grpc.insecure_channel(f"127.0.0.1:{self._service.ports['otlp_grpc']}") as channel:
                channel.unary_unary(EXPORT)(body, timeout=10)
            return True
        except (OSError, urllib.error.URLError, grpc.RpcError) as error:
            self.refused[type(error).__name__] += 1
            return False
        except Exception as error:  # a torn HTTP answer is no ack either
            self.refused[type(error).__name__] += 1
            return False


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
            found.update((s.trace_id, s.span_id) for s in wire.decode(stored.record.otlp))
            assert stored.record.span_count == sum(1 for t, _ in found if t == trace_id)
    assert acked - set(found) == set(), "acked spans are lost"
    assert [pair for pair, n in found.items() if n != 1] == [], "spans are there twice"
    after = decisions(service.data)
    assert {i: after.get(i) for i in before} == before
    print(f"{ROUNDS} kills, {len(acked)} acked spans of {len(after)} traces, all found once")
