"""Traces: adding decided ones, reading one whole, listing many.

A trace's first decision stands for good. A later revision brings more spans, other findings and a
longer answer, and leaves stratum, window, randomness, size, risk and arms as they were drawn. Where
it brings the first finding, the trace counts for itself alone from then on: those with findings are
all stored, those without perhaps a share (`sample.keep_share`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, bindparam, case, select, update

from fidelity_otel.model import TraceRecord
from fidelity_otel.semconv import SHADOW_KEYS
from fidelity_otel.store import schema
from fidelity_otel.store.base import (
    Base,
    chunks,
    clip,
    compress,
    decompress,
    insert_many,
)
from fidelity_otel.store.decisions import place_in_windows
from fidelity_otel.store.folds import unfold
from fidelity_otel.store.names import names_of, refer, unrefer
from fidelity_otel.store.outcomes import join_arrived, outcome_of
from fidelity_otel.store.records import (
    REVISED,
    StoredTrace,
    TraceRow,
    listed,
    record_of,
    row_of,
)
from fidelity_otel.store.reviews import review_of

__all__ = ["Added", "TraceStore"]

_Ready = tuple[dict[str, Any], bytes]
"""A row of `traces` and the compressed body."""

# What every batch asks, built once: SQLAlchemy takes longer to build a query than SQLite to answer.
_REVISIONS = select(schema.traces.c.trace_id, schema.traces.c.revision).where(
    schema.traces.c.trace_id.in_(bindparam("ids", expanding=True))
)
_ANY_ERASED = select(schema.erased.c.mark).limit(1)


class Added(msgspec.Struct, frozen=True):
    """What became of the records: `refused` ones belong to erased traces."""

    new: int = 0
    replaced: int = 0
    known: int = 0
    refused: int = 0


class TraceStore(Base):
    """Traces of the store."""

    def add_traces(self, records: Iterable[TraceRecord]) -> Added:
        """Store decided traces in one transaction.

        Adding the same (trace, revision) again changes nothing. Traces whose window was drawn
        already are put into a window of stragglers, so that each trace gets its chance.

        Raises:
            StoreBusy: another process writes; nothing was stored, retry.
            StoreError: nothing was stored.
        """
        newest: dict[str, TraceRecord] = {}
        total = 0
        for record in records:
            total += 1
            held = newest.get(record.trace_id)
            if held is None:
                newest[record.trace_id] = record
            elif record.revision > held.revision:
                newest[record.trace_id] = msgspec.structs.replace(record, decision=held.decision)
        if not newest:
            return Added()
        # Compressing is the slow part: before the transaction, so that nobody waits for it.
        names = {t: names_of(r) for t, r in newest.items()}
        ready = {t: (row_of(r, names[t]), compress(r.otlp)) for t, r in sorted(newest.items())}
        with self._db.write() as connection:
            known = _revisions(connection, ready)
            refused = self._erased(connection, [t for t in ready if t not in known])
            new = [t for t in ready if t not in known and t not in refused]
            higher = [t for t in ready if t in known and newest[t].revision > known[t]]
            unrefer(connection, higher)
            self._insert(connection, [ready[t] for t in new])
            self._replace(connection, [ready[t] for t in higher])
            written = [*new, *higher]
            refer(connection, [(t, names[t]) for t in written])
            join_arrived(connection, [newest[t] for t in written])
        known_before = total - len(new) - len(higher) - len(refused)
        return Added(len(new), len(higher), known_before, len(refused))

    def _erased(self, connection: Connection, trace_ids: Sequence[str]) -> set[str]:
        table = schema.erased
        if connection.scalar(_ANY_ERASED) is None:
            return set()  # mostly: and a mark for each trace takes its time
        marks = {self._mark("erased", t): t for t in trace_ids}
        found: set[str] = set()
        for part in chunks(marks):
            found |= {
                marks[m]
                for m in connection.scalars(select(table.c.mark).where(table.c.mark.in_(part)))
            }
        return found

    def _insert(self, connection: Connection, ready: Sequence[_Ready]) -> None:
        if not ready:
            return
        rows = [row for row, _ in ready]
        place_in_windows(connection, rows)
        insert_many(connection, schema.traces, rows)
        insert_many(connection, schema.bodies, [self._body(row, otlp) for row, otlp in ready])

    def _replace(self, connection: Connection, ready: Sequence[_Ready]) -> None:
        if not ready:
            return
        unfold(connection, [row["trace_id"] for row, _ in ready])
        table = schema.traces
        kept: dict[str, Any] = {column: bindparam(f"b_{column}") for column in REVISED}
        found = bindparam("b_found", type_=table.c.upstream.type)
        kept["upstream"] = case((table.c.upstream < found, found), else_=table.c.upstream)
        connection.execute(
            update(table).where(table.c.trace_id == bindparam("b_id")).values(kept),
            [
                {
                    "b_id": row["trace_id"],
                    "b_found": row["upstream"] if row["flagged"] else 0.0,
                    **{f"b_{c}": row[c] for c in REVISED},
                }
                for row, _ in ready
            ],
        )
        bodies = schema.bodies
        # A body that was pruned stays pruned: its retention probability was spent.
        connection.execute(
            update(bodies)
            .where(bodies.c.trace_id == bindparam("b_id"))
            .values(otlp=bindparam("b_otlp"), stored_bytes=bindparam("b_bytes")),
            [
                {"b_id": row["trace_id"], "b_otlp": otlp, "b_bytes": len(otlp)}
                for row, otlp in ready
            ],
        )

    def _body(self, row: dict[str, Any], otlp: bytes) -> dict[str, Any]:
        trace_id = row["trace_id"]
        return {
            "trace_id": trace_id,
            "otlp": otlp,
            "stored_bytes": len(otlp),
            "start_ns": row["start_ns"],
            "lot": self._lot("retain", trace_id),
        }

    def trace(self, trace_id: str) -> StoredTrace | None:
        """One trace with body, decision, outcomes and reviews; None where nothing is stored."""
        with self._db.read() as connection:
            table = schema.traces
            query = select(table).where(table.c.trace_id == trace_id)
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            body = connection.execute(
                select(schema.bodies.c.otlp).where(schema.bodies.c.trace_id == trace_id)
            ).scalar()
            record = record_of(connection, row, decompress(body) if body is not None else b"")
            outcomes, reviews = schema.outcomes, schema.reviews
            return StoredTrace(
                record,
                tuple(
                    outcome_of(o)
                    for o in connection.execute(
                        select(outcomes)
                        .where(outcomes.c.trace_id == trace_id)
                        .order_by(outcomes.c.observed_ns, outcomes.c.id)
                    ).mappings()
                ),
                tuple(
                    review_of(r)
                    for r in connection.execute(
                        select(reviews)
                        .where(reviews.c.trace_id == trace_id)
                        .order_by(reviews.c.finished_ns, reviews.c.id)
                    ).mappings()
                ),
                retained=body is not None,
                drawn=_is_drawn(connection, row["window"]),
                erased_ns=row["erased_ns"],
            )

    def revisions(self, trace_ids: Iterable[str]) -> dict[str, int]:
        """The stored revision of each of these traces that is stored."""
        with self._db.read() as connection:
            return _revisions(connection, trace_ids)

    def traces(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        *,
        workflow: str | None = None,
        mode: str | None = None,
        flagged: bool | None = None,
        order: Literal["newest", "risk"] = "newest",
        limit: int = 100,
        offset: int = 0,
    ) -> list[TraceRow]:
        """A listing, newest or riskiest first.

        Args:
            since_ns: traces that started at or after.
            until_ns: traces that started before.
            workflow: of this workflow only.
            mode: with a finding of this failure mode only.
            flagged: with (or without) findings that flag them.
            order: what comes first.
            limit: at most so many.
            offset: after so many.
        """
        t = schema.traces
        query = select(t).where(*_between(since_ns, until_ns), t.c.erased_ns == 0)
        if workflow is not None:
            query = query.where(t.c.workflow == workflow)
        if flagged is not None:
            query = query.where(t.c.flagged == flagged)
        if mode:
            query = query.where((" " + t.c.marks).contains(f" {mode}:", autoescape=True))
        first = t.c.risk if order == "risk" else t.c.start_ns
        query = query.order_by(first.desc(), t.c.trace_id).limit(limit).offset(offset)
        with self._db.read() as connection:
            return [listed(row) for row in connection.execute(query).mappings()]

    def trace_ids(
        self, *, key: tuple[str, str] | None = None, response_id: str | None = None
    ) -> list[str]:
        """The traces that carry a business key or a response id, oldest first."""
        t = schema.traces
        if key is not None:
            k = schema.keys
            query = (
                select(t.c.trace_id)
                .join(k, k.c.trace_id == t.c.trace_id)
                .where(k.c.name == key[0], k.c.value == key[1])
            )
        else:
            r = schema.response_ids
            query = (
                select(t.c.trace_id)
                .join(r, r.c.trace_id == t.c.trace_id)
                .where(r.c.response_id == (response_id or ""))
            )
        with self._db.read() as connection:
            return list(connection.scalars(query.order_by(t.c.start_ns, t.c.trace_id)))

    def shadow_marks(self) -> list[tuple[str, str, str]]:
        """(trace id, role, pair id) of every trace of a shadow pair, in order of the pairs."""
        k = schema.keys
        roles = {name: role for role, name in SHADOW_KEYS.items()}
        query = (
            select(k.c.trace_id, k.c.name, k.c.value)
            .where(k.c.name.in_(roles))
            .order_by(k.c.value, k.c.trace_id)
        )
        with self._db.read() as connection:
            return [(row[0], roles[row[1]], row[2]) for row in connection.execute(query)]


def _between(since_ns: int | None, until_ns: int | None) -> list[Any]:
    start = schema.traces.c.start_ns
    bounds = []
    if since_ns is not None:
        bounds.append(start >= clip(since_ns))
    if until_ns is not None:
        bounds.append(start < clip(until_ns))
    return bounds


def _revisions(connection: Connection, trace_ids: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in chunks(trace_ids):
        found.update({row[0]: row[1] for row in connection.execute(_REVISIONS, {"ids": part})})
    return found


def _is_drawn(connection: Connection, window: str) -> bool:
    table = schema.windows
    drawn = connection.execute(select(table.c.drawn_ns).where(table.c.window == window)).scalar()
    return bool(drawn)
