"""The index of waiting traces: due at the time, not before, and small."""

from __future__ import annotations

import os
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from fidelity_otel.processor.assemble import Assembler, AssembleSettings, Place
from fidelity_otel.processor.journal import CARRIER, COMPLETE, ROOT

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


def test_the_last_decided_traces_are_remembered_and_no_more_than_so_many() -> None:
    settings = AssembleSettings(settle_seconds=0, idle_seconds=60)
    assembler = Assembler(settings, remember=10)
    ids = [number.to_bytes(16, "big") for number in range(40)]
    for number, trace_id in enumerate(ids):
        assembler.add(trace_id, Place(number * 100, 100), spans=1, flags=ROOT, now_ns=START)
        for ready in assembler.due(START):
            assembler.done(ready)
    for number, trace_id in enumerate(ids):
        place = Place((100 + number) * 100, 100)
        assembler.add(trace_id, place, spans=1, flags=0, now_ns=START)
    late = {ready.trace_id for ready in assembler.due(START) if ready.reason == "late"}
    assert set(ids[-5:]) <= late <= set(ids[-10:])


def test_of_too_many_traces_the_oldest_are_taken_within_the_limit_of_a_batch() -> None:
    assembler = Assembler(AssembleSettings(max_waiting_traces=10))
    for number in range(25):
        place = Place(number * 100, 100)
        assembler.add(number.to_bytes(16, "big"), place, spans=1, flags=0, now_ns=START)
    first, then, last = assembler.due(START, 9), assembler.due(START, 9), assembler.due(START, 9)
    assert [ready.trace_id[-1] for ready in first + then] == list(range(15))
    assert {ready.reason for ready in first + then} == {"pressure"}
    assert last == []


_parts = st.lists(
    st.tuples(
        st.integers(0, 5),  # trace
        st.integers(1, 9),  # spans
        st.sampled_from([0, ROOT, COMPLETE, CARRIER, CARRIER | ROOT]),
    ),
    max_size=5,
    unique_by=lambda part: part[0],
)
_steps = st.lists(st.tuples(_parts, st.integers(0, 3_000_000_000), st.booleans()), max_size=12)


@given(_steps, st.sampled_from([0.0, 0.05, 1.0, 10.0]), st.sampled_from([0.5, 2.0]))
def test_parts_of_a_request_are_added_together_as_they_would_be_one_by_one(
    steps: list[tuple[list[tuple[int, int, int]], int, bool]], settle: float, idle: float
) -> None:
    limits = AssembleSettings(
        settle_seconds=settle, idle_seconds=idle, max_spans=12, max_trace_bytes=1_000
    )
    one, all_ = Assembler(limits, remember=2), Assembler(limits, remember=2)
    now, position = START, 40
    for parts, later, decided in steps:
        kept = [(n.to_bytes(16, "big"), 90 * spans, spans, flags) for n, spans, flags in parts]
        all_.add_all(kept, position, now)
        for trace_id, size, spans, flags in kept:
            one.add(trace_id, Place(position, size), spans=spans, flags=flags, now_ns=now)
            position += size
        assert list(all_._waiting.items()) == list(one._waiting.items())
        assert (all_.waiting_spans, all_.waiting_bytes) == (one.waiting_spans, one.waiting_bytes)
        now += later
        due, same = sorted(all_.due(now)), sorted(one.due(now))
        assert due == same
        if decided:
            for ready, again in zip(due, same, strict=True):
                all_.done(ready)
                one.done(again)
    assert sorted(all_.due(now + 10**11)) == sorted(one.due(now + 10**11))


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


_NOTED = (9).to_bytes(16, "big")


def _noted(**limits: float) -> Assembler:
    """A trace that came whole, with a note."""
    assembler = Assembler(AssembleSettings(settle_seconds=1, **limits))  # type: ignore[arg-type]
    assembler.add_all([(_NOTED, 100, 3, ROOT)], 0, START, [7])
    return assembler


def _notes(assembler: Assembler, now: int = START + 10**11) -> list[int]:
    return [ready.note for ready in assembler.due(now)]


def test_a_trace_that_came_whole_keeps_its_note_until_it_is_due() -> None:
    assert _notes(_noted()) == [7]
    moved = _noted()
    moved.moved(_NOTED, (Place(0, 100),), (Place(5_000, 100),))
    assert _notes(moved) == [7]  # the same bytes at another place


def test_a_note_is_worth_nothing_once_more_has_come() -> None:
    more = _noted()
    more.add_all([(_NOTED, 50, 1, 0)], 100, START + 1, [0])
    assert _notes(more) == [0]
    again = _noted()
    again.add_all([(_NOTED, 100, 3, ROOT)], 100, START + 1, [7])  # sent twice
    assert _notes(again) == [0]
    carried = _noted()
    carried.add_all([(_NOTED, 50, 1, CARRIER)], 100, START + 1)
    assert _notes(carried) == [0]


def test_what_comes_after_a_trace_was_decided_has_no_note() -> None:
    deciding = _noted()
    (first,) = deciding.due(START + 10**10)
    deciding.add_all([(_NOTED, 100, 3, ROOT)], 100, START + 10**10, [7])
    assert _notes(deciding) == [0]
    deciding.done(first)
    deciding.add_all([(_NOTED, 100, 3, ROOT)], 200, START + 10**10, [7])
    assert _notes(deciding) == [0]


def test_a_trace_that_was_put_off_or_cut_by_a_limit_has_no_note() -> None:
    put_off = _noted()
    (ready,) = put_off.due(START + 10**10)
    put_off.again(ready, START)
    assert _notes(put_off) == [0]
    assert _notes(_noted(max_spans=3)) == [0]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=9))
def test_each_trace_of_a_request_has_the_note_at_its_place(notes: list[int]) -> None:
    assembler = Assembler(AssembleSettings(settle_seconds=0))
    kept = [(number.to_bytes(16, "big"), 90, 2, ROOT) for number in range(len(notes))]
    assembler.add_all(kept, 0, START, notes)
    assert _notes(assembler) == notes
