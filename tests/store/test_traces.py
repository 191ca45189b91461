"""Adding, replacing, reading and listing traces."""

from __future__ import annotations

import threading

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from store_records import START, draw_all, make_outcome, make_record, open_again, trace_id

from fidelity_otel.model import Finding, OutcomeRef
from fidelity_otel.store import Store, open_store


def test_a_trace_comes_back_whole(store: Store) -> None:
    record = make_record(3)
    assert store.add_traces([record]).new == 1
    found = store.trace(record.trace_id)
    assert found is not None
    assert found.record == record
    assert found.retained
    assert not found.drawn


def test_an_unknown_trace_is_none(store: Store) -> None:
    assert store.trace(trace_id(77)) is None


def test_adding_the_same_revision_again_changes_nothing(store: Store) -> None:
    record = make_record(0)
    store.add_traces([record])
    other = make_record(0, answer="another answer", otlp=b"another body")
    added = store.add_traces([other, other])
    assert (added.new, added.replaced, added.known) == (0, 0, 2)
    found = store.trace(record.trace_id)
    assert found is not None
    assert found.record == record


def test_a_higher_revision_replaces_the_body_and_keeps_the_decision(store: Store) -> None:
    store.add_traces([make_record(0)])
    draw_all(store)
    first = store.trace(trace_id(0))
    assert first is not None
    later = make_record(
        0,
        revision=2,
        risk=0.99,
        stratum="other",
        window="w9",
        answer="late answer",
        otlp=b"more spans",
        findings=(Finding("loop", "unrecovered", "ab" * 8, "round and round"),),
        keys=(("order", "O-1"),),
    )
    assert store.add_traces([later]).replaced == 1
    found = store.trace(trace_id(0))
    assert found is not None
    assert found.record.decision == first.record.decision
    assert found.record.otlp == b"more spans"
    assert found.record.answer == "late answer"
    assert found.record.findings == later.findings
    assert found.record.keys == (("order", "O-1"),)
    assert found.record.decision.arms
    assert store.add_traces([make_record(0, revision=1)]).known == 1


def test_several_revisions_in_one_batch_store_the_newest_with_the_first_decision(
    store: Store,
) -> None:
    store.add_traces([make_record(0), make_record(0, revision=1, risk=0.9, answer="newer")])
    found = store.trace(trace_id(0))
    assert found is not None
    assert (found.record.revision, found.record.answer) == (1, "newer")
    assert found.record.decision.risk == make_record(0).decision.risk


def test_listing_filters_orders_and_pages(store: Store) -> None:
    store.add_traces(
        [make_record(n, risk=(n * 7 % 10) / 10, workflow="a" if n % 2 else "b") for n in range(10)]
    )
    newest = store.traces(limit=3)
    assert [t.trace_id for t in newest] == [trace_id(n) for n in (9, 8, 7)]
    assert [t.trace_id for t in store.traces(limit=3, offset=3)] == [trace_id(n) for n in (6, 5, 4)]
    risks = [t.risk for t in store.traces(order="risk")]
    assert risks == sorted(risks, reverse=True)
    assert {t.workflow for t in store.traces(workflow="a")} == {"a"}
    assert len(store.traces(START + 2 * 10**9, START + 4 * 10**9)) == 2
    assert len(store.traces(mode="tool_error")) == 10
    assert not store.traces(mode="tool_err")
    assert not store.traces(mode="%")


def test_traces_are_found_by_business_key_and_response_id(store: Store) -> None:
    store.add_traces(
        [make_record(2, keys=(("ticket", "T"),)), make_record(1, keys=(("ticket", "T"),))]
    )
    assert store.trace_ids(key=("ticket", "T")) == [trace_id(1), trace_id(2)]
    assert store.trace_ids(response_id="resp-2") == [trace_id(2)]
    assert store.trace_ids(response_id="resp-9") == []


def test_outcomes_come_with_the_trace(store: Store) -> None:
    store.add_traces([make_record(0)])
    store.add_outcomes(
        [make_outcome("o1"), make_outcome("o2", ref=OutcomeRef(response_id="resp-0"))]
    )
    found = store.trace(trace_id(0))
    assert found is not None
    assert [o.id for o in found.outcomes] == ["o1", "o2"]


def test_hostile_values_are_stored_as_text(store: Store) -> None:
    """NUL, lone surrogates and numbers beyond 64 bits must not make a trace impossible to store."""
    ugly = "a\x00b\ud800c <script>alert(1)</script> \u202e"
    record = make_record(
        0,
        request=ugly,
        answer=ugly,
        workflow=ugly,
        conversation_id=ugly,
        keys=((ugly, ugly),),
        response_ids=(ugly,),
        findings=(Finding("mode with space:colon", "unrecovered", ugly, ugly),),
        start_ns=2**64 - 1,
        end_ns=2**70,
    )
    store.add_traces([record])
    draw_all(store)
    found = store.trace(trace_id(0))
    assert found is not None
    assert "<script>alert(1)</script>" in found.record.answer
    assert found.record.start_ns == 2**63 - 1
    assert store.frame()[0].modes == ("mode_with_space_colon",)
    assert store.next_item("ann", START) is not None


@given(text=st.text())
def test_any_text_survives_in_a_listing(text: str, tmp_path_factory: object) -> None:
    from fidelity_otel.store.base import clean, to_json

    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert "\x00" not in cleaned
    assert clean(cleaned) == cleaned
    finding = Finding("m", "recovered", "s", text)
    assert msgspec.json.decode(to_json([finding]))[0]["mode"] == "m"


def test_threads_add_overlapping_batches_and_each_trace_is_stored_once(store: Store) -> None:
    other = open_again(store)
    failures: list[BaseException] = []

    def add(offset: int) -> None:
        try:
            for start in range(0, 60, 6):
                replica = other if offset % 2 else store
                replica.add_traces([make_record(start + (offset + k) % 12) for k in range(12)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert not failures
    ids = [t.trace_id for t in store.traces(limit=1000)]
    assert sorted(ids) == [trace_id(n) for n in range(66)]


def test_another_process_reads_while_this_one_writes(tmp_path: object) -> None:
    import subprocess
    import sys

    with open_store(tmp_path) as store:  # type: ignore[arg-type]
        store.add_traces([make_record(n) for n in range(5)])
        with store._db.write():
            code = (
                "import sys; from pathlib import Path; from fidelity_otel.store import open_store; "
                "s = open_store(Path(sys.argv[1])); print(len(s.traces()), s.progress().items)"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
            )
    assert done.stdout.strip() == "5 0", done.stderr
