"""What follows from verdicts: disagreements to settle, answers to look at again, amendments."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, select, update

from fidelity_otel.errors import LeaseError, NotFound
from fidelity_otel.model import Review, Verdict
from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, clean
from fidelity_otel.store.frame import ReviewMark
from fidelity_otel.store.items import ADJUDICATION, RECHECK, SAMPLE, enqueue, recheck
from fidelity_otel.store.leases import SECOND, check_verdict, item_row, name_of
from fidelity_otel.store.reviews import review_of

__all__ = ["DoubleReview", "Followup", "FollowupStore", "Recheck"]

_DAY = 86_400 * SECOND
_UNSURE = "cannot_tell"


class Followup(msgspec.Struct, frozen=True):
    """What is done when a trace of the sample has its verdicts.

    `recheck_days` after which it is looked at again, with probability `recheck_share`; the same
    traces at each age, so that each can be followed.
    """

    recheck_days: tuple[int, ...] = ()
    recheck_share: float = 0.0


class DoubleReview(msgspec.Struct, frozen=True):
    """A trace that two people judged; `settled` is the third person's verdict, if there is one."""

    trace_id: str
    workflow: str
    reviews: tuple[ReviewMark, ...]
    settled: str | None = None

    @property
    def agree(self) -> bool:
        """Whether all who could tell said the same."""
        return len({r.verdict for r in self.reviews} - {_UNSURE}) < 2  # noqa: PLR2004


class Recheck(msgspec.Struct, frozen=True):
    """A second look. The trace had `probability` to get one, given that it was in the sample.

    `verdict` is None while nobody has looked again; `first_ns` is when the first verdict was given.
    """

    trace_id: str
    days: int
    due_ns: int
    probability: float
    first_ns: int
    verdict: str | None = None
    finished_ns: int | None = None


class FollowupStore(Base):
    """What follows from the verdicts of the store."""

    def _follow(
        self, connection: Connection, item: RowMapping, followup: Followup, now_ns: int
    ) -> None:
        """After a verdict on an item: see whether there is something to settle, or to look at."""
        if item["phase"] != SAMPLE:
            return
        self._settle(connection, item, now_ns)
        if item["judged"] + 1 < item["needed"]:
            return
        trace_id = item["trace_id"]
        if self._lot("recheck", trace_id) / (1 << 31) >= followup.recheck_share:
            return
        enqueue(
            connection,
            [
                self._item(item, recheck(days))
                | {
                    "due_ns": now_ns + days * _DAY,
                    "enqueued_ns": now_ns,
                    "probability": followup.recheck_share,
                }
                for days in followup.recheck_days
            ],
        )

    def _item(self, item: RowMapping, phase: str) -> dict[str, Any]:
        trace_id = item["trace_id"]
        return {
            "item_id": self._mark("item", trace_id, phase),
            "trace_id": trace_id,
            "phase": phase,
            "workflow": item["workflow"],
            "arm": item["arm"],
            "shuffle": self._lot("shuffle", trace_id, phase),
        }

    def _settle(self, connection: Connection, item: RowMapping, now_ns: int) -> None:
        """Open a disagreement for a third person, or close one that has gone away."""
        i, r = schema.items, schema.reviews
        verdicts = set(
            connection.scalars(select(r.c.verdict).where(r.c.item_id == item["item_id"]))
        )
        differ = len(verdicts - {_UNSURE}) > 1
        row = self._item(item, ADJUDICATION) | {"enqueued_ns": now_ns}
        if differ:
            enqueue(connection, [row])
        connection.execute(
            update(i)
            .where(i.c.item_id == row["item_id"], i.c.judged == 0)
            .values(closed=not differ)
        )

    def amend(
        self,
        review_id: str,
        verdict: Verdict,
        mode: str | None = None,
        note: str = "",
        correction: str = "",
        *,
        now_ns: int,
        reviewer: str,
        within_ns: int = 3600 * SECOND,
    ) -> Review:
        """Change one's own verdict shortly after; the audit trail keeps what it was.

        Raises:
            InputError: no such verdict.
            NotFound: no such review.
            LeaseError: it is someone else's, or too long ago; nothing was changed.
        """
        check_verdict(verdict)
        table = schema.reviews
        name = name_of(reviewer)
        with self._db.write() as connection:
            query = select(table).where(table.c.id == review_id)
            row = connection.execute(query).mappings().first()
            if row is None:
                raise NotFound(f"review {review_id} is unknown. Mend: judge the item first.")
            if row["reviewer"] != name:
                raise LeaseError(
                    f"review {review_id} is another reviewer's; nothing was changed. "
                    "Mend: amend your own, or ask for the disagreement to be settled."
                )
            if now_ns - row["finished_ns"] > within_ns:
                raise LeaseError(
                    f"review {review_id} was given more than {within_ns // (60 * SECOND)} minutes "
                    "ago; nothing was changed. Mend: tell whoever settles disagreements."
                )
            content = {
                "verdict": verdict,
                "mode": clean(mode) if mode else None,
                "note": clean(note),
                "correction": clean(correction),
            }
            was = {field: row[field] for field in content}
            if was == content:
                return review_of(row)
            connection.execute(
                update(table).where(table.c.id == review_id).values(**content, amended_ns=now_ns)
            )
            self._log(
                connection,
                "amend",
                now_ns,
                actor=name,
                trace_id=row["trace_id"],
                item_id=row["item_id"],
                lease_id=review_id,
                detail={"was": was},
            )
            item = item_row(connection, row["item_id"])
            if item["phase"] == SAMPLE:
                self._settle(connection, item, now_ns)
            return review_of(connection.execute(query).mappings().one())

    def double_reviews(
        self, since_ns: int = 0, *, disagreeing: bool = False, limit: int = 1000
    ) -> list[DoubleReview]:
        """Traces that two people judged in the sample, newest first.

        Args:
            since_ns: of which one was judged at or after this time.
            disagreeing: only those on which they differ.
            limit: at most so many.
        """
        i, r = schema.items, schema.reviews
        recent = select(r.c.item_id).where(r.c.finished_ns >= since_ns)
        query = (
            select(i.c.trace_id, i.c.workflow, i.c.enqueued_ns)
            .where(i.c.phase == SAMPLE, i.c.judged > 1, i.c.item_id.in_(recent))
            .order_by(i.c.enqueued_ns.desc(), i.c.trace_id)
        )
        found: list[DoubleReview] = []
        with self._db.read() as connection:
            items = connection.execute(query).all()
            wanted = select(r).where(
                r.c.trace_id.in_(query.with_only_columns(i.c.trace_id).order_by(None)),
                r.c.phase.in_((SAMPLE, ADJUDICATION)),
            )
            marks: defaultdict[str, list[ReviewMark]] = defaultdict(list)
            settled: dict[str, str] = {}
            for row in connection.execute(wanted.order_by(r.c.finished_ns, r.c.id)).mappings():
                if row["phase"] == ADJUDICATION:
                    settled[row["trace_id"]] = row["verdict"]
                else:
                    plain = [row[field] for field in ReviewMark._fields]
                    marks[row["trace_id"]].append(ReviewMark._make(plain))
            for trace_id, workflow, _ in items:
                double = DoubleReview(
                    trace_id, workflow, tuple(marks[trace_id]), settled.get(trace_id)
                )
                if not (disagreeing and double.agree):
                    found.append(double)
        return found[:limit]

    def rechecks(self) -> list[Recheck]:
        """All second looks, done or to be done, for how long answers stay right."""
        i, r = schema.items, schema.reviews
        first = schema.reviews.alias("first")
        query = (
            select(
                i.c.trace_id,
                i.c.phase,
                i.c.due_ns,
                i.c.probability,
                select(first.c.finished_ns)
                .where(first.c.trace_id == i.c.trace_id, first.c.phase == SAMPLE)
                .order_by(first.c.finished_ns)
                .limit(1)
                .scalar_subquery()
                .label("first_ns"),
                r.c.verdict,
                r.c.finished_ns,
            )
            .outerjoin(r, r.c.item_id == i.c.item_id)
            .where(i.c.phase.startswith(RECHECK))
            .order_by(i.c.trace_id, i.c.due_ns)
        )
        with self._db.read() as connection:
            return [
                Recheck(
                    row["trace_id"],
                    int(row["phase"].removeprefix(RECHECK)),
                    row["due_ns"],
                    row["probability"],
                    row["first_ns"] or 0,
                    row["verdict"],
                    row["finished_ns"],
                )
                for row in connection.execute(query).mappings()
            ]
