"""The values that pass between stages: frozen, typed, and readable as JSON.

One file, because a stage's input is the previous stage's output, and a reader should see the whole
chain at once: spans → trace → findings → decision → review and outcome → estimate.

Times are integer nanoseconds since the epoch (as in OTLP) unless a name says otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "Arm",
    "ArmDecision",
    "Decision",
    "Document",
    "Estimate",
    "Event",
    "Finding",
    "FindingState",
    "Link",
    "Message",
    "Operation",
    "Outcome",
    "OutcomeRef",
    "Part",
    "Review",
    "Span",
    "ToolCall",
    "Trace",
    "TraceRecord",
    "Usage",
    "Verdict",
]

Operation = Literal[
    "invoke_workflow",
    "invoke_agent",
    "chat",
    "embeddings",
    "execute_tool",
    "retrieval",
    "rerank",
    "guardrail",
    "evaluation",
    "",
]
"""What a span does, in the GenAI conventions' terms; `""` for spans of no GenAI kind."""

FindingState = Literal["recovered", "unrecovered", "escalated"]
"""`recovered`: the system got over it by itself. `escalated`: handed to a human or said so."""

Verdict = Literal["right", "wrong", "partly", "cannot_tell"]
Arm = Literal["estimation", "discovery"]


class Event(msgspec.Struct, frozen=True):
    """A span event as received."""

    name: str
    time_ns: int = 0
    attributes: dict[str, Any] = {}


class Link(msgspec.Struct, frozen=True):
    """A link to a span of this or another trace; ids in lower-case hex."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of a message, after the GenAI conventions' message parts.

    `type` is `text`, `reasoning`, `tool_call`, `tool_call_response`, `blob`, `file` or `uri`.
    """

    type: str
    content: str | None = None
    id: str | None = None
    name: str | None = None
    arguments: Any = None
    response: Any = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation: `role` is system, user, assistant or tool."""

    role: str
    parts: tuple[Part, ...] = ()
    name: str | None = None
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        """The text parts, joined by newlines."""
        if len(self.parts) == 1:  # nearly always, and joining one costs three times as much
            part = self.parts[0]
            return part.content or "" if part.type == "text" else ""
        return "\n".join([p.content for p in self.parts if p.type == "text" and p.content])


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """A retrieved document. Times are ISO 8601 texts as the application gave them."""

    id: str | None = None
    score: float | None = None
    content: str | None = None
    title: str | None = None
    source: str | None = None
    indexed_at: str | None = None
    updated_at: str | None = None
    superseded_by: str | None = None
    metadata: dict[str, Any] = {}


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """One execution of a tool. `arguments_text` is kept where it was not valid JSON."""

    name: str
    id: str | None = None
    arguments: Any = None
    arguments_text: str | None = None
    result: Any = None
    error: str | None = None


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one model call; None where the provider did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """One span in canonical terms, whatever dialect it was written in.

    `attributes`, `events` and `links` are as received, so that nothing is lost by the reading.
    `losses` says what the instrumentation could not keep ("truncated:fidelity.input", …). `merged`
    are ids of spans in which another instrumentation recorded the same call.
    """

    trace_id: str
    span_id: str
    name: str
    parent_id: str | None = None
    operation: Operation = ""
    start_ns: int = 0
    end_ns: int = 0
    status: Literal["unset", "ok", "error"] = "unset"
    status_message: str = ""
    error_type: str | None = None
    provider: str | None = None
    model_requested: str | None = None
    model_used: str | None = None
    response_id: str | None = None
    system: str | None = None
    input_messages: tuple[Message, ...] = ()
    output_messages: tuple[Message, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None
    tool: ToolCall | None = None
    tool_definitions: tuple[dict[str, Any], ...] = ()
    query: str | None = None
    documents: tuple[Document, ...] | None = None
    input: Any = None
    output: Any = None
    attempt: int | None = None
    attempts: int | None = None
    recovery: str | None = None
    agent: str | None = None
    workflow: str | None = None
    conversation_id: str | None = None
    user_id: str | None = None
    release: str | None = None
    losses: tuple[str, ...] = ()
    dialect: str = ""
    service: str = ""
    scope: str = ""
    attributes: dict[str, Any] = {}
    resource: dict[str, Any] = {}
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    merged: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the span says of itself that it failed."""
        return self.status == "error" or self.error_type is not None


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """All spans of one trace known at a revision, in order of start time.

    `root_id` is None while the root has not arrived. `request` and `answer` are what the user asked
    and got, as text. `keys` are business keys bound by the application: (name, value) pairs.
    """

    trace_id: str
    spans: tuple[Span, ...]
    root_id: str | None = None
    workflow: str = ""
    service: str = ""
    release: str = ""
    conversation_id: str | None = None
    user_id: str | None = None
    start_ns: int = 0
    end_ns: int = 0
    request: str = ""
    answer: str = ""
    keys: tuple[tuple[str, str], ...] = ()
    reported_success: bool = True
    incomplete: tuple[str, ...] = ()
    unread: int = 0
    revision: int = 0

    @property
    def root(self) -> Span | None:
        """The root span, where it has arrived."""
        return next((s for s in self.spans if s.span_id == self.root_id), None)


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failure mode seen in a trace, where, on what evidence, and what became of it.

    `evidence` is one sentence for a person. `recovered_by` is retry, fallback, other_tool, requery
    or human; `noticed` whether the system showed that it knew (None: can't be told); `recovery_ns`
    and `recovery_tokens` what the recovery took in time and in tokens of model calls;
    `recovery_factor` is its cost in times that of going well at once, in calls or in tokens.
    """

    mode: str
    state: FindingState
    span_id: str
    evidence: str
    span_ids: tuple[str, ...] = ()
    recovered_by: str | None = None
    noticed: bool | None = None
    recovery_ns: int | None = None
    recovery_tokens: int | None = None
    recovery_factor: float | None = None


class ArmDecision(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one arm of the sampling design did with a trace.

    `probability` is the inclusion probability π of the trace in this arm, known when the window is
    drawn. `threshold` is τ, the first excluded priority (0 where everything was taken).
    """

    arm: Arm
    window: str
    stratum: str
    selected: bool
    probability: float
    size: float = 1.0
    threshold: float = 0.0
    reason: str = ""


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a trace was or wasn't chosen for review: components, never one weight (DESIGN §6).

    `randomness` is the 56-bit number that the draw used, `size` the weight w = ε + (1−ε)√(p(1−p)),
    `retention` the probability with which an unselected trace's body is kept, `upstream` that with
    which the trace is here at all: the head sampler's before us, times `sample.keep_share` where
    nothing was found.
    """

    trace_id: str
    stratum: str
    window: str
    randomness: int
    size: float
    risk: float
    flagged: bool
    arms: tuple[ArmDecision, ...] = ()
    retention: float = 1.0
    upstream: float = 1.0
    reasons: tuple[str, ...] = ()
    revision: int = 0
    decided_ns: int = 0


class OutcomeRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an outcome is about: a trace (and span), a response id, or a business key."""

    trace_id: str | None = None
    span_id: str | None = None
    response_id: str | None = None
    key_name: str | None = None
    key_value: str | None = None


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """Evidence that came later. `value` is 0–1 where it says right or wrong (1 = right).

    `id` makes it idempotent; `supersedes` names an earlier outcome's id. `source` says who says so
    ("ticket_system", "human", …).
    """

    id: str
    ref: OutcomeRef
    name: str
    value: float | None = None
    label: str | None = None
    source: str = ""
    observed_ns: int = 0
    received_ns: int = 0
    supersedes: str | None = None
    explanation: str | None = None
    trace_id: str | None = None


class Review(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reviewer's verdict on one trace. `hand_picked` reviews never enter an estimate unmarked.

    `phase` says why the trace was in the queue: sample, hand, adjudication or recheck-<days>.
    """

    id: str
    trace_id: str
    reviewer: str
    verdict: Verdict
    arm: str = ""
    mode: str | None = None
    note: str = ""
    correction: str = ""
    started_ns: int = 0
    finished_ns: int = 0
    hand_picked: bool = False
    phase: str = "sample"
    item_id: str = ""
    amended_ns: int = 0


class TraceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the store keeps of one decided trace.

    `otlp` is the trace's body: one OTLP ExportTraceServiceRequest (protobuf bytes). `request` and
    `answer` are heads of the texts, for listings; the whole is in the body.
    """

    trace_id: str
    otlp: bytes
    decision: Decision
    findings: tuple[Finding, ...] = ()
    revision: int = 0
    workflow: str = ""
    service: str = ""
    release: str = ""
    conversation_id: str | None = None
    user_id: str | None = None
    start_ns: int = 0
    end_ns: int = 0
    span_count: int = 0
    reported_success: bool = True
    incomplete: tuple[str, ...] = ()
    request: str = ""
    answer: str = ""
    response_ids: tuple[str, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    unread: int = 0


class Estimate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A number with what one needs to trust it.

    `estimate`, `low` and `high` are None where the data does not support them ("insufficient
    data"). `n` labelled units, `n_effective` their effective number under unequal weights, `N` the
    frame that they speak for.
    """

    name: str
    estimate: float | None
    low: float | None
    high: float | None
    level: float
    method: str
    n: int
    n_effective: float
    N: int
    window: str = ""
    maturity: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def sufficient(self) -> bool:
        """Whether there is an estimate at all."""
        return self.estimate is not None
