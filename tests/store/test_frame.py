"""The frame: what estimates are computed from."""

from __future__ import annotations

from msgspec import structs
from store_records import SECOND, START, draw_all, make_record, trace_id

from fidelity_otel.model import Finding
from fidelity_otel.store import FrameRow, Store


def test_columns_and_rows_say_the_same(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(5)])
    record = make_record(5)
    thin = structs.replace(record.decision, upstream=0.25)
    store.add_traces([structs.replace(record, decision=thin)])
    draw_all(store, choose=lambda i: i < trace_id(3))
    lease = store.next_item("ann", START)
    assert lease is not None
    store.submit(lease.lease_id, "wrong", "loop", now_ns=START + 1)
    columns, rows = store.frame_columns(), store.frame()
    assert set(columns) == set(FrameRow.__struct_fields__)
    assert {len(c) for c in columns.values()} == {6}
    for n, row in enumerate(rows):
        for name, column in columns.items():
            assert getattr(row, name) == column[n]
    assert [r.start_ns for r in rows] == sorted(r.start_ns for r in rows)
    assert columns["upstream"] == [1.0] * 5 + [0.25]
    assert [r.selected for r in rows] == [True] * 3 + [False] * 3
    (judged,) = [r for r in rows if r.reviews]
    assert judged.trace_id == lease.item.trace_id
    assert (judged.reviews[0].verdict, judged.reviews[0].mode) == ("wrong", "loop")
    assert judged.reviews[0].phase == "sample"


def test_an_empty_frame_has_all_its_columns(store: Store) -> None:
    columns = store.frame_columns()
    assert set(columns) == set(FrameRow.__struct_fields__)
    assert not any(columns.values())


def test_an_undrawn_trace_has_no_probability(store: Store) -> None:
    store.add_traces([make_record(0)])
    (row,) = store.frame()
    assert row.pi is None
    assert not row.selected
    assert row.arms == ()


def test_bounds_are_half_open_and_hold_for_what_is_joined(store: Store) -> None:
    store.add_traces([make_record(n, workflow="a" if n < 5 else "b") for n in range(10)])
    draw_all(store)
    rows = store.frame(START + 2 * SECOND, START + 7 * SECOND)
    assert [r.trace_id for r in rows] == [trace_id(n) for n in range(2, 7)]
    assert all(r.arms for r in rows)
    assert len(store.frame(workflow="a")) == 5
    assert len(store.frame(START + 2 * SECOND, START + 7 * SECOND, workflow="b")) == 2


def test_modes_keep_their_states(store: Store) -> None:
    findings = (
        Finding("loop", "unrecovered", "a", "x"),
        Finding("loop", "recovered", "b", "x"),
        Finding("loop", "recovered", "c", "x"),
        Finding("auth", "escalated", "d", "x"),
    )
    store.add_traces([make_record(0, findings=findings), make_record(1, findings=())])
    first, second = store.frame()
    assert list(zip(first.modes, first.states, strict=True)) == [
        ("auth", "escalated"),
        ("loop", "recovered"),
        ("loop", "unrecovered"),
    ]
    assert (second.modes, second.states) == ((), ())


def test_counts_by_bounded_labels(store: Store) -> None:
    store.add_traces([make_record(n, reported_success=n != 0) for n in range(4)])
    draw_all(store, choose=lambda i: i == trace_id(1))
    lease = store.next_item("ann", START)
    assert lease is not None
    store.submit(lease.lease_id, "partly", "loop", now_ns=START + 7)
    counts = store.counts()
    assert counts.reviews_by_verdict_arm == {("partly", "estimation"): 1}
    assert counts.lease_endings == {"verdict": 1}
    labels = store.labels()
    assert (labels.workflows, labels.modes) == (("support",), ("tool_error",))
