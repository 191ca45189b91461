"""What follows from verdicts: settling disagreements, looking again, amending."""

from __future__ import annotations

import pytest
from store_records import SECOND, START, draw_all, make_record, trace_id

from fidelity_otel.errors import InputError, LeaseError, NotFound
from fidelity_otel.model import Review
from fidelity_otel.store import Followup, Store

DAY = 86_400 * SECOND


def judge(
    store: Store,
    reviewer: str,
    verdict: str,
    *,
    now: int = START,
    lead: bool = False,
    followup: Followup | None = None,
) -> Review:
    lease = store.next_item(reviewer, now, lead=lead)
    assert lease is not None
    return store.submit(
        lease.lease_id,
        verdict,  # type: ignore[arg-type]
        now_ns=now + 1,
        followup=followup or Followup(),
    )


def double(store: Store, count: int = 1) -> None:
    store.add_traces([make_record(n) for n in range(count)])
    draw_all(store, double_share=1.0)


def test_a_disagreement_is_settled_by_a_third_person(store: Store) -> None:
    double(store)
    judge(store, "ann", "right")
    judge(store, "bob", "wrong", now=START + 10)
    for party in ("ann", "bob"):
        assert store.next_item(party, START, lead=True) is None
    assert store.next_item("cy", START, lead=False) is None
    (open_one,) = store.double_reviews(disagreeing=True)
    assert open_one.settled is None
    review = judge(store, "cy", "wrong", now=START + 20, lead=True)
    assert (review.phase, review.hand_picked) == ("adjudication", False)
    (settled,) = store.double_reviews()
    assert settled.settled == "wrong"
    assert not settled.agree
    assert [r.reviewer for r in settled.reviews] == ["ann", "bob"]
    (row,) = store.frame()
    assert [(r.phase, r.verdict) for r in row.reviews] == [
        ("sample", "right"),
        ("sample", "wrong"),
        ("adjudication", "wrong"),
    ]
    assert store.next_item("dee", START, lead=True) is None


@pytest.mark.parametrize(
    ("one", "other"), [("right", "right"), ("right", "cannot_tell"), ("cannot_tell", "cannot_tell")]
)
def test_who_agrees_or_cannot_tell_leaves_nothing_to_settle(
    store: Store, one: str, other: str
) -> None:
    double(store)
    judge(store, "ann", one)
    judge(store, "bob", other)
    assert store.next_item("cy", START, lead=True) is None
    assert store.double_reviews()[0].agree
    assert store.double_reviews(disagreeing=True) == []
    assert store.double_reviews(START + 2) == []


def test_amending_opens_and_closes_a_disagreement(store: Store) -> None:
    double(store)
    first = judge(store, "ann", "right")
    judge(store, "bob", "right")
    amended = store.amend(first.id, "wrong", "loop", "I misread", now_ns=START + 9, reviewer="ann")
    assert (amended.verdict, amended.mode, amended.amended_ns) == ("wrong", "loop", START + 9)
    assert amended.finished_ns == first.finished_ns
    assert store.next_item("cy", START, lead=True) is not None
    store.amend(first.id, "right", now_ns=START + 10, reviewer="ann")
    assert store.next_item("dee", START, lead=True) is None
    was = [
        row.detail["was"]["verdict"] for row in store.audit(actor="ann") if row.action == "amend"
    ]
    assert was == ["wrong", "right"]
    assert len(store.reviews()) == 2


def test_amending_is_for_oneself_and_for_a_while(store: Store) -> None:
    double(store)
    review = judge(store, "ann", "right")
    with pytest.raises(LeaseError, match=r"another reviewer's; nothing was changed. Mend"):
        store.amend(review.id, "wrong", now_ns=START, reviewer="bob")
    with pytest.raises(LeaseError, match="more than 60 minutes ago"):
        store.amend(review.id, "wrong", now_ns=START + 2 * 3600 * SECOND, reviewer="ann")
    with pytest.raises(NotFound):
        store.amend("nothing", "wrong", now_ns=START, reviewer="ann")
    with pytest.raises(InputError):
        store.amend(review.id, "great", now_ns=START, reviewer="ann")  # type: ignore[arg-type]
    assert store.review(review.id) == review
    assert store.review("nothing") is None


def test_amending_to_the_same_changes_nothing(store: Store) -> None:
    double(store)
    review = judge(store, "ann", "right")
    assert store.amend(review.id, "right", now_ns=START + 5, reviewer="ann") == review
    assert not [row for row in store.audit() if row.action == "amend"]


def test_a_third_of_the_answers_is_looked_at_again_at_each_age(sqlite: Store) -> None:
    followup = Followup((1, 7, 42), 0.3)
    sqlite.add_traces([make_record(n) for n in range(200)])
    draw_all(sqlite)
    for _ in range(200):
        judge(sqlite, "ann", "right", followup=followup)
    looks = sqlite.rechecks()
    traces = {x.trace_id for x in looks}
    assert 60 - 4 * 6.5 < len(traces) < 60 + 4 * 6.5  # binomial, 4 standard deviations
    assert len(looks) == 3 * len(traces)  # the same traces at each age
    assert {x.probability for x in looks} == {0.3}
    assert {(x.days, x.due_ns - x.first_ns) for x in looks} == {
        (days, days * DAY) for days in (1, 7, 42)
    }
    assert all(x.verdict is None for x in looks)


def test_a_second_look_waits_until_it_is_due_and_may_be_by_the_same_person(store: Store) -> None:
    store.add_traces([make_record(0)])
    draw_all(store)
    judge(store, "ann", "right", followup=Followup((1, 7), 1.0))
    assert store.next_item("ann", START + DAY - SECOND) is None
    assert store.progress("ann", now_ns=START + DAY - SECOND).items == 1
    review = judge(store, "ann", "wrong", now=START + DAY + SECOND)
    assert review.phase == "recheck-1"
    assert store.next_item("ann", START + 6 * DAY) is None
    done, open_one = store.rechecks()
    assert (done.days, done.verdict, done.first_ns) == (1, "wrong", START + 1)
    assert done.finished_ns == START + DAY + SECOND + 1
    assert (open_one.days, open_one.verdict) == (7, None)
    # A second look has no second look, and is no part of the history that guides the draw.
    assert sum(h.reviewed for h in store.stratum_history().values()) == 1


def test_hand_picked_traces_have_no_follow_up(store: Store) -> None:
    store.add_traces([make_record(0)])
    store.pick(trace_id(0), now_ns=START)
    judge(store, "ann", "wrong", followup=Followup((1,), 1.0))
    assert store.rechecks() == []


def test_an_erased_trace_is_not_settled_or_looked_at_again(store: Store) -> None:
    double(store)
    judge(store, "ann", "right", followup=Followup((1,), 1.0))
    judge(store, "bob", "wrong", followup=Followup((1,), 1.0))
    store.erase(now_ns=START, trace_id=trace_id(0))
    assert store.next_item("cy", START + 2 * DAY, lead=True) is None
