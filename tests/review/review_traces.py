"""Support conversations as traces, a clock, and a store filled with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fidelity_otel.model import (
    ArmDecision,
    Decision,
    Document,
    Finding,
    Message,
    Part,
    Span,
    ToolCall,
    Trace,
    TraceRecord,
)
from fidelity_otel.store import Store

SECOND = 10**9
START = 1_793_000_000 * SECOND


def read_fake(otlp: bytes) -> Trace:
    """Stands in for the OTLP reader where its reading is not what is tested."""
    return msgspec.json.decode(otlp, type=Trace)


class Clock:
    """A clock that only the test moves."""

    def __init__(self, now_ns: int = START + 10_000 * SECOND) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def pass_seconds(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)


QUESTIONS = (
    ("Can I still send back shoes I bought 40 days ago?", "Yes, you have 60 days."),
    ("where is my parcel, order 1042", "Your order 1042 left our warehouse on Monday."),
    ("do you ship to norway", "We ship to all countries of the European Union."),
    ("i want my money back", "I have refunded order 1077: € 59.90 will arrive in 3 days."),
    ("what does the long guarantee cost", "The guarantee extension costs € 19 a year."),
    ("can I pay later", ""),
)


def support_trace(number: int, **changes: Any) -> Trace:
    """One turn of a support assistant: look-up, tool, answer."""
    question, answer = QUESTIONS[number % len(QUESTIONS)]
    trace_id = f"{number + 1:032x}"
    start = START + number * 60 * SECOND

    def span(index: int, name: str, operation: str, seconds: float, **more: Any) -> Span:
        begins = start + int((0 if index == 0 else index * 0.3) * SECOND)
        return Span(
            trace_id,
            f"{number + 1:08x}{index + 1:08x}",
            name,
            parent_id=None if index == 0 else f"{number + 1:08x}{1:08x}",
            operation=operation,  # type: ignore[arg-type]
            start_ns=begins,
            end_ns=begins + int(seconds * SECOND),
            release="2026.11-secret-release",
            model_used="secret-model-9",
            **more,
        )

    documents = (
        Document(
            id="returns-2023",
            title="Returns and refunds",
            content="Goods can be returned within 60 days of delivery, in their original box.",
            source="kb/returns.md",
            updated_at="2023-02-01",
            indexed_at="2023-02-03",
        ),
        Document(
            id="returns-2026",
            title="Returns from June 2026",
            content="From June 2026 the time for returns is 30 days. Shoes must be unworn.",
            source="kb/returns-2026.md",
            updated_at="2026-06-01",
        ),
    )
    prompt = f"Context:\n{documents[0].content}\n\nQuestion: {question}"
    spans = (
        span(0, "support.answer", "invoke_workflow", 2.4, workflow="support.answer"),
        span(1, "search", "retrieval", 0.2, query=question, documents=documents),
        span(
            2,
            "execute_tool order_lookup",
            "execute_tool",
            0.4,
            tool=ToolCall(
                "order_lookup",
                id="call_1",
                arguments={"order": 1042 + number},
                result={
                    "order": 1042 + number,
                    "status": "delivered",
                    "delivered_on": "2026-09-21",
                },
            ),
        ),
        span(
            3,
            "chat",
            "chat",
            1.1,
            input_messages=(
                Message("system", (Part("text", "Answer from the context. Be brief."),)),
                Message("user", (Part("text", prompt),)),
            ),
            output_messages=(Message("assistant", (Part("text", answer),)),) if answer else (),
        ),
    )
    trace = Trace(
        trace_id,
        spans,
        root_id=spans[0].span_id,
        workflow="support.answer",
        service="support-bot",
        release="2026.11-secret-release",
        conversation_id=f"conversation-{number // 2}",
        user_id=f"user-{number % 3}",
        start_ns=start,
        end_ns=start + int(2.4 * SECOND),
        request=question,
        answer=answer,
        keys=(("ticket", f"T-{number}"),),
    )
    return msgspec.structs.replace(trace, **changes)


def record_of(trace: Trace, **changes: Any) -> TraceRecord:
    """What the pipeline would store of a trace."""
    decision = Decision(
        trace.trace_id, "support.answer|r1|quiet", "w1", 7, 0.5, 0.37, False, decided_ns=START
    )
    record = TraceRecord(
        trace.trace_id,
        msgspec.json.encode(trace),
        decision,
        findings=(
            Finding("retrieval_stale", "unrecovered", trace.spans[0].span_id, "a secret finding"),
        ),
        workflow=trace.workflow,
        service=trace.service,
        release=trace.release,
        conversation_id=trace.conversation_id,
        user_id=trace.user_id,
        start_ns=trace.start_ns,
        end_ns=trace.end_ns,
        span_count=len(trace.spans),
        request=trace.request,
        answer=trace.answer,
        keys=trace.keys,
    )
    return msgspec.structs.replace(record, **changes)


def fill(store: Store, traces: Sequence[Trace], *, double_share: float = 0.0) -> None:
    """Store traces and draw all of them for review."""
    store.add_traces([record_of(t) for t in traces])
    for window in store.open_windows(1 << 62):
        arms = {
            c.decision.trace_id: (
                ArmDecision("estimation", window, c.decision.stratum, True, 0.5, reason="chosen"),
            )
            for c in store.window_candidates(window)
        }
        store.save_draw(window, arms, now_ns=START, double_share=double_share)
