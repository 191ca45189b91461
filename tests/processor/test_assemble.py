"""The index of waiting traces: due at the time, not before, and small."""

from __future__ import annotations

import os
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from fidelity_otel.processor.assemble import Assembler, AssembleSettings, Place
from fidelity_otel.processor.journal import ROOT

START = 1_764_000_000 * 10**9


@given(
    st.lists(st.integers(0, 200_000_000), min_size=1, max_size=20),
    st.lists(st.integers(0, 200_000_000), max_size=30),
)
def test_a_trace_is_due_at_its_time_and_never_before(came: list[int], asked: list[int]) -> None:
    settle = 50_000_000
    assembler = Assembler(AssembleSettings(settle_seconds=settle / 1e9))
    moments = sorted(
        [(at, 0, number) for number, at in enumerate(came)] + [(a, 1, 0) for a in asked]
    )
    waiting: dict[bytes, int] = {}
    for at, asking, number in [*moments, (max(came) + settle, 1, 0)]:
        if not asking:
            trace_id = number.to_bytes(16, "big")
            place = Place(100 * len(waiting), 100)
            assembler.add(trace_id, place, spans=1, flags=ROOT, now_ns=START + at)
            waiting[trace_id] = at + settle
            continue
        due = [ready.trace_id for ready in assembler.due(START + at)]
        assert sorted(due) == sorted(i for i, when in waiting.items() if when <= at)
        for trace_id in due:
            del waiting[trace_id]
    assert not waiting


def test_the_limits_of_a_batch_leave_the_rest_due() -> None:
    assembler = Assembler(AssembleSettings(settle_seconds=0))
    for number in range(10):
        place = Place(number * 100, 100)
        assembler.add(number.to_bytes(16, "big"), place, spans=1, flags=ROOT, now_ns=START)
    assert len(assembler.due(START, 3)) == 3
    assert len(assembler.due(START, 100, max_bytes=250)) == 3
    assert [ready.trace_id[-1] for ready in assembler.due(START)] == [6, 7, 8, 9]


def test_a_waiting_trace_takes_few_bytes() -> None:
    """Beside its id; with an object per trace and per plan it took 440."""
    assembler, traces, position = Assembler(AssembleSettings()), 20_000, 0
    ids = [os.urandom(16) for _ in range(traces)]
    tracemalloc.start()
    try:
        for number, trace_id in enumerate(ids):
            now = START + number // 64 * 6_000_000
            assembler.add(trace_id, Place(position, 19_500), spans=8, flags=ROOT, now_ns=now)
            position += 20_000
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / traces < 200
