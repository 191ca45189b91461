"""Retention: which bodies stay, and with what probability.

Rows stay in the frame; only bodies go. A trace that is in the queue, was judged, or has an outcome
keeps its body. Of the others, those past the outcome window go, then, where the rest is over the
byte budget, those with the highest lots: each body had the same known chance, written into
`retention`, whatever is in it. Outcomes that wait for a trace stay until it can't be expected.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, delete, exists, func, select, update

from fidelity_otel.store import schema
from fidelity_otel.store.base import Base

__all__ = ["Pruned", "RetentionStore"]

_DAY = 86_400 * 10**9
_LOTS = 1 << 31


class Pruned(msgspec.Struct, frozen=True):
    """What pruning removed and left: bodies and bytes of traces outside the review queue."""

    by_age: int = 0
    by_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    retention: float = 1.0


class RetentionStore(Base):
    """Retention of the store."""

    def prune(self, now_ns: int, days: float, max_bytes: int) -> Pruned:
        """Remove bodies that nobody will need any more.

        Args:
            now_ns: the time.
            days: the outcome window; older bodies go.
            max_bytes: budget of the stored (compressed) bodies of unselected traces.
        """
        b, t = schema.bodies, schema.traces
        spare = self._spare()
        with self._db.write() as connection:
            old = b.c.start_ns < now_ns - int(days * _DAY)
            by_age = connection.execute(delete(b).where(old, *spare)).rowcount
            lots = connection.execute(
                select(b.c.lot, b.c.stored_bytes).where(*spare).order_by(b.c.lot)
            ).all()
            total, limit = 0, None
            for lot, size in lots:
                if total + size > max_bytes:
                    limit = lot
                    break
                total += size
            if limit is None:
                return Pruned(by_age, 0, len(lots), total)
            # The first lot that does not fit is τ: a body stays with probability τ, known for all.
            share = limit / _LOTS
            touched = select(b.c.trace_id).where(*spare)
            connection.execute(
                update(t)
                .where(t.c.trace_id.in_(touched), t.c.retention > share)
                .values(retention=share)
            )
            by_bytes = connection.execute(delete(b).where(b.c.lot >= limit, *spare)).rowcount
            detail = {"by_age": by_age, "by_bytes": by_bytes, "retention": share}
            self._log(connection, "prune", now_ns, detail=detail)
            return Pruned(by_age, by_bytes, len(lots) - by_bytes, total, share)

    def prune_orphans(self, now_ns: int, days: float) -> int:
        """Remove outcomes that have waited for their traces for longer than that.

        Where only a share of traces is stored, those of the others wait in vain.

        Args:
            now_ns: the time.
            days: how long after it was received an outcome may still find its trace.

        Returns:
            How many were removed.
        """
        o = schema.outcomes
        old = o.c.received_ns < now_ns - int(days * _DAY)
        with self._db.write() as connection:
            count = connection.execute(delete(o).where(o.c.trace_id.is_(None), old)).rowcount
            if count:
                self._log(connection, "prune", now_ns, detail={"orphans": count})
            return count

    def _spare(self) -> list[ColumnElement[bool]]:
        b = schema.bodies
        return [
            ~exists().where(table.c.trace_id == b.c.trace_id)
            for table in (schema.items, schema.reviews, schema.outcomes)
        ]

    def body_bytes(self) -> int:
        """Compressed bytes of all bodies."""
        with self._db.read() as connection:
            return int(connection.scalar(select(func.sum(schema.bodies.c.stored_bytes))) or 0)
