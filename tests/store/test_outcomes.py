"""Outcomes find their trace whichever comes first, once, and the newest counts."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_records import SECOND, START, make_outcome, make_record, open_again, open_copy, trace_id

from fidelity_otel.model import Outcome, OutcomeRef, TraceRecord
from fidelity_otel.store import Store

REFS = {
    "trace": OutcomeRef(trace_id=trace_id(0)),
    "upper case": OutcomeRef(trace_id=trace_id(0).upper(), span_id="ab" * 8),
    "response": OutcomeRef(response_id="resp-0"),
    "key": OutcomeRef(key_name="ticket", key_value="T-0"),
}


@pytest.mark.parametrize("first", ["trace", "outcome"])
@pytest.mark.parametrize("ref", REFS.values(), ids=list(REFS))
def test_an_outcome_finds_its_trace_before_or_after_it(
    store: Store, ref: OutcomeRef, first: str
) -> None:
    outcome = make_outcome("o1", ref=ref)
    if first == "trace":
        store.add_traces([make_record(0)])
        counts = store.add_outcomes([outcome])
        assert (counts.added, counts.joined, counts.parked) == (1, 1, 0)
    else:
        counts = store.add_outcomes([outcome])
        assert (counts.added, counts.joined, counts.parked) == (1, 0, 1)
        assert [o.id for o in store.orphans()] == ["o1"]
        assert store.orphan_count() == 1
        store.add_traces([make_record(0), make_record(1)])
    assert store.orphan_count() == 0
    (row, *_) = store.frame()
    assert row.outcomes == {"resolved": 1.0}


def test_a_business_key_that_comes_with_a_later_revision_joins_too(store: Store) -> None:
    store.add_traces([make_record(0, keys=())])
    store.add_outcomes([make_outcome("o1", ref=REFS["key"])])
    assert store.orphan_count() == 1
    store.add_traces([make_record(0, revision=1)])
    assert store.orphan_count() == 0


def test_the_same_id_again_changes_nothing(store: Store) -> None:
    store.add_outcomes([make_outcome("o1")])
    counts = store.add_outcomes([make_outcome("o1", value=0.0), make_outcome("o1", value=0.0)])
    assert (counts.added, counts.known) == (0, 2)
    kept = store.outcome("o1")
    assert kept is not None
    assert kept.value == 1.0


def test_a_key_means_the_last_trace_before_the_outcome(store: Store) -> None:
    store.add_traces([make_record(n, keys=(("ticket", "T"),)) for n in (1, 5, 9)])
    ref = OutcomeRef(key_name="ticket", key_value="T")
    for when, expected in ((START + 6 * SECOND, 5), (START + 99 * SECOND, 9), (START - 1, 1)):
        outcome = make_outcome(f"at {when}", ref=ref, observed_ns=when)
        store.add_outcomes([outcome])
        kept = store.outcome(outcome.id)
        assert kept is not None
        assert kept.trace_id == trace_id(expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_end_of_a_chain_of_corrections_counts(store: Store, order: tuple[int, ...]) -> None:
    store.add_traces([make_record(0)])
    chain = [
        make_outcome("first", value=1.0),
        make_outcome("second", value=0.0, supersedes="first"),
        # Observed before the others: a correction counts for what it corrects, not by its date.
        make_outcome("third", value=0.5, supersedes="second", observed_ns=START),
    ]
    for n in order:
        store.add_outcomes([chain[n]])
    (row,) = store.frame()
    assert row.outcomes == {"resolved": 0.5}


def test_circles_and_senseless_outcomes_are_refused_by_name(store: Store) -> None:
    store.add_outcomes([make_outcome("a", supersedes="b")])
    counts = store.add_outcomes(
        [
            make_outcome("b", supersedes="a"),
            make_outcome("c", supersedes="c"),
            make_outcome("d", value=float("nan")),
            make_outcome("e", ref=OutcomeRef()),
            make_outcome("", name="x"),
            make_outcome("f", name=""),
            make_outcome("g"),
        ]
    )
    assert counts.added == 1
    assert len(counts.refused) == 6
    assert any("b" in why and "circle" in why for why in counts.refused)
    assert any("nan" in why for why in counts.refused)


def test_the_latest_of_a_name_counts_and_other_names_stay(store: Store) -> None:
    store.add_traces([make_record(0)])
    store.add_outcomes(
        [
            make_outcome("late", value=0.0, observed_ns=START + 9),
            make_outcome("early", value=1.0, observed_ns=START + 1),
            make_outcome("other", name="refund", value=None, label="full"),
        ]
    )
    (row,) = store.frame()
    assert row.outcomes == {"resolved": 0.0, "refund": None}
    assert row.outcome_labels == {"resolved": None, "refund": "full"}
    assert set(row.outcome_times) == {"resolved", "refund"}


TRACES = [
    make_record(n, keys=(("ticket", f"T{n % 2}"),), response_ids=(f"r{n % 3}",)) for n in range(5)
]
OUTCOMES = [
    make_outcome(
        "k0", ref=OutcomeRef(key_name="ticket", key_value="T0"), observed_ns=START + 3 * SECOND
    ),
    make_outcome("k1", ref=OutcomeRef(key_name="ticket", key_value="T1"), observed_ns=START),
    make_outcome("r", ref=OutcomeRef(response_id="r1"), observed_ns=0),
    make_outcome("s", ref=OutcomeRef(response_id="r1"), value=0.0, supersedes="r"),
    make_outcome("t", ref=OutcomeRef(trace_id=trace_id(4))),
]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    events=st.permutations([*TRACES, *OUTCOMES]),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=10),
)
def test_joining_does_not_depend_on_the_order_of_arrival(
    events: list[TraceRecord | Outcome], sizes: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder, open_copy(Path(folder)) as store:
        at = turn = 0
        while at < len(events):
            batch = events[at : at + sizes[turn % len(sizes)]]
            store.add_outcomes([e for e in batch if isinstance(e, Outcome)])
            store.add_traces([e for e in batch if isinstance(e, TraceRecord)])
            at += len(batch)
            turn += 1
        found = {o.id: (store.outcome(o.id) or o).trace_id for o in OUTCOMES}
        assert found == {
            "k0": trace_id(2),
            "k1": trace_id(1),
            "r": trace_id(4),
            "s": trace_id(4),
            "t": trace_id(4),
        }
        rows = {r.trace_id: r.outcomes for r in store.frame()}
        assert rows[trace_id(4)]["resolved"] in {0.0, 1.0}
        assert store.orphan_count() == 0


def test_traces_and_outcomes_at_the_same_moment_find_each_other(store: Store) -> None:
    """Two replicas: neither side may miss the other because both were being written."""
    other = open_again(store)
    failures: list[BaseException] = []

    def run(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    def traces() -> None:
        for n in range(40):
            store.add_traces([make_record(n)])

    def outcomes() -> None:
        for n in range(40):
            ref = OutcomeRef(key_name="ticket", key_value=f"T-{n}")
            other.add_outcomes([make_outcome(f"o{n}", ref=ref)])

    threads = [threading.Thread(target=run, args=(w,)) for w in (traces, outcomes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert not failures
    assert store.orphan_count() == 0
    assert all(r.outcomes for r in store.frame())
