"""Answers that are empty, or cut off."""

from __future__ import annotations

from collections.abc import Iterator

from fidelity_otel.model import Finding, Span
from fidelity_otel.processor.detect.evidence import plural, quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.tool_failures import elapsed, ending

__all__ = ["find_empty", "find_truncated"]


def find_empty(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of model calls that said nothing and called nothing, and of an empty answer."""
    reported = False
    for index, chat in enumerate(facts.chats):
        if not _said_nothing(chat) or chat.failed:
            continue
        reported = True
        if _held_back(chat):
            continue
        recovery = _later(facts, index)
        tokens = chat.usage.output_tokens if chat.usage else None
        thought = f" after {plural(tokens, 'output token')}" if tokens else ""
        yield _finding(
            "empty_output",
            chat,
            f"The model returned no text and no tool call{thought}{ending(recovery, chat.end_ns)}.",
            recovery,
        )
    top = facts.trace.root
    if (
        not reported
        and top is not None
        and not facts.answer
        and not top.failed
        and top.output in ("", [], {})
        and top.output is not None
    ):
        recovery = without_success(facts, top.start_ns)
        yield _finding("empty_output", top, "The request returned an empty answer.", recovery)


def _said_nothing(chat: Span) -> bool:
    if not chat.output_messages:
        return chat.usage is not None and chat.usage.output_tokens == 0
    for message in chat.output_messages:
        for part in message.parts:
            if part.type == "text":
                if part.content and not part.content.isspace():
                    return False
            elif part.type != "reasoning":
                return False
    return True


def _cut(chat: Span) -> bool:
    return "length" in chat.finish_reasons


def _held_back(chat: Span) -> bool:
    """Whether another mode says already why nothing came."""
    return _cut(chat) or "content_filter" in chat.finish_reasons or "refusal" in chat.finish_reasons


def find_truncated(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of model calls that stopped at their token limit."""
    for index, chat in enumerate(facts.chats):
        if not _cut(chat):
            continue
        recovery = _later(facts, index)
        text = " ".join(m.text for m in chat.output_messages)
        told = f" at {quoted(text[-60:], 60)}" if text.strip() else ""
        if chat.output_messages and _said_nothing(chat):
            told = " before it had said anything"
        tokens = chat.usage.output_tokens if chat.usage else None
        limit = f" after {plural(tokens, 'output token')}" if tokens else ""
        yield _finding(
            "truncated",
            chat,
            f"The model stopped at its token limit{limit}{told}{ending(recovery, chat.end_ns)}.",
            recovery,
        )


def _later(facts: Facts, index: int) -> Recovery:
    """A later whole answer beside the call makes up for it."""
    chat = facts.chats[index]
    for other in facts.chats[index + 1 : index + 9]:
        if other.parent_id != chat.parent_id and other.agent != chat.agent:
            continue
        if not other.failed and not _cut(other) and not _said_nothing(other):
            model, before = other.model_requested, chat.model_requested
            by = "retry" if model is None or before is None or model == before else "fallback"
            return Recovery("recovered", by, other.end_ns, noticed=True)
    return without_success(facts, chat.start_ns)


def _finding(mode: str, span: Span, evidence: str, recovery: Recovery) -> Finding:
    return Finding(
        mode=mode,
        state=recovery.state,
        span_id=span.span_id,
        evidence=evidence,
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=elapsed(recovery, span.end_ns),
    )
