"""Reviews as stored."""

from __future__ import annotations

from sqlalchemy import RowMapping, select

from fidelity_otel.model import Review
from fidelity_otel.store import schema
from fidelity_otel.store.base import Base

__all__ = ["ReviewStore", "review_of"]


class ReviewStore(Base):
    """Reviews of the store."""

    def reviews(
        self, since_ns: int = 0, until_ns: int | None = None, *, reviewer: str | None = None
    ) -> list[Review]:
        """Reviews finished in a span of time, oldest first."""
        r = schema.reviews
        query = select(r).where(r.c.finished_ns >= since_ns).order_by(r.c.finished_ns, r.c.id)
        if until_ns is not None:
            query = query.where(r.c.finished_ns < until_ns)
        if reviewer is not None:
            query = query.where(r.c.reviewer == reviewer)
        with self._db.read() as connection:
            return [review_of(row) for row in connection.execute(query).mappings()]

    def review(self, review_id: str) -> Review | None:
        """One review by its id."""
        r = schema.reviews
        with self._db.read() as connection:
            row = connection.execute(select(r).where(r.c.id == review_id)).mappings().first()
            return review_of(row) if row else None


def review_of(row: RowMapping) -> Review:
    """The review in a row of `reviews`."""
    return Review(
        id=row["id"],
        trace_id=row["trace_id"],
        reviewer=row["reviewer"],
        verdict=row["verdict"],
        arm=row["arm"],
        mode=row["mode"],
        note=row["note"],
        correction=row["correction"],
        started_ns=row["started_ns"],
        finished_ns=row["finished_ns"],
        hand_picked=row["hand_picked"],
        phase=row["phase"],
        item_id=row["item_id"],
        amended_ns=row["amended_ns"],
    )
