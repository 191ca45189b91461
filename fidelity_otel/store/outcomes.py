"""Outcomes: evidence that came later, joined to its trace whichever of the two arrives first.

A reference by business key means the last trace with that key that had started when the outcome was
observed (a ticket's last turn before it was closed), else the first one. The join depends only on
what is stored, never on the order of arrival.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, and_, bindparam, func, or_, select, tuple_, update

from fidelity_otel.model import Outcome, OutcomeRef, TraceRecord
from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, chunks, clean, clean_or_none, clip, insert_new

__all__ = ["OutcomeCounts", "OutcomeStore", "join_arrived", "outcome_of"]

_PAIRS = 400
_LONGEST_CHAIN = 1000
_ANY = select(schema.outcomes.c.id).limit(1)


class OutcomeCounts(msgspec.Struct, frozen=True):
    """What became of the outcomes.

    `parked` wait for their trace; `refused` says, for each that was not stored, why.
    """

    added: int = 0
    known: int = 0
    joined: int = 0
    parked: int = 0
    refused: tuple[str, ...] = ()


class OutcomeStore(Base):
    """Outcomes of the store."""

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> OutcomeCounts:
        """Store outcomes; one whose id is known already changes nothing.

        An outcome that supersedes another takes its place, whichever arrives first.
        """
        good: dict[str, Outcome] = {}
        refused: list[str] = []
        total = 0
        for outcome in outcomes:
            total += 1
            why = _fault(outcome)
            if why:
                refused.append(f"outcome {outcome.id or '(without id)'}: {why}")
            else:
                good.setdefault(clean(outcome.id), outcome)
        if not good:
            return OutcomeCounts(refused=tuple(refused))
        with self._db.write() as connection:
            known = _known(connection, good)
            new = {i: o for i, o in good.items() if i not in known}
            circular = _circular(connection, new)
            refused += [f"outcome {i}: it would supersede itself, by a circle" for i in circular]
            rows = [_row(i, o) for i, o in new.items() if i not in circular]
            insert_new(connection, schema.outcomes, rows)
            _supersede(connection, [row["id"] for row in rows])
            joined = _join(connection, rows)
        added = len(rows)
        return OutcomeCounts(
            added, total - len(refused) - added, joined, added - joined, tuple(refused)
        )

    def orphans(self, limit: int = 100) -> list[Outcome]:
        """Outcomes that no stored trace belongs to, newest first."""
        o = schema.outcomes
        query = select(o).where(o.c.trace_id.is_(None)).order_by(o.c.received_ns.desc(), o.c.id)
        with self._db.read() as connection:
            return [outcome_of(row) for row in connection.execute(query.limit(limit)).mappings()]

    def orphan_count(self) -> int:
        """How many outcomes wait for their trace."""
        o = schema.outcomes
        with self._db.read() as connection:
            return connection.scalar(select(func.count()).where(o.c.trace_id.is_(None))) or 0

    def outcome(self, outcome_id: str) -> Outcome | None:
        """One outcome by its id."""
        o = schema.outcomes
        with self._db.read() as connection:
            row = connection.execute(select(o).where(o.c.id == outcome_id)).mappings().first()
            return outcome_of(row) if row else None


def outcome_of(row: RowMapping) -> Outcome:
    """The outcome in a row of `outcomes`."""
    return Outcome(
        id=row["id"],
        ref=OutcomeRef(
            trace_id=row["ref_trace_id"],
            span_id=row["ref_span_id"],
            response_id=row["ref_response_id"],
            key_name=row["ref_key_name"],
            key_value=row["ref_key_value"],
        ),
        name=row["name"],
        value=row["value"],
        label=row["label"],
        source=row["source"],
        observed_ns=row["observed_ns"],
        received_ns=row["received_ns"],
        supersedes=row["supersedes"],
        explanation=row["explanation"],
        trace_id=row["trace_id"],
    )


def _fault(outcome: Outcome) -> str:
    ref = outcome.ref
    if not outcome.id:
        return "it has no id, so it could not be told from its own repetition"
    if not outcome.name:
        return "it has no name"
    if not (ref.trace_id or ref.response_id or (ref.key_name and ref.key_value)):
        return "its reference names no trace, response or business key"
    if outcome.value is not None and not math.isfinite(outcome.value):
        return f"its value {outcome.value} is not a finite number"
    if outcome.supersedes == outcome.id:
        return "it supersedes itself"
    return ""


def _row(outcome_id: str, outcome: Outcome) -> dict[str, Any]:
    ref = outcome.ref
    return {
        "id": outcome_id,
        "trace_id": None,
        "ref_trace_id": clean_or_none(ref.trace_id.lower() if ref.trace_id else None),
        "ref_span_id": clean_or_none(ref.span_id),
        "ref_response_id": clean_or_none(ref.response_id),
        "ref_key_name": clean_or_none(ref.key_name),
        "ref_key_value": clean_or_none(ref.key_value),
        "name": clean(outcome.name),
        "value": outcome.value,
        "label": clean_or_none(outcome.label),
        "source": clean(outcome.source),
        "observed_ns": clip(outcome.observed_ns),
        "received_ns": clip(outcome.received_ns),
        "supersedes": clean_or_none(outcome.supersedes),
        "superseded": False,
        "explanation": clean_or_none(outcome.explanation),
    }


def _known(connection: Connection, ids: Iterable[str]) -> set[str]:
    o = schema.outcomes
    found: set[str] = set()
    for part in chunks(ids):
        found |= set(connection.scalars(select(o.c.id).where(o.c.id.in_(part))))
    return found


def _circular(connection: Connection, new: dict[str, Outcome]) -> set[str]:
    """The new outcomes whose chain of supersedes comes back to themselves."""
    o = schema.outcomes
    found: set[str] = set()
    for outcome_id, outcome in new.items():
        at, steps = outcome.supersedes, 0
        while at is not None and at != outcome_id and steps < _LONGEST_CHAIN:
            if at in new and at not in found:
                at = new[at].supersedes
            else:
                at = connection.scalar(select(o.c.supersedes).where(o.c.id == at))
            steps += 1
        if at is not None:
            found.add(outcome_id)
    return found


def _supersede(connection: Connection, ids: Sequence[str]) -> None:
    """Mark what the new outcomes replace, and those of the new that are replaced already."""
    o = schema.outcomes
    newer = o.alias("newer")
    for part in chunks(ids):
        replaced = select(newer.c.supersedes).where(
            newer.c.supersedes.is_not(None),
            or_(newer.c.id.in_(part), newer.c.supersedes.in_(part)),
        )
        connection.execute(update(o).where(o.c.id.in_(replaced)).values(superseded=True))


def join_arrived(connection: Connection, records: Sequence[TraceRecord]) -> None:
    """Join the outcomes that waited for these traces, or that these traces fit better."""
    o = schema.outcomes
    if connection.scalar(_ANY) is None:
        return
    waiting: list[RowMapping] = []

    def collect(condition: Any) -> None:
        waiting.extend(connection.execute(select(o).where(condition)).mappings())

    for ids in chunks(r.trace_id for r in records):
        collect(and_(o.c.ref_trace_id.in_(ids), o.c.trace_id.is_(None)))
    for ids in chunks(clean(i) for r in records for i in r.response_ids):
        collect(and_(o.c.ref_response_id.in_(ids), o.c.ref_trace_id.is_(None)))
    for pairs in chunks(((clean(n), clean(v)) for r in records for n, v in r.keys), _PAIRS):
        collect(
            and_(
                tuple_(o.c.ref_key_name, o.c.ref_key_value).in_(pairs),
                o.c.ref_trace_id.is_(None),
                o.c.ref_response_id.is_(None),
            )
        )
    if waiting:
        _join(connection, waiting)


def _join(connection: Connection, rows: Sequence[RowMapping | dict[str, Any]]) -> int:
    """Find the rows' traces and write them down; returns how many have one."""
    traces = _traces_of(connection, rows)
    pairs = [{"b_id": row["id"], "b_trace": traces.get(row["id"])} for row in rows]
    found = [pair for pair in pairs if pair["b_trace"] is not None]
    if found:
        o = schema.outcomes
        connection.execute(
            update(o).where(o.c.id == bindparam("b_id")).values(trace_id=bindparam("b_trace")),
            found,
        )
    return len(found)


def _traces_of(
    connection: Connection, rows: Sequence[RowMapping | dict[str, Any]]
) -> dict[str, str]:
    by_trace = [r for r in rows if r["ref_trace_id"]]
    by_response = [r for r in rows if not r["ref_trace_id"] and r["ref_response_id"]]
    by_key = [r for r in rows if not r["ref_trace_id"] and not r["ref_response_id"]]
    t = schema.traces
    found: dict[str, str] = {}
    stored: set[str] = set()
    for ids in chunks({r["ref_trace_id"] for r in by_trace}):
        stored |= set(connection.scalars(select(t.c.trace_id).where(t.c.trace_id.in_(ids))))
    found |= {r["id"]: r["ref_trace_id"] for r in by_trace if r["ref_trace_id"] in stored}

    x = schema.response_ids
    responses: dict[str, list[tuple[int, str]]] = {}
    for ids in chunks({r["ref_response_id"] for r in by_response}):
        query = select(x.c.response_id, t.c.start_ns, t.c.trace_id).join(
            t, t.c.trace_id == x.c.trace_id
        )
        for name, start, trace_id in connection.execute(query.where(x.c.response_id.in_(ids))):
            responses.setdefault(name, []).append((start, trace_id))
    for row in by_response:
        _choose(found, row, responses.get(row["ref_response_id"], []))

    k = schema.keys
    named: dict[tuple[str, str], list[tuple[int, str]]] = {}
    wanted = {(str(r["ref_key_name"]), str(r["ref_key_value"])) for r in by_key}
    for pairs in chunks(wanted, _PAIRS):
        query = select(k.c.name, k.c.value, t.c.start_ns, t.c.trace_id).join(
            t, t.c.trace_id == k.c.trace_id
        )
        for hit in connection.execute(query.where(tuple_(k.c.name, k.c.value).in_(pairs))):
            named.setdefault((hit.name, hit.value), []).append((hit.start_ns, hit.trace_id))
    for each in by_key:
        _choose(found, each, named.get((each["ref_key_name"], each["ref_key_value"]), []))
    return found


def _choose(
    found: dict[str, str], row: RowMapping | dict[str, Any], traces: list[tuple[int, str]]
) -> None:
    if not traces:
        return
    observed = row["observed_ns"] or None
    before = [each for each in traces if observed is None or each[0] <= observed]
    found[row["id"]] = (max(before) if before else min(traces))[1]
