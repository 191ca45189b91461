"""Leases, verdicts, skips: who gets what, once."""

from __future__ import annotations

import itertools
import threading

import pytest
from store_records import SECOND, START, draw_all, make_record, open_again, trace_id

from fidelity_otel.errors import InputError, LeaseError, NotFound
from fidelity_otel.store import Store

MINUTE = 60 * SECOND


def fill(store: Store, count: int, *, double_share: float = 0.0) -> None:
    store.add_traces([make_record(n) for n in range(count)])
    draw_all(store, double_share=double_share)


def order_of(store: Store, reviewer: str, now: int = START) -> list[str]:
    """The items in the order in which a reviewer gets them, judging each."""
    found = []
    while (lease := store.next_item(reviewer, now, MINUTE)) is not None:
        found.append(lease.item.item_id)
        store.submit(lease.lease_id, "right", now_ns=now + 1)
        now += 2
    return found


def test_a_verdict_is_recorded_with_all_its_words(store: Store) -> None:
    fill(store, 1)
    lease = store.next_item(" ann  smith ", START, MINUTE)
    assert lease is not None
    review = store.submit(
        lease.lease_id,
        "wrong",
        "retrieval_stale",
        "see page 3",
        "30 days",
        now_ns=START + 5 * SECOND,
        reviewer="ann smith",
    )
    assert (review.reviewer, review.verdict, review.mode) == (
        "ann smith",
        "wrong",
        "retrieval_stale",
    )
    assert (review.note, review.correction, review.arm) == ("see page 3", "30 days", "estimation")
    assert (review.started_ns, review.finished_ns) == (START, START + 5 * SECOND)
    found = store.trace(trace_id(0))
    assert found is not None
    assert found.reviews == (review,)
    assert store.next_item("ann smith", START, MINUTE) is None
    assert store.next_item("bob", START, MINUTE) is None


def test_asking_again_gives_the_item_in_hand_with_a_longer_lease(store: Store) -> None:
    fill(store, 3)
    first = store.next_item("ann", START, MINUTE)
    again = store.next_item("ann", START + 30 * SECOND, MINUTE)
    assert first is not None
    assert again is not None
    assert (again.lease_id, again.item) == (first.lease_id, first.item)
    assert again.expires_ns == START + 90 * SECOND


def test_each_reviewer_has_an_order_of_their_own_that_stays(sqlite: Store) -> None:
    fill(sqlite, 40, double_share=1.0)
    anns, bobs = order_of(sqlite, "ann"), order_of(sqlite, "bob")
    assert sorted(anns) == sorted(bobs)
    assert anns != bobs
    assert anns != sorted(anns)
    assert len(set(anns)) == 40


def test_the_order_does_not_follow_arrival(sqlite: Store) -> None:
    fill(sqlite, 60)
    arrival = {row["item_id"]: n for n, row in enumerate(_items(sqlite))}
    positions = [arrival[i] for i in order_of(sqlite, "ann")]
    rising = sum(b > a for a, b in itertools.pairwise(positions))
    assert 15 < rising < 45


def _items(store: Store) -> list[dict[str, object]]:
    from sqlalchemy import select

    from fidelity_otel.store import schema

    with store._db.read() as connection:
        return [
            dict(r)
            for r in connection.execute(
                select(schema.items).order_by(schema.items.c.trace_id)
            ).mappings()
        ]


def test_two_reviewers_never_hold_the_same_item(store: Store) -> None:
    fill(store, 2)
    a, b = store.next_item("ann", START, MINUTE), store.next_item("bob", START, MINUTE)
    assert a is not None
    assert b is not None
    assert a.item.item_id != b.item.item_id
    assert store.next_item("cy", START, MINUTE) is None


def test_a_double_item_goes_to_two_people(store: Store) -> None:
    fill(store, 1, double_share=1.0)
    a, b = store.next_item("ann", START, MINUTE), store.next_item("bob", START, MINUTE)
    assert a is not None
    assert b is not None
    assert a.item == b.item
    assert store.next_item("cy", START, MINUTE) is None
    store.submit(a.lease_id, "right", now_ns=START)
    assert store.next_item("ann", START, MINUTE) is None
    store.submit(b.lease_id, "cannot_tell", now_ns=START)
    progress = store.progress()
    assert (progress.done, progress.verdicts, progress.verdicts_wanted) == (1, 2, 2)


def test_an_expired_lease_is_refused_and_the_item_offered_again(store: Store) -> None:
    fill(store, 1)
    lease = store.next_item("ann", START, MINUTE)
    assert lease is not None
    late = START + 2 * MINUTE
    for act in (
        lambda: store.submit(lease.lease_id, "right", now_ns=late),
        lambda: store.renew(lease.lease_id, late),
        lambda: store.skip(lease.lease_id, "x", now_ns=late),
        lambda: store.release(lease.lease_id, late),
    ):
        with pytest.raises(LeaseError, match=r"expired 60 s ago; nothing was .*Mend: take it anew"):
            act()
    taken = store.next_item("bob", late, MINUTE)
    assert taken is not None
    assert taken.item == lease.item
    with pytest.raises(LeaseError, match="expired"):
        store.submit(lease.lease_id, "right", now_ns=late)
    assert store.next_item("ann", late, MINUTE) is None
    assert store.counts().lease_endings == {"timeout": 1}


def test_what_timed_out_comes_last(store: Store) -> None:
    fill(store, 3)
    first = store.next_item("ann", START, MINUTE)
    assert first is not None
    order = order_of(store, "ann", START + 2 * MINUTE)
    assert order[-1] == first.item.item_id
    assert len(order) == 3


def test_an_item_can_be_taken_again_by_its_id_after_its_lease_ran_out(store: Store) -> None:
    fill(store, 3)
    first = store.next_item("ann", START, MINUTE)
    assert first is not None
    again = store.next_item("ann", START + 2 * MINUTE, MINUTE, item_id=first.item.item_id)
    assert again is not None
    assert again.item == first.item
    assert again.lease_id != first.lease_id


def test_a_foreign_lease_is_refused(store: Store) -> None:
    fill(store, 1)
    lease = store.next_item("ann", START, MINUTE)
    assert lease is not None
    with pytest.raises(LeaseError, match=r"held by another reviewer; nothing was judged. Mend:"):
        store.submit(lease.lease_id, "right", now_ns=START, reviewer="bob")
    with pytest.raises(LeaseError, match=r"unknown; nothing was judged. Mend:"):
        store.submit("nonsense", "right", now_ns=START)
    assert store.reviews() == []


def test_sending_a_verdict_twice_is_the_same_verdict(store: Store) -> None:
    fill(store, 1)
    lease = store.next_item("ann", START, MINUTE)
    assert lease is not None
    first = store.submit(lease.lease_id, "right", note="n", now_ns=START)
    assert store.submit(lease.lease_id, "right", note="n", now_ns=START + MINUTE) == first
    with pytest.raises(LeaseError, match="ended before, by verdict"):
        store.submit(lease.lease_id, "wrong", now_ns=START)
    assert len(store.reviews()) == 1


def test_skipped_is_not_offered_again_to_the_same_person_and_is_counted(store: Store) -> None:
    fill(store, 1)
    lease = store.next_item("ann", START, MINUTE)
    assert lease is not None
    store.skip(lease.lease_id, "too long", now_ns=START)
    assert store.next_item("ann", START, MINUTE) is None
    assert store.next_item("bob", START, MINUTE) is not None
    mine = store.progress("ann", now_ns=START).reviewers[0]
    assert (mine.skipped, mine.judged, mine.waiting) == (1, 0, 0)
    assert store.audit(actor="ann")[0].detail == {"reason": "too long"}


def test_handed_back_is_offered_again(store: Store) -> None:
    fill(store, 1)
    lease = store.next_item("ann", START, MINUTE)
    assert lease is not None
    store.release(lease.lease_id, START)
    assert store.next_item("ann", START, MINUTE) is not None


def test_a_hand_picked_review_is_marked_and_apart_from_the_sample(store: Store) -> None:
    store.add_traces([make_record(n) for n in range(2)])
    item = store.pick(trace_id(0), now_ns=START, by="dev")
    assert store.pick(trace_id(0), now_ns=START) == item
    lease = store.next_item("ann", START, MINUTE)
    assert lease is not None
    assert store.submit(lease.lease_id, "wrong", now_ns=START).hand_picked
    assert store.next_item("ann", START, MINUTE) is None
    draw_all(store)
    assert len(order_of(store, "ann")) == 2
    marks = {t.trace_id: t.reviews for t in store.frame()}
    assert [m.hand_picked for m in marks[trace_id(0)]] == [True, False]
    with pytest.raises(NotFound, match=r"not stored.*Mend"):
        store.pick(trace_id(9), now_ns=START)


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_reviewer_needs_a_name(sqlite: Store, name: str) -> None:
    with pytest.raises(InputError, match="needs a name"):
        sqlite.next_item(name, START)


def test_a_verdict_must_be_known(sqlite: Store) -> None:
    fill(sqlite, 1)
    lease = sqlite.next_item("ann", START)
    assert lease is not None
    with pytest.raises(InputError, match="'great' is not known"):
        sqlite.submit(lease.lease_id, "great", now_ns=START)  # type: ignore[arg-type]


def test_progress_tells_an_untouched_queue_from_a_finished_one(store: Store) -> None:
    assert store.progress("ann", now_ns=START).items == 0
    fill(store, 3)
    progress = store.progress("ann", now_ns=START)
    assert (progress.items, progress.open, progress.done) == (3, 3, 0)
    assert progress.reviewers[0].waiting == 3
    order_of(store, "ann")
    progress = store.progress("ann", now_ns=START)
    assert (progress.open, progress.done, progress.reviewers[0].judged) == (0, 3, 3)
    assert [r.reviewer for r in store.progress().reviewers] == ["ann"]


def test_threads_hammer_the_queue_and_nobody_gets_an_item_twice(store: Store) -> None:
    """Eight people on two replicas at once, double reviews, some skip."""
    fill(store, 40, double_share=0.5)
    other = open_again(store)
    wanted = store.progress().verdicts_wanted
    got: dict[str, list[str]] = {f"r{n}": [] for n in range(8)}
    failures: list[BaseException] = []

    def work(name: str, number: int) -> None:
        replica = other if number % 2 else store
        try:
            turn = 0
            while (lease := replica.next_item(name, START, MINUTE)) is not None:
                got[name].append(lease.item.item_id)
                turn += 1
                if (turn + number) % 11 == 0:
                    replica.skip(lease.lease_id, "hard", now_ns=START)
                else:
                    replica.submit(lease.lease_id, "right", now_ns=START + 1)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n, i)) for i, n in enumerate(got)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert not failures
    for items in got.values():
        assert len(items) == len(set(items))
    reviews = store.reviews()
    assert len({(r.item_id, r.reviewer) for r in reviews}) == len(reviews)
    judged = store.progress()
    assert judged.verdicts == len(reviews) <= wanted
    per_item = {i: sum(r.item_id == i for r in reviews) for i in {r.item_id for r in reviews}}
    needed = {row["item_id"]: row["needed"] for row in _items(store)}
    assert all(n <= needed[i] for i, n in per_item.items())
    # With eight people and few skips hardly anything can stay open, and nothing is in hand.
    assert judged.held == 0
    assert judged.verdicts >= wanted - 2
