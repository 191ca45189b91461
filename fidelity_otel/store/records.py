"""Trace records as rows of the tables, and back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, select

from fidelity_otel.model import Finding, Outcome, Review, TraceRecord
from fidelity_otel.store import schema
from fidelity_otel.store.base import clean, clean_or_none, clip, finite, to_json
from fidelity_otel.store.decisions import arm_of, decision_of
from fidelity_otel.store.names import Names, names_in

__all__ = [
    "REVISED",
    "StoredTrace",
    "TraceRow",
    "findings_of",
    "listed",
    "marks_of",
    "record_of",
    "row_of",
]

findings_of = msgspec.json.Decoder(tuple[Finding, ...]).decode
_strings = msgspec.json.Decoder(tuple[str, ...])


class StoredTrace(msgspec.Struct, frozen=True):
    """One trace with all that is known of it. `record.otlp` is empty where the body was pruned."""

    record: TraceRecord
    outcomes: tuple[Outcome, ...] = ()
    reviews: tuple[Review, ...] = ()
    retained: bool = True
    drawn: bool = False
    erased_ns: int = 0


class TraceRow(msgspec.Struct, frozen=True):
    """One line of a listing."""

    trace_id: str
    workflow: str
    service: str
    release: str
    conversation_id: str | None
    start_ns: int
    end_ns: int
    span_count: int
    reported_success: bool
    request: str
    answer: str
    findings: tuple[Finding, ...]
    risk: float
    flagged: bool
    stratum: str
    window: str


def marks_of(findings: Collection[Finding]) -> str:
    """What the frame keeps of the findings: "mode:state", sorted, each once."""
    if not findings:  # mostly
        return ""
    marks = {f"{_word(f.mode)}:{f.state}" for f in findings}
    return " ".join(sorted(marks))


def _word(text: str) -> str:
    return clean(text).replace(" ", "_").replace(":", "_")


def row_of(record: TraceRecord, names: Names) -> dict[str, Any]:
    """A record, and the names by which it is found, as a row of `traces`."""
    decision = record.decision
    return {
        "trace_id": record.trace_id,
        "revision": record.revision,
        "workflow": clean(record.workflow),
        "service": clean(record.service),
        "release": clean(record.release),
        "conversation_id": clean_or_none(record.conversation_id),
        "user_id": clean_or_none(record.user_id),
        "start_ns": clip(record.start_ns),
        "end_ns": clip(record.end_ns),
        "span_count": record.span_count,
        "byte_count": len(record.otlp),
        "reported_success": record.reported_success,
        "incomplete": to_json(record.incomplete),
        "request": clean(record.request),
        "answer": clean(record.answer),
        "unread": record.unread,
        "response_ids": to_json(names.response_ids),
        "keys": to_json(names.keys),
        "findings": to_json(record.findings),
        "marks": marks_of(record.findings),
        "stratum": clean(decision.stratum),
        "window": clean(decision.window),
        "randomness": clip(decision.randomness),
        "size": finite(decision.size, 1.0),
        "risk": finite(decision.risk, 0.5),
        "flagged": decision.flagged,
        "retention": finite(decision.retention, 1.0),
        "upstream": finite(decision.upstream, 1.0),
        "reasons": to_json(decision.reasons),
        "decision_revision": decision.revision,
        "decided_ns": clip(decision.decided_ns),
    }


REVISED = (
    "revision",
    "workflow",
    "service",
    "release",
    "conversation_id",
    "user_id",
    "start_ns",
    "end_ns",
    "span_count",
    "byte_count",
    "reported_success",
    "incomplete",
    "request",
    "answer",
    "unread",
    "response_ids",
    "keys",
    "findings",
    "marks",
)
"""The columns that a later revision changes; of the decision's only `upstream` may rise."""


def record_of(connection: Connection, row: RowMapping, otlp: bytes) -> TraceRecord:
    """The record in a row of `traces`, with its arms."""
    trace_id, arms = row["trace_id"], schema.arms
    drawn = connection.execute(
        select(arms).where(arms.c.trace_id == trace_id).order_by(arms.c.arm.desc())
    ).mappings()
    names = names_in(row["response_ids"], row["keys"])
    return TraceRecord(
        trace_id=trace_id,
        otlp=otlp,
        decision=decision_of(row, tuple(arm_of(a) for a in drawn)),
        findings=findings_of(row["findings"]),
        revision=row["revision"],
        workflow=row["workflow"],
        service=row["service"],
        release=row["release"],
        conversation_id=row["conversation_id"],
        user_id=row["user_id"],
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        span_count=row["span_count"],
        reported_success=row["reported_success"],
        incomplete=_strings.decode(row["incomplete"]),
        request=row["request"],
        answer=row["answer"],
        response_ids=names.response_ids,
        keys=names.keys,
        unread=row["unread"],
    )


def listed(row: RowMapping) -> TraceRow:
    """A row of `traces` as a line of a listing."""
    plain = {name: row[name] for name in TraceRow.__struct_fields__ if name != "findings"}
    return TraceRow(**plain, findings=findings_of(row["findings"]))
