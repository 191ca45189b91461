"""Erasing really erases; pruning keeps what is needed, and says with what chance."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from store_records import SECOND, START, draw_all, make_outcome, make_record, trace_id

from fidelity_otel.errors import InputError
from fidelity_otel.model import Finding, OutcomeRef, TraceRecord
from fidelity_otel.store import Store, StoredTrace, open_store

SECRET = "Frau-Mustermann-Kontonummer-4711"
DAY = 86_400 * SECOND


def private(number: int) -> object:
    return make_record(
        number,
        otlp=f"body of {SECRET}".encode(),
        request=f"I am {SECRET}",
        answer=f"Hello {SECRET}",
        keys=(("name", SECRET),),
        response_ids=(SECRET,),
        findings=(Finding("loop", "recovered", "a", f"said {SECRET} twice"),),
        user_id=SECRET,
        conversation_id=f"conversation with {SECRET}",
    )


def stored(store: Store, number: int) -> StoredTrace:
    found = store.trace(trace_id(number))
    assert found is not None
    return found


def fill(store: Store) -> None:
    store.add_traces([private(0), make_record(1)])  # type: ignore[list-item]
    draw_all(store)
    lease = next(
        lease
        for name in ("ann", "bob")
        if (lease := store.next_item(name, START)) and lease.item.trace_id == trace_id(0)
    )
    store.submit(lease.lease_id, "wrong", note=SECRET, correction=SECRET, now_ns=START)
    store.add_outcomes(
        [
            make_outcome("o1", label=SECRET, explanation=SECRET),
            make_outcome("o2", ref=OutcomeRef(key_name="name", key_value=SECRET)),
        ]
    )


@pytest.mark.parametrize(
    "whose",
    [
        {"user_id": SECRET},
        {"conversation_id": f"conversation with {SECRET}"},
        {"trace_id": trace_id(0)},
    ],
    ids=["user", "conversation", "trace"],
)
def test_nothing_of_it_is_readable_and_the_counts_stay(store: Store, whose: dict[str, str]) -> None:
    fill(store)
    before = {(r.stratum, r.pi, r.reviews) for r in store.frame()}
    erased = store.erase(now_ns=START, by="officer", **whose)
    assert (erased.traces, erased.reviews, erased.outcomes) == (1, 1, 2)
    assert store.trace(trace_id(0)) is None
    assert store.trace_ids(key=("name", SECRET)) == []
    after = store.frame()
    assert {(r.stratum, r.pi, r.reviews) for r in after} == before
    (husk,) = [r for r in after if r.trace_id != trace_id(1)]
    assert husk.trace_id.startswith("erased")
    assert (husk.user_id, husk.conversation_id, husk.outcomes) == (None, None, {})
    assert SECRET not in repr([store.trace(r.trace_id) for r in after])
    assert SECRET not in repr(store.audit())
    assert trace_id(0) not in repr(store.audit())
    assert store.audit()[0].action == "erase"
    assert store.audit()[0].actor == "officer"
    assert [t.trace_id for t in store.traces()] == [trace_id(1)]
    assert store.erase(now_ns=START, **whose).traces == 0


def test_the_files_hold_no_byte_of_it(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store)
        written = b"".join(p.read_bytes() for p in tmp_path.iterdir())
        assert SECRET.encode() in written
        store.erase(now_ns=START, user_id=SECRET)
        for path in tmp_path.iterdir():
            assert SECRET.encode() not in path.read_bytes(), path
            assert trace_id(0).encode() not in path.read_bytes(), path


def test_late_spans_of_an_erased_trace_stay_out(store: Store) -> None:
    fill(store)
    store.erase(now_ns=START, user_id=SECRET)
    added = store.add_traces([private(0), make_record(2)])  # type: ignore[list-item]
    assert (added.new, added.refused) == (1, 1)
    assert store.trace(trace_id(0)) is None


def test_an_erased_item_is_not_offered(store: Store) -> None:
    store.add_traces([make_record(0)])
    draw_all(store)
    lease = store.next_item("ann", START)
    assert lease is not None
    store.erase(now_ns=START, trace_id=trace_id(0))
    assert store.next_item("bob", START) is None


def test_what_to_erase_must_be_one_thing(sqlite: Store) -> None:
    for whose in ({}, {"user_id": "a", "trace_id": "b"}):
        with pytest.raises(InputError, match="exactly one"):
            sqlite.erase(now_ns=START, **whose)  # type: ignore[arg-type]


def test_pruning_by_age_spares_what_is_needed(store: Store) -> None:
    old, new = START - 40 * DAY, START - 5 * DAY
    store.add_traces(
        [make_record(n, start_ns=old) for n in range(4)] + [make_record(4, start_ns=new)]
    )
    draw_all(store, choose=lambda i: i == trace_id(0))
    store.add_outcomes([make_outcome("o", ref=OutcomeRef(trace_id=trace_id(1)))])
    store.pick(trace_id(2), now_ns=START)
    pruned = store.prune(START, 30, 1 << 40)
    assert (pruned.by_age, pruned.by_bytes, pruned.kept) == (1, 0, 1)
    bodies = {n: stored(store, n).retained for n in range(5)}
    assert bodies == {0: True, 1: True, 2: True, 3: False, 4: True}
    assert len(store.frame()) == 5
    gone = store.trace(trace_id(3))
    assert gone is not None
    assert gone.record.otlp == b""
    assert gone.record.request == "question 3"


def test_pruning_by_bytes_keeps_each_body_with_the_same_known_chance(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(300)])
    total = store.body_bytes()
    pruned = store.prune(START, 30, total // 2)
    assert pruned.by_bytes + pruned.kept == 300
    assert pruned.kept_bytes <= total // 2
    # The chance is what was kept, up to chance itself (4 standard deviations).
    assert abs(pruned.kept / 300 - pruned.retention) < 4 * (0.25 / 300) ** 0.5
    chances = {stored(store, n).record.decision.retention for n in range(300)}
    assert chances == {pruned.retention}
    again = store.prune(START, 30, total // 2)
    assert (again.by_bytes, again.kept) == (0, pruned.kept)
    tighter = store.prune(START, 30, total // 4)
    assert tighter.retention < pruned.retention


def test_outcomes_wait_for_a_trace_as_long_as_one_may_come(store: Store) -> None:
    store.add_traces([make_record(0)])
    unknown = OutcomeRef(trace_id=trace_id(99))
    old, new = START - 31 * DAY, START - 29 * DAY
    store.add_outcomes(
        [
            make_outcome("old", ref=unknown, received_ns=old),
            make_outcome("new", ref=unknown, received_ns=new),
            make_outcome("joined", received_ns=old),
        ]
    )
    assert store.prune_orphans(START, 30) == 1
    assert [o.id for o in store.orphans()] == ["new"]
    found = store.trace(trace_id(0))
    assert found is not None
    assert [o.id for o in found.outcomes] == ["joined"]
    assert store.prune_orphans(START, 30) == 0


def test_a_trace_counts_for_itself_alone_once_something_is_found(store: Store) -> None:
    """With 0.1 of what was kept by a head sampler before."""

    def made(number: int, upstream: float, *, flagged: bool, revision: int = 0) -> TraceRecord:
        record = make_record(number, revision=revision)
        decision = msgspec.structs.replace(record.decision, upstream=upstream, flagged=flagged)
        return msgspec.structs.replace(record, decision=decision)

    store.add_traces([made(n, 0.005, flagged=False) for n in range(2)])
    store.add_traces([made(2, 1.0, flagged=True)])
    later = [made(0, 0.1, flagged=True, revision=1), made(1, 0.1, flagged=False, revision=1)]
    store.add_traces([*later, made(2, 0.1, flagged=True, revision=1)])
    assert [stored(store, n).record.decision.upstream for n in range(3)] == [0.1, 0.005, 1.0]
    assert not stored(store, 0).record.decision.flagged, "its stratum is the first decision's"


def test_a_pruned_body_does_not_come_back_with_late_spans(store: Store) -> None:
    store.add_traces([make_record(0, start_ns=START - 40 * DAY)])
    store.prune(START, 30, 1 << 40)
    store.add_traces([make_record(0, revision=1, start_ns=START - 40 * DAY)])
    found = store.trace(trace_id(0))
    assert found is not None
    assert not found.retained


def test_everything_of_an_age_is_erased_and_counted_on(store: Store) -> None:
    store.add_traces([make_record(n, start_ns=START - n * DAY) for n in range(6)])
    draw_all(store)
    lease = store.next_item("ann", START)
    assert lease is not None
    store.submit(lease.lease_id, "wrong", note="a note", now_ns=START)
    assert store.erase_older(2.5, now_ns=START, most=2).traces == 2
    assert store.erase_older(2.5, now_ns=START).traces == 1
    assert store.erase_older(2.5, now_ns=START).traces == 0
    assert [t.trace_id for t in store.traces()] == [trace_id(n) for n in range(3)]
    assert len(store.frame()) == 6
    assert len(store.reviews()) == 1
    assert store.audit()[0].detail == {"by": "age", "traces": 1}
