"""Pages: one view of a span of time, a bounded number of rows at once."""

from __future__ import annotations

import msgspec
import pytest
from store_records import SECOND, START, draw_all, make_record, trace_id

from fidelity_otel.model import Finding, TraceRecord
from fidelity_otel.store import Store

ROWS = 4


def kept(number: int, upstream: float, **changes: object) -> TraceRecord:
    """A trace that a head sampler kept."""
    record = make_record(number, **changes)
    decision = msgspec.structs.replace(record.decision, upstream=upstream)
    return msgspec.structs.replace(record, decision=decision)


def test_found_traces_come_in_pages_each_once_and_oldest_first(store: Store) -> None:
    """Traces of one start among them: the page ends between them, and none is lost or doubled."""
    starts = [START + (0 if 3 <= n < 12 else n) * SECOND for n in range(25)]
    store.add_traces(
        [
            make_record(n, start_ns=starts[n], **({"findings": ()} if n % 5 == 0 else {}))
            for n in range(25)
        ]
    )
    with store.pages(rows=ROWS) as pages:
        found = list(pages.found())
    assert {len(page) for page in found[:-1]} == {ROWS}
    wanted = sorted((starts[n], trace_id(n)) for n in range(25) if n % 5)
    assert [(t.start_ns, t.trace_id) for page in found for t in page] == wanted
    (first, *_), *_ = found
    assert (first.workflow, first.upstream) == ("support", 1.0)
    assert (first.modes, first.states) == (("tool_error",), ("recovered",))
    assert first.findings == (Finding("tool_error", "recovered", "ab" * 8, "the tool said no"),)


def test_looked_at_traces_are_the_rows_of_the_frame(store: Store) -> None:
    store.add_traces([kept(n, 0.5 if n % 2 else 1.0) for n in range(20)])
    draw_all(store, choose=lambda i: int(i, 16) % 2 == 0)
    picked = store.pick(trace_id(0), now_ns=START, by="lead", reason="odd")
    lease = store.next_item("ann", START, item_id=picked.item_id)
    assert lease is not None
    store.submit(lease.lease_id, "wrong", "loop", now_ns=START + 1)
    with store.pages(START, START + 15 * SECOND, rows=ROWS) as pages:
        parts = list(pages.looked_at())
    assert [len(part["trace_id"]) for part in parts] == [ROWS, ROWS]
    rows = {row.trace_id: row for row in store.frame()}
    ids = [i for part in parts for i in part["trace_id"]]
    assert ids == [i for i, row in rows.items() if row.selected or row.reviews][: len(ids)]
    assert ids == sorted({trace_id(0), *(trace_id(n) for n in range(1, 15, 2))})
    for part in parts:
        for name, column in part.items():
            if name == "upstream":
                wanted = [0.5 if int(i, 16) % 2 == 0 else 1.0 for i in part["trace_id"]]
            else:
                wanted = [getattr(rows[i], name) for i in part["trace_id"]]
            assert column == wanted, name


def test_traffic_is_counted_by_workflow_and_half(store: Store) -> None:
    store.add_traces(
        [kept(n, 0.25 if n < 5 else 1.0) for n in range(11)]
        + [make_record(40, workflow="other"), make_record(90, workflow="left out")]
    )
    with store.pages(None, START + 50 * SECOND) as pages:
        other, early, late = pages.traffic()
    assert (early.workflow, early.first_ns, early.last_ns) == (
        "support",
        START,
        START + 10 * SECOND,
    )
    assert early.middle_ns == START + 5 * SECOND
    assert (early.late, early.traces) == (False, 6)
    assert (early.requests, early.squares) == pytest.approx((21.0, 81.0))
    assert (late.late, late.traces, late.requests, late.squares) == (True, 5, 5.0, 5.0)
    assert (other.workflow, other.late, other.traces) == ("other", False, 1)


def test_a_view_does_not_change_while_it_is_paged(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(6)])
    with store.pages(rows=ROWS) as pages:
        found = pages.found()
        first = next(found)
        store.add_traces([make_record(n) for n in range(6, 12)])
        rest = [trace for page in found for trace in page]
        assert len(first) + len(rest) == 6
        assert sum(t.traces for t in pages.traffic()) == 6


def test_nothing_gives_no_page(store: Store) -> None:
    with store.pages() as pages:
        assert (pages.traffic(), list(pages.found()), list(pages.looked_at())) == ([], [], [])
