"""Folds: a drawn window's counts are kept, and given up when one of its traces changes."""

from __future__ import annotations

from store_records import START, draw_all, make_outcome, make_record, trace_id

from fidelity_otel.model import OutcomeRef
from fidelity_otel.store import Fold, Store

DAY = 86_400 * 10**9


def folded(store: Store, *, least: int = 1) -> list[str]:
    done = []
    for state in store.windows_to_fold(least=least, before_ns=0):
        assert store.save_fold(Fold(state.window, START, START + 10**12, b"counts"), state)
        done.append(state.window)
    return done


def test_only_drawn_windows_are_folded_and_each_once(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(6)])
    assert store.windows_to_fold(least=1, before_ns=0) == ()
    draw_all(store)
    assert store.windows_to_fold(least=7, before_ns=0) == (), "small, and not old"
    assert len(store.windows_to_fold(least=7, before_ns=START + 365 * DAY)) == 1
    assert len(folded(store)) == 1
    assert store.windows_to_fold(least=1, before_ns=0) == ()


def test_a_folded_window_comes_as_counts_and_the_traces_looked_at(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(6)])
    draw_all(store, choose=lambda i: i < trace_id(2))
    folded(store)
    store.add_traces([make_record(n) for n in range(6, 9)])
    counts, looked, fresh = store.frame_parts()
    assert (counts.tally, counts.window) == (b"counts", looked.columns["window"][0])
    assert (looked.counted, looked.columns["trace_id"]) == (True, [trace_id(0), trace_id(1)])
    assert looked.columns["selected"] == [True, True]
    assert (fresh.counted, len(fresh.columns["trace_id"])) == (False, 3)


def test_a_window_cut_by_the_bounds_is_read_row_by_row(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(6)])
    draw_all(store)
    folded(store)
    (part,) = store.frame_parts(START + 1)
    assert not part.tally
    assert len(part.columns["trace_id"]) == 5


def test_a_revision_makes_the_fold_invalid_until_it_is_made_anew(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(6)])
    draw_all(store, choose=lambda _: False)
    folded(store)
    store.add_traces([make_record(3, revision=2)])
    (part,) = store.frame_parts()
    assert not part.tally
    assert len(part.columns["trace_id"]) == 6
    assert len(folded(store)) == 1


def test_a_fold_of_traces_that_have_changed_meanwhile_is_not_kept(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(6)])
    draw_all(store)
    (state,) = store.windows_to_fold(least=1, before_ns=0)
    store.add_traces([make_record(3, revision=2)])
    assert not store.save_fold(Fold(state.window, START, START, b""), state)
    assert not any(part.tally for part in store.frame_parts())


def test_an_outcome_takes_a_trace_out_of_the_counts(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(6)])
    draw_all(store, choose=lambda _: False)
    folded(store)
    assert [p.counted for p in store.frame_parts()] == [False]
    store.add_outcomes([make_outcome("o1", ref=OutcomeRef(trace_id=trace_id(4)))])
    _, looked = store.frame_parts()
    assert looked.columns["trace_id"] == [trace_id(4)]


def test_parts_are_no_larger_than_asked_for(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(7)])
    parts = list(store.frame_parts(rows=3))
    assert [len(p.columns["trace_id"]) for p in parts] == [3, 3, 1]
    assert [i for p in parts for i in p.columns["trace_id"]] == [trace_id(n) for n in range(7)]
