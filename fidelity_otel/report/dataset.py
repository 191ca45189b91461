"""Reviewed production traces as evaluation cases, each with its weight.

A weighted mean over the cases is a statement about production; a plain mean is one about whatever
the sampling happened to prefer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import numpy as np

from fidelity_otel.model import Finding, Message, Review, ToolCall, Trace
from fidelity_otel.report.frame import frame_of, joined
from fidelity_otel.store import StoredTrace

__all__ = ["Case", "CaseDocument", "CaseSource", "cases"]


class CasePages(Protocol):
    """As `store.Pages`."""

    def looked_at(self) -> Iterator[dict[str, list[Any]]]:
        """The traces drawn, picked or reviewed."""
        ...


class CaseSource(Protocol):
    """What an export needs of the store."""

    def pages(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> AbstractContextManager[CasePages]:
        """One view of a span of time."""
        ...

    def trace(self, trace_id: str) -> StoredTrace | None:
        """One trace with its body and reviews."""
        ...


class CaseDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document that the system had in hand."""

    content: str
    id: str | None = None
    title: str | None = None
    source: str | None = None


class Case(msgspec.Struct, frozen=True):
    """One reviewed trace.

    `label` is the mean verdict, 0 to 1. `probability` is that of being drawn, head sampling before
    us included; `weight` is its inverse after the correction for non-response. Both are None for
    hand-picked traces, which stand for nothing but themselves. `expected` is the reviewers'
    correction, else the answer where it was right, else None. `messages` is the conversation up to
    the answer, in the GenAI conventions' shape.
    """

    id: str
    workflow: str
    release: str
    time: str
    request: str
    answer: str
    expected: str | None
    verdict: str
    label: float
    weight: float | None
    probability: float | None
    stratum: str
    hand_picked: bool
    reviewers: int
    modes: list[str]
    notes: list[str]
    correction: str | None
    messages: list[Message]
    documents: list[CaseDocument]
    tools: list[ToolCall]
    findings: list[Finding]
    outcomes: dict[str, float | None]


def cases(
    store: CaseSource,
    read_otlp: Callable[[bytes], Trace],
    *,
    since_ns: int | None = None,
    workflow: str | None = None,
    hand_picked: bool = False,
) -> Iterator[Case]:
    """Every reviewed trace, oldest first, its body read when it is its turn.

    Only traces that were drawn, picked or reviewed are held at once, without their bodies: as many
    as people review, whatever the traffic.

    Args:
        store: where they are.
        read_otlp: reads a stored body.
        since_ns: traces that started at or after.
        workflow: of this one only.
        hand_picked: also those that a person chose for review.
    """
    with store.pages(since_ns) as pages:
        seen = list(pages.looked_at())
    frame = joined([frame_of(columns) for columns in seen])
    weight = np.where(frame.judged, 1.0 / frame.answered, np.nan)
    for k, trace_id in enumerate(frame.trace_id):
        if workflow is not None and frame.workflow[k] != workflow:
            continue
        sampled = bool(frame.judged[k])
        if not sampled and not (hand_picked and any(r.hand_picked for r in frame.reviews[k])):
            continue
        stored = store.trace(str(trace_id))
        if stored is None or stored.erased_ns:
            continue
        probability = float(frame.pi[k] / frame.units[k]) if sampled else None
        case = _case(
            stored,
            read_otlp(stored.record.otlp) if stored.record.otlp else None,
            label=float(frame.label[k]) if sampled else None,
            weight=float(weight[k]) if sampled else None,
            probability=probability,
            outcomes=frame.outcomes[k],
        )
        if case is not None:
            yield case


def _case(
    stored: StoredTrace,
    trace: Trace | None,
    *,
    label: float | None,
    weight: float | None,
    probability: float | None,
    outcomes: dict[str, float | None],
) -> Case | None:
    record = stored.record
    by_hand = label is None
    reviews = [r for r in stored.reviews if r.hand_picked == by_hand and r.verdict != "cannot_tell"]
    if by_hand:
        values = [{"right": 1.0, "partly": 0.5, "wrong": 0.0}[r.verdict] for r in reviews]
        if not values:
            return None
        label = sum(values) / len(values)
    assert label is not None
    answer = trace.answer if trace else record.answer
    correction = next((r.correction for r in reversed(reviews) if r.correction), None)
    return Case(
        id=record.trace_id,
        workflow=record.workflow,
        release=record.release,
        time=_iso(record.start_ns),
        request=trace.request if trace else record.request,
        answer=answer,
        expected=correction or (answer if label == 1.0 else None),
        verdict=_verdict(label),
        label=label,
        weight=weight,
        probability=probability,
        stratum=record.decision.stratum,
        hand_picked=by_hand,
        reviewers=len({r.reviewer for r in reviews}),
        modes=_said(reviews),
        notes=[r.note for r in reviews if r.note],
        correction=correction,
        messages=_messages(trace),
        documents=_documents(trace),
        tools=[s.tool for s in trace.spans if s.tool is not None] if trace else [],
        findings=list(record.findings),
        outcomes=dict(outcomes),
    )


def _verdict(label: float) -> str:
    return {1.0: "right", 0.0: "wrong"}.get(label, "partly")


def _said(reviews: list[Review]) -> list[str]:
    return sorted({r.mode for r in reviews if r.mode})


def _iso(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _messages(trace: Trace | None) -> list[Message]:
    """The last model call's input: the conversation as the system had it before its answer."""
    if trace is None:
        return []
    calls = [s for s in trace.spans if s.input_messages]
    if not calls:
        return []
    return list(max(calls, key=lambda s: s.end_ns).input_messages)


def _documents(trace: Trace | None) -> list[CaseDocument]:
    if trace is None:
        return []
    return [
        CaseDocument(d.content or "", d.id, d.title, d.source)
        for s in trace.spans
        for d in s.documents or ()
    ]


def as_row(case: Case) -> dict[str, Any]:
    """A case for tables: nested values as JSON text, so that every file has the same columns."""
    row: dict[str, Any] = msgspec.to_builtins(case)
    for name in NESTED:
        row[name] = msgspec.json.encode(row[name]).decode()
    return row


NESTED = ("messages", "documents", "tools", "findings", "outcomes")
"""Columns that hold JSON text in Parquet."""
