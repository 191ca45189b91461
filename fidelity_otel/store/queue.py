"""The review queue: leases, verdicts, skips.

Each reviewer sees the open items in an order of their own, as if random and always the same, so
that nobody's verdicts depend on the order of arrival. An item is held by lease while it is looked
at; what ran out, was skipped or handed back is written down, since a missing verdict is data too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from fidelity_otel.errors import NotFound
from fidelity_otel.model import Review, Verdict
from fidelity_otel.store import schema
from fidelity_otel.store.base import clean
from fidelity_otel.store.followup import Followup, FollowupStore
from fidelity_otel.store.items import ADJUDICATION, HAND, SAMPLE, enqueue
from fidelity_otel.store.leases import (
    SECOND,
    Item,
    Lease,
    check_verdict,
    held,
    item_of,
    item_row,
    lease_of,
    live,
    name_of,
)
from fidelity_otel.store.reviews import review_of

__all__ = ["QueueStore"]

_PRIME = (1 << 31) - 1
_NO_FOLLOWUP = Followup()


class QueueStore(FollowupStore):
    """The queue of the store."""

    def next_item(
        self,
        reviewer: str,
        now_ns: int,
        lease_ns: int = 900 * SECOND,
        *,
        item_id: str | None = None,
        lead: bool = False,
    ) -> Lease | None:
        """The reviewer's next item under a new lease; the one in hand, renewed, where there is one.

        Args:
            reviewer: who judges.
            now_ns: the time.
            lease_ns: how long the item stays theirs.
            item_id: a certain item, if it may be theirs (after a lease that ran out).
            lead: may settle disagreements.

        Returns:
            None when nothing is left for this reviewer.
        """
        reviewer = name_of(reviewer)
        with self._db.write() as connection:
            self._expire(connection, now_ns)
            current = held(connection, reviewer)
            if current is not None and item_id in {None, current["item_id"]}:
                return self._renewed(connection, current, now_ns, lease_ns)
            item = self._choose(connection, reviewer, now_ns, item_id=item_id, lead=lead)
            if item is None:
                return None
            row = {
                "lease_id": self._new_id(),
                "item_id": item["item_id"],
                "reviewer": reviewer,
                "granted_ns": now_ns,
                "expires_ns": now_ns + lease_ns,
                "ended_ns": 0,
                "ending": "",
                "reason": "",
            }
            connection.execute(insert(schema.leases).values(row))
            self._log_lease(connection, "lease", now_ns, row, trace_id=item["trace_id"])
            return lease_of(row, item)

    def _renewed(
        self, connection: Connection, lease: RowMapping, now_ns: int, lease_ns: int
    ) -> Lease:
        table = schema.leases
        expires = max(lease["expires_ns"], now_ns + lease_ns)
        connection.execute(
            update(table).where(table.c.lease_id == lease["lease_id"]).values(expires_ns=expires)
        )
        return lease_of({**lease, "expires_ns": expires}, item_row(connection, lease["item_id"]))

    def _choose(
        self,
        connection: Connection,
        reviewer: str,
        now_ns: int,
        *,
        item_id: str | None,
        lead: bool,
    ) -> RowMapping | None:
        i, lease = schema.items, schema.leases
        timed_out = exists().where(
            lease.c.item_id == i.c.item_id,
            lease.c.reviewer == reviewer,
            lease.c.ending == "timeout",
        )
        query = select(i).where(*self._offered(reviewer, now_ns, lead=lead))
        if item_id is not None:
            query = query.where(i.c.item_id == item_id)
        query = query.order_by(timed_out, self._order(reviewer), i.c.item_id).limit(1)
        return connection.execute(query).mappings().first()

    def _order(self, reviewer: str) -> ColumnElement[int]:
        """A permutation of the items, this reviewer's own: shuffle · a + b modulo a prime."""
        a, b = self._lot("order-a", reviewer), self._lot("order-b", reviewer)
        return (schema.items.c.shuffle * a + b) % _PRIME

    def _offered(self, reviewer: str, now_ns: int, *, lead: bool) -> list[ColumnElement[bool]]:
        """Open and due items that lack a judge, and that this reviewer has not had."""
        i, lease, review = schema.items, schema.leases, schema.reviews
        held = (
            select(func.count())
            .where(lease.c.item_id == i.c.item_id, lease.c.ending == "")
            .scalar_subquery()
        )
        mine = exists().where(review.c.item_id == i.c.item_id, review.c.reviewer == reviewer)
        put_by = exists().where(
            lease.c.item_id == i.c.item_id,
            lease.c.reviewer == reviewer,
            lease.c.ending.in_(("skip", "verdict", "")),
        )
        # Who judged a trace in the sample cannot settle a disagreement about it.
        party = exists().where(
            review.c.trace_id == i.c.trace_id,
            review.c.reviewer == reviewer,
            review.c.phase == SAMPLE,
        )
        barred = and_(i.c.phase == ADJUDICATION, or_(party, not lead))  # type: ignore[arg-type]
        return [
            i.c.closed.is_(False),
            i.c.due_ns <= now_ns,
            i.c.judged + held < i.c.needed,
            ~mine,
            ~put_by,
            ~barred,
        ]

    def lease_in_hand(self, reviewer: str, now_ns: int) -> Lease | None:
        """The lease that a reviewer holds now."""
        with self._db.read() as connection:
            row = held(connection, name_of(reviewer))
            if row is None or row["expires_ns"] <= now_ns:
                return None
            return lease_of(row, item_row(connection, row["item_id"]))

    def renew(
        self,
        lease_id: str,
        now_ns: int,
        lease_ns: int = 900 * SECOND,
        *,
        reviewer: str | None = None,
    ) -> Lease:
        """Keep an item for longer.

        Raises:
            LeaseError: the lease is unknown, ended or expired.
        """
        with self._db.write() as connection:
            lease = live(connection, lease_id, reviewer, now_ns, "renewed")
            return self._renewed(connection, lease, now_ns, lease_ns)

    def release(self, lease_id: str, now_ns: int, *, reviewer: str | None = None) -> None:
        """Hand an item back unjudged; it may be offered again, to anybody.

        Raises:
            LeaseError: the lease is unknown, ended or expired.
        """
        with self._db.write() as connection:
            lease = live(connection, lease_id, reviewer, now_ns, "handed back")
            self._end(connection, lease, "release", now_ns)

    def skip(
        self, lease_id: str, reason: str = "", *, now_ns: int, reviewer: str | None = None
    ) -> None:
        """Put an item by for good, as non-response with a reason; others may still judge it.

        Raises:
            LeaseError: the lease is unknown, ended or expired.
        """
        with self._db.write() as connection:
            lease = live(connection, lease_id, reviewer, now_ns, "skipped")
            self._end(connection, lease, "skip", now_ns, reason=clean(reason))

    def submit(
        self,
        lease_id: str,
        verdict: Verdict,
        mode: str | None = None,
        note: str = "",
        correction: str = "",
        *,
        now_ns: int,
        reviewer: str | None = None,
        followup: Followup = _NO_FOLLOWUP,
    ) -> Review:
        """Record the verdict on a leased item and end the lease.

        Sending the same verdict on the same lease again (a lost answer, a double click) returns the
        review that is there.

        Args:
            lease_id: from `next_item`.
            verdict: right, wrong, partly or cannot_tell.
            mode: the failure mode, where something is wrong.
            note: for colleagues.
            correction: what it should have said.
            now_ns: the time.
            reviewer: who submits, checked against the lease where given.
            followup: what is done when the trace has its verdicts.

        Raises:
            InputError: no such verdict.
            LeaseError: the lease is unknown, expired, used or someone else's; nothing was recorded.
        """
        check_verdict(verdict)
        content = {
            "verdict": verdict,
            "mode": clean(mode) if mode else None,
            "note": clean(note),
            "correction": clean(correction),
        }
        with self._db.write() as connection:
            table = schema.reviews
            query = select(table).where(table.c.id == lease_id)
            done = connection.execute(query).mappings().first()
            if done is not None and {name: done[name] for name in content} == content:
                return review_of(done)
            lease = live(connection, lease_id, reviewer, now_ns, "judged")
            item = item_row(connection, lease["item_id"])
            row = {
                **content,
                "id": lease_id,
                "trace_id": item["trace_id"],
                "item_id": item["item_id"],
                "phase": item["phase"],
                "reviewer": lease["reviewer"],
                "arm": item["arm"],
                "started_ns": lease["granted_ns"],
                "finished_ns": now_ns,
                "hand_picked": item["hand_picked"],
                "amended_ns": 0,
            }
            connection.execute(insert(table).values(row))
            judged = item["judged"] + 1
            i = schema.items
            connection.execute(
                update(i)
                .where(i.c.item_id == item["item_id"])
                .values(judged=judged, closed=judged >= item["needed"])
            )
            self._end(connection, lease, "verdict", now_ns, detail={"verdict": verdict})
            self._follow(connection, item, followup, now_ns)
            return review_of(row)  # type: ignore[arg-type]

    def pick(self, trace_id: str, *, now_ns: int, by: str = "", reason: str = "") -> Item:
        """Put a trace into the queue by hand; its reviews are marked and enter no estimate.

        Raises:
            NotFound: no such trace is stored.
        """
        t = schema.traces
        with self._db.write() as connection:
            workflow = connection.scalar(select(t.c.workflow).where(t.c.trace_id == trace_id))
            if workflow is None:
                raise NotFound(
                    f"trace {trace_id} is not stored, so it cannot be picked for review. "
                    "Mend: check the id with `fidelity trace ID`."
                )
            item_id = self._mark("item", trace_id, HAND)
            row = {
                "item_id": item_id,
                "trace_id": trace_id,
                "phase": HAND,
                "workflow": workflow,
                "shuffle": self._lot("shuffle", trace_id, HAND),
                "hand_picked": True,
                "enqueued_ns": now_ns,
            }
            enqueue(connection, [row])
            self._log(
                connection,
                "pick",
                now_ns,
                actor=clean(by),
                trace_id=trace_id,
                item_id=item_id,
                detail={"reason": clean(reason)},
            )
            return item_of(item_row(connection, item_id))

    def _expire(self, connection: Connection, now_ns: int) -> None:
        """End the leases whose time is up, as non-response."""
        lease = schema.leases
        over = select(lease).where(lease.c.ending == "", lease.c.expires_ns <= now_ns)
        for row in connection.execute(over).mappings().all():
            self._end(connection, row, "timeout", row["expires_ns"])

    def _end(
        self,
        connection: Connection,
        lease: RowMapping,
        ending: str,
        now_ns: int,
        *,
        reason: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        table = schema.leases
        connection.execute(
            update(table)
            .where(table.c.lease_id == lease["lease_id"])
            .values(ended_ns=now_ns, ending=ending, reason=reason)
        )
        trace_id = item_row(connection, lease["item_id"])["trace_id"]
        more = {"reason": reason} if reason else {}
        said = {**more, **(detail or {})}
        self._log_lease(connection, ending, now_ns, lease, trace_id=trace_id, detail=said)

    def _log_lease(
        self,
        connection: Connection,
        action: str,
        now_ns: int,
        lease: Mapping[str, Any] | RowMapping,
        *,
        trace_id: str,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        self._log(
            connection,
            action,
            now_ns,
            actor=lease["reviewer"],
            trace_id=trace_id,
            item_id=lease["item_id"],
            lease_id=lease["lease_id"],
            detail=detail,
        )
