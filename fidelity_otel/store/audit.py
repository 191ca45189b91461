"""The audit trail: who did what to which trace, and when. Rows are only ever added."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select

from fidelity_otel.store import schema
from fidelity_otel.store.base import Base

__all__ = ["AuditRow", "AuditStore"]


class AuditRow(msgspec.Struct, frozen=True):
    """One action: lease, verdict, skip, release, timeout, pick, draw, erase, prune and so on."""

    id: int
    at_ns: int
    actor: str
    action: str
    trace_id: str | None
    item_id: str | None
    lease_id: str | None
    detail: dict[str, Any]


class AuditStore(Base):
    """The audit trail of the store."""

    def audit(
        self,
        trace_id: str | None = None,
        *,
        actor: str | None = None,
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[AuditRow]:
        """Actions, newest first, of one trace or one person or all; `before_id` pages on."""
        table = schema.audit
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if trace_id is not None:
            query = query.where(table.c.trace_id == trace_id)
        if actor is not None:
            query = query.where(table.c.actor == actor)
        if before_id is not None:
            query = query.where(table.c.id < before_id)
        with self._db.read() as connection:
            return [
                AuditRow(**{**row, "detail": msgspec.json.decode(row["detail"])})
                for row in connection.execute(query).mappings()
            ]
