"""The queue against a model of it: any order of actions by three people, with the clock moving."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store_records import SECOND, START, draw_all, make_record, open_copy, trace_id

from fidelity_otel.errors import LeaseError
from fidelity_otel.store import Lease

PEOPLE = st.sampled_from(["ann", "bob", "cy"])
LENGTH = 60 * SECOND


class QueueMachine(RuleBasedStateMachine):
    """Keeps beside the store what must be true of it."""

    @initialize(share=st.sampled_from([0.0, 0.5, 1.0]))
    def open(self, share: float) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_copy(Path(self.folder.name))
        self.store.add_traces([make_record(n) for n in range(4)])
        draw_all(self.store, double_share=share)
        self.picked = 4
        self.now = START
        self.leases: dict[str, Lease] = {}
        self.ends: dict[str, int] = {}
        self.live: set[str] = set()
        self.judged: dict[str, set[str]] = {}
        self.skipped: set[tuple[str, str]] = set()

    def _alive(self, lease_id: str) -> bool:
        return lease_id in self.live and self.ends[lease_id] > self.now

    @rule(person=PEOPLE)
    def take(self, person: str) -> None:
        lease = self.store.next_item(person, self.now, LENGTH)
        mine = [i for i in self.live if self._alive(i) and self.leases[i].reviewer == person]
        if mine:
            assert lease is not None
            assert [lease.lease_id] == mine
            self.ends[lease.lease_id] = max(self.ends[lease.lease_id], self.now + LENGTH)
            return
        if lease is None:
            return
        item = lease.item.item_id
        assert person not in self.judged.get(item, set())
        assert (person, item) not in self.skipped
        held = [i for i in self.live if self._alive(i) and self.leases[i].item.item_id == item]
        assert len(held) + len(self.judged.get(item, set())) < 2
        self.leases[lease.lease_id] = lease
        self.ends[lease.lease_id] = lease.expires_ns
        self.live.add(lease.lease_id)

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @precondition(lambda self: getattr(self, "leases", None))
    @rule(data=st.data(), verdict=st.sampled_from(["right", "wrong", "cannot_tell"]))
    def judge(self, data: st.DataObject, verdict: str) -> None:
        lease = self._any(data)
        alive = self._alive(lease.lease_id)
        before = len(self.store.reviews())
        try:
            review = self.store.submit(lease.lease_id, verdict, now_ns=self.now)  # type: ignore[arg-type]
        except LeaseError:
            assert not alive
            assert len(self.store.reviews()) == before
            return
        if alive:
            assert (review.verdict, review.reviewer) == (verdict, lease.reviewer)
            self.judged.setdefault(lease.item.item_id, set()).add(lease.reviewer)
            self.live.discard(lease.lease_id)
        assert len(self.store.reviews()) == before + alive

    @precondition(lambda self: getattr(self, "leases", None))
    @rule(data=st.data(), how=st.sampled_from(["skip", "release", "renew"]))
    def end(self, data: st.DataObject, how: str) -> None:
        lease = self._any(data)
        alive = self._alive(lease.lease_id)
        try:
            if how == "skip":
                self.store.skip(lease.lease_id, "x", now_ns=self.now)
            elif how == "release":
                self.store.release(lease.lease_id, self.now)
            else:
                self.store.renew(lease.lease_id, self.now, LENGTH)
        except LeaseError:
            assert not alive
            return
        assert alive
        if how == "renew":
            self.ends[lease.lease_id] = max(self.ends[lease.lease_id], self.now + LENGTH)
            return
        self.live.discard(lease.lease_id)
        if how == "skip":
            self.skipped.add((lease.reviewer, lease.item.item_id))

    @rule()
    def pick(self) -> None:
        if self.picked < 7:
            self.store.add_traces([make_record(self.picked, window="later")])
            self.store.pick(trace_id(self.picked), now_ns=self.now)
            self.picked += 1

    def _any(self, data: st.DataObject) -> Lease:
        place = data.draw(st.integers(0, len(self.leases) - 1))  # ids are random: in order of grant
        return list(self.leases.values())[place]

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "store"):
            return
        given = sum(len(people) for people in self.judged.values())
        assert self.store.progress(now_ns=self.now).verdicts == given
        assert len(self.store.reviews()) == given

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
