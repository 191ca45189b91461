"""The bodies of the HTTP API. The OpenAPI document is made from these."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from fidelity_otel.model import Outcome, OutcomeRef, Review, TraceRecord, Verdict
from fidelity_otel.review.conversation import Conversation, Entry, Paper
from fidelity_otel.review.rubric import Rubric
from fidelity_otel.store import DoubleReview

__all__ = [
    "AgreementView",
    "Closed",
    "EraseRequest",
    "Failure",
    "ItemView",
    "LeaseView",
    "NextRequest",
    "Opinion",
    "OutcomeRequest",
    "PickRequest",
    "Picked",
    "Receipt",
    "ReleaseRequest",
    "RenewRequest",
    "Renewed",
    "SkipRequest",
    "TraceView",
    "VerdictRequest",
]


class Failure(msgspec.Struct, frozen=True):
    """Every error: what is wrong, where, and how to mend it."""

    error: str
    where: str
    mend: str


class NextRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants an item; `item_id` asks for a certain one (after a lease that ran out)."""

    reviewer: str = ""
    item_id: str | None = None


class Opinion(msgspec.Struct, frozen=True):
    """What one of two judges said who disagree; who it was is not told."""

    verdict: Verdict
    mode: str | None = None
    note: str = ""
    correction: str = ""


class ItemView(msgspec.Struct, frozen=True):
    """A blind item: the conversation and the question, and nothing that could sway a judge.

    `purpose` is judge, settle (two people disagree: `opinions` says what they think) or again (it
    was right or wrong when it was given; is it today?).
    """

    item_id: str
    workflow: str
    rubric: Rubric
    request: str
    conversation: tuple[Entry, ...]
    tools: tuple[Entry, ...]
    documents: tuple[Paper, ...]
    answer: str
    asked_at: str
    losses: tuple[str, ...] = ()
    purpose: Literal["judge", "settle", "again"] = "judge"
    opinions: tuple[Opinion, ...] = ()


class LeaseView(msgspec.Struct, frozen=True):
    """An item held until `expires_at` (RFC 3339, UTC)."""

    lease_id: str
    reviewer: str
    expires_at: str
    lease_seconds: float
    item: ItemView


class VerdictRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict on a leased item."""

    verdict: Verdict
    mode: str | None = None
    note: str = ""
    correction: str = ""
    reviewer: str | None = None


class Receipt(msgspec.Struct, frozen=True):
    """The verdict is stored."""

    review_id: str
    item_id: str
    verdict: Verdict
    finished_at: str


class SkipRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an item is put by."""

    reason: str = ""
    reviewer: str | None = None


class RenewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep an item for another lease."""

    reviewer: str | None = None


class ReleaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hand an item back unjudged."""

    reviewer: str | None = None


class Renewed(msgspec.Struct, frozen=True):
    """The lease holds until `expires_at`."""

    lease_id: str
    expires_at: str


class PickRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put a trace into the queue by hand."""

    by: str = ""
    reason: str = ""


class Picked(msgspec.Struct, frozen=True):
    """The trace is in the queue; reviews of it are marked as hand-picked."""

    item_id: str
    hand_picked: bool


class TraceView(msgspec.Struct, frozen=True):
    """One trace as stored (`record.otlp` is left out: ask with `?format=otlp`)."""

    trace_id: str
    record: TraceRecord
    conversation: Conversation
    outcomes: tuple[Outcome, ...]
    reviews: tuple[Review, ...]
    retained: bool
    drawn: bool


class OutcomeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence that came later.

    `ref` is a text (trace id, TRACE:SPAN, handle, `response:ID`, `key:NAME=VALUE`) or an object.
    `observed_at` is RFC 3339 text or nanoseconds; without `id`, one is made from the content, so
    sending the same again changes nothing.
    """

    ref: str | OutcomeRef
    name: str
    value: float | None = None
    label: str | None = None
    source: str = ""
    observed_at: str | int | None = None
    id: str | None = None
    supersedes: str | None = None
    explanation: str | None = None


class EraseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of the three: whose traces are erased."""

    conversation_id: str | None = None
    user_id: str | None = None
    trace_id: str | None = None
    by: str = ""


class AgreementView(msgspec.Struct, frozen=True):
    """How far two people agree who judged the same traces (right, partly, wrong; not can't tell).

    κ (Fleiss) and AC1 (Gwet) are None where fewer than three pairs, or all alike, define none.
    """

    pairs: int
    same: int
    kappa: float | None
    ac1: float | None
    open: int
    disagreements: tuple[DoubleReview, ...]


class Closed(msgspec.Struct, frozen=True):
    """How many windows were drawn, and how many traces that put into the queue."""

    windows: int
    enqueued: int
    detail: dict[str, Any] = {}
