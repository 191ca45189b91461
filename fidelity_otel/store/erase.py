"""Erasing a person's traces. What was said is gone; what was counted stays counted.

Body, texts, keys, ids, notes and outcome texts are removed, and the trace gets a new, meaningless
id. Its stratum, window, probabilities and bare verdicts stay, so that yesterday's estimate does not
move when somebody asks to be forgotten. Late spans of the trace are refused from then on.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, select, update

from fidelity_otel.errors import InputError
from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, chunks, insert_new
from fidelity_otel.store.names import unrefer

__all__ = ["EraseStore", "Erased"]

_SMALL = 200
_DAY = 86_400 * 10**9


class Erased(msgspec.Struct, frozen=True):
    """What was erased."""

    traces: int = 0
    reviews: int = 0
    outcomes: int = 0


class EraseStore(Base):
    """Erasing in the store."""

    def erase(
        self,
        *,
        now_ns: int,
        conversation_id: str | None = None,
        user_id: str | None = None,
        trace_id: str | None = None,
        by: str = "",
    ) -> Erased:
        """Erase all traces of a conversation, of a user, or one trace.

        Raises:
            InputError: not exactly one of the three is given.
        """
        t = schema.traces
        choices: list[ColumnElement[bool]] = [
            column == value
            for column, value in (
                (t.c.conversation_id, conversation_id),
                (t.c.user_id, user_id),
                (t.c.trace_id, trace_id),
            )
            if value
        ]
        if len(choices) != 1:
            raise InputError(
                "what to erase is not clear. Mend: give exactly one of conversation_id, user_id "
                "and trace_id."
            )
        kind = "conversation" if conversation_id else "user" if user_id else "trace"
        return self._erase(choices[0], now_ns, by, {"by": kind})

    def erase_older(self, days: float, *, now_ns: int, most: int = 5000) -> Erased:
        """Erase what traces older than so many days said, the oldest first.

        Args:
            days: the age.
            now_ns: the time.
            most: at most so many at once, so that others can write in between.
        """
        t = schema.traces
        old = (
            select(t.c.trace_id)
            .where(t.c.start_ns < now_ns - int(days * _DAY), t.c.erased_ns == 0)
            .order_by(t.c.start_ns)
            .limit(most)
        )
        return self._erase(t.c.trace_id.in_(old), now_ns, "", {"by": "age"})

    def _erase(
        self, which: ColumnElement[bool], now_ns: int, by: str, detail: dict[str, Any]
    ) -> Erased:
        t = schema.traces
        reviews = outcomes = 0
        with self._db.write() as connection:
            ids = list(connection.scalars(select(t.c.trace_id).where(which)))
            for part in chunks(ids, _SMALL):
                marks = [{"mark": self._mark("erased", i), "at_ns": now_ns} for i in part]
                insert_new(connection, schema.erased, marks)
                reviews += _blank_reviews(connection, part)
                outcomes += _drop_outcomes(connection, part)
                bodies = schema.bodies
                connection.execute(delete(bodies).where(bodies.c.trace_id.in_(part)))
                unrefer(connection, part)
                for each in part:
                    self._rename(connection, each, now_ns)
            if ids:
                told = {**detail, "traces": len(ids)}
                self._log(connection, "erase", now_ns, actor=by, detail=told)
        if ids:
            self._scrub()
        return Erased(len(ids), reviews, outcomes)

    def _rename(self, connection: Connection, trace_id: str, now_ns: int) -> None:
        new = "erased" + self._new_id()[:26]
        t = schema.traces
        connection.execute(
            update(t)
            .where(t.c.trace_id == trace_id)
            .values(
                trace_id=new,
                conversation_id=None,
                user_id=None,
                request="",
                answer="",
                findings="[]",
                incomplete="[]",
                reasons="[]",
                response_ids="[]",
                keys="[]",
                erased_ns=now_ns,
            )
        )
        i = schema.items
        item = {"trace_id": new, "closed": True}
        connection.execute(update(i).where(i.c.trace_id == trace_id).values(item))
        a = schema.audit
        connection.execute(
            update(a).where(a.c.trace_id == trace_id).values(trace_id=new, detail="{}")
        )
        for table in (schema.arms, schema.reviews):
            connection.execute(
                update(table).where(table.c.trace_id == trace_id).values(trace_id=new)
            )

    def _scrub(self) -> None:
        """Take the erased text out of SQLite's log too: its pages hold what was overwritten."""
        if not self._db.sqlite:
            return
        raw = self._db.engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            raw.close()


def _blank_reviews(connection: Connection, trace_ids: list[str]) -> int:
    r = schema.reviews
    blanked = update(r).where(r.c.trace_id.in_(trace_ids)).values(note="", correction="")
    lease, i = schema.leases, schema.items
    theirs = select(i.c.item_id).where(i.c.trace_id.in_(trace_ids))
    connection.execute(update(lease).where(lease.c.item_id.in_(theirs)).values(reason=""))
    return connection.execute(blanked).rowcount


def _drop_outcomes(connection: Connection, trace_ids: list[str]) -> int:
    o = schema.outcomes
    mine = o.c.trace_id.in_(trace_ids) | o.c.ref_trace_id.in_(trace_ids)
    return connection.execute(delete(o).where(mine)).rowcount
