"""Windows and draws: every trace gets one decision, and it never changes."""

from __future__ import annotations

import pytest
from store_records import START, STRATUM, draw_all, make_outcome, make_record, trace_id

from fidelity_otel.model import ArmDecision
from fidelity_otel.store import Store


def arm(selected: bool, probability: float = 0.5, name: str = "estimation") -> ArmDecision:
    return ArmDecision(name, "w1", STRATUM, selected, probability)  # type: ignore[arg-type]


def test_windows_are_open_until_drawn_and_only_those_that_began_before(store: Store) -> None:
    store.add_traces(
        [make_record(0, window="a", decided_ns=100), make_record(1, window="b", decided_ns=200)]
    )
    assert store.open_windows(100) == []
    assert store.open_windows(101) == ["a"]
    assert store.open_windows(1000) == ["a", "b"]
    assert set(store.undrawn_traces()) == {"a", "b"}
    store.save_draw("a", {trace_id(0): (arm(False),)}, now_ns=5)
    assert store.open_windows(1000) == ["b"]
    assert set(store.undrawn_traces()) == {"b"}


def test_a_windows_beginning_is_its_earliest_trace_whatever_came_first(store: Store) -> None:
    store.add_traces([make_record(0, window="a", decided_ns=300)])
    store.add_traces([make_record(1, window="a", decided_ns=100)])
    store.add_traces([make_record(2, window="a", decided_ns=300)])
    assert store.open_windows(200) == ["a"]


def test_candidates_carry_their_decision_and_modes(store: Store) -> None:
    store.add_traces([make_record(1), make_record(0)])
    found = store.window_candidates("w1")
    assert [c.decision for c in found] == [make_record(n).decision for n in (0, 1)]
    assert {c.modes for c in found} == {("tool_error",)}


def test_a_draw_is_saved_once(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(4)])
    first = {trace_id(n): (arm(n < 2),) for n in range(4)}
    second = {trace_id(n): (arm(True, 0.9),) for n in range(4)}
    drawn = store.save_draw("w1", first, now_ns=START)
    assert (drawn.saved, drawn.enqueued, drawn.candidates) == (True, 2, 4)
    again = store.save_draw("w1", second, now_ns=START)
    assert not again.saved
    assert store.progress().items == 2
    arms = {t.trace_id: t.arms for t in store.frame()}
    assert all(a[0].probability == 0.5 for a in arms.values())


def test_a_trace_that_comes_after_the_draw_gets_a_window_of_its_own(store: Store) -> None:
    store.add_traces([make_record(0)])
    draw_all(store)
    store.add_traces([make_record(1)])
    (late,) = store.open_windows(1 << 62)
    assert late != "w1"
    assert [c.decision.trace_id for c in store.window_candidates(late)] == [trace_id(1)]
    draw_all(store)
    store.add_traces([make_record(2)])
    (later,) = store.open_windows(1 << 62)
    assert later not in {"w1", late}
    draw_all(store)
    assert [len(t.arms) for t in store.frame()] == [2, 2, 2]


def test_a_trace_that_comes_between_reading_and_saving_is_not_lost(store: Store) -> None:
    store.add_traces([make_record(0)])
    candidates = store.window_candidates("w1")
    store.add_traces([make_record(1)])
    drawn = store.save_draw(
        "w1", {c.decision.trace_id: (arm(True),) for c in candidates}, now_ns=START
    )
    assert drawn.stragglers == 1
    assert draw_all(store) == 1
    assert all(t.pi is not None for t in store.frame())


def test_arms_combine_as_independent_draws(store: Store) -> None:
    store.add_traces([make_record(0)])
    arms = (arm(False, 0.5), arm(True, 0.2, "discovery"))
    store.save_draw("w1", {trace_id(0): arms}, now_ns=START)
    (row,) = store.frame()
    assert row.pi == pytest.approx(1 - 0.5 * 0.8)
    assert row.selected


def test_thresholds_are_kept_per_arm_and_stratum(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(3)])
    draw_all(store, choose=lambda i: i == trace_id(0))
    kept = {(t.arm, t.stratum): t for t in store.thresholds("w1")}
    assert kept["estimation", STRATUM].threshold == 0.9
    assert (kept["estimation", STRATUM].selected, kept["estimation", STRATUM].candidates) == (1, 3)
    assert kept["discovery", "tool_error"].selected == 0
    assert store.thresholds("none") == []


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (1.0, 400, 400), (0.15, 30, 95)])
def test_the_share_of_double_reviews(sqlite: Store, share: float, least: int, most: int) -> None:
    sqlite.add_traces([make_record(n) for n in range(400)])
    draw_all(sqlite, double_share=share)
    progress = sqlite.progress()
    assert least <= progress.verdicts_wanted - progress.items <= most


def test_history_counts_sampled_verdicts_per_stratum(store: Store) -> None:
    store.add_traces([make_record(n, stratum="a" if n < 3 else "b") for n in range(5)])
    draw_all(store)
    for verdict in ("wrong", "partly", "cannot_tell"):
        lease = store.next_item("ann", START)
        assert lease is not None
        store.submit(lease.lease_id, verdict, now_ns=START + 1)  # type: ignore[arg-type]
    store.pick(trace_id(0), now_ns=START)
    history = store.stratum_history()
    assert sum(h.reviewed for h in history.values()) == 2
    assert sum(h.wrong for h in history.values()) == 1
    assert sum(h.partly for h in history.values()) == 1
    assert {s: h.traces for s, h in history.items()} == {"a": 3, "b": 2}
    assert store.stratum_history(1 << 62) == {}


def test_an_empty_window_can_be_drawn(store: Store) -> None:
    assert store.save_draw("nothing", {}, now_ns=START).candidates == 0
    assert store.open_windows(1 << 62) == []


def test_outcomes_do_not_touch_decisions(store: Store) -> None:
    store.add_traces([make_record(0)])
    draw_all(store)
    before = store.trace(trace_id(0))
    store.add_outcomes([make_outcome("o1", value=0.0)])
    after = store.trace(trace_id(0))
    assert before is not None
    assert after is not None
    assert before.record.decision == after.record.decision
