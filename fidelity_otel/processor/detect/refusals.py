"""Refusals by the model, and answers that a provider's filter held back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fidelity_otel.model import Finding, Span
from fidelity_otel.processor.detect.evidence import quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.tool_failures import elapsed, ending
from fidelity_otel.processor.detect.words import Hints

__all__ = ["find_filtered", "find_refusal"]

_HEAD: Final = 300
_REFUSED: Final = re.compile(
    r"(?:\bi(?:'m| am) (?:really |very )?sorry,? (?:but )?|\bi apologi[sz]e,? (?:but )?|^|[.!] )"
    r"(?:as an ai(?: language model| assistant)?,? )?"
    r"(?:i(?: can(?:'t|not| not)| won't| will not| must decline| have to decline| refuse| decline"
    r"|(?:'m| am) (?:not able|unable|not allowed|not permitted)) ?(?:to )?"
    r"(?:assist|help|comply|fulfil|answer that|discuss|engage|do that|continue with"
    r"|provide (?:that|this|any|advice|legal|medical|financial)|with (?:that|this)"
    r"|(?:share|support|create|generate) (?:that|this))"
    r"|this (?:request )?(?:violates|goes against|is against)"
    r"|it(?:'s| is) against (?:my|our) (?:guidelines|policy|programming))",
    re.IGNORECASE,
)
_FILTERED: Final = re.compile(
    r"content.?filter|content management policy|responsible ?ai|flagged (?:by|as)"
    r"|safety (?:system|set"
    r"tings|filter)|blocked by|harm_category|guardrail_intervened",
    re.IGNORECASE,
)


_HINTS: Final = Hints("n't", "not", "unable", "declin", "refus", "violat", "against")
"""One of these is in every text that `_REFUSED` finds something in; looking is much cheaper."""


def _refuses(text: str) -> bool:
    head = text[:_HEAD].lower().replace("’", "'")
    return _HINTS.any_in(head) and _REFUSED.search(head) is not None


def find_refusal(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of model calls that declined the task in words."""
    for index, chat in enumerate(facts.chats):
        told = _refusal(chat)
        if told is None:
            continue
        recovery = _answered_later(facts, index)
        yield _finding(
            "refusal",
            chat,
            f"The model refused: {quoted(told)}{ending(recovery, chat.end_ns)}.",
            recovery,
        )
    if not facts.chats and _refuses(facts.answer):
        root = facts.trace.root or facts.trace.spans[0]
        recovery = _handed(facts, root.start_ns)
        yield _finding("refusal", root, f"The answer refuses: {quoted(facts.answer)}.", recovery)


def _refusal(chat: Span) -> str | None:
    for message in chat.output_messages:
        if message.finish_reason == "refusal":
            return message.text or "refusal"
        if "tool_call" in [part.type for part in message.parts]:
            continue
        text = message.text
        if text and _refuses(text):
            return text
    return "refusal" if "refusal" in chat.finish_reasons else None


def find_filtered(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of model calls that a content filter stopped or turned away."""
    for index, chat in enumerate(facts.chats):
        stopped = "content_filter" in chat.finish_reasons
        turned = chat.failed and _FILTERED.search(f"{chat.error_type} {chat.status_message}"[:600])
        if not stopped and not turned:
            continue
        recovery = _answered_later(facts, index)
        said = "The provider's content filter " + (
            "stopped the answer"
            if stopped
            else f"refused the request: {quoted(chat.status_message)}"
        )
        yield _finding("content_filter", chat, f"{said}{ending(recovery, chat.end_ns)}.", recovery)


def _answered_later(facts: Facts, index: int) -> Recovery:
    """A later call that answers makes up for it; in a conversation, only before the user speaks."""
    chat = facts.chats[index]
    for other in facts.chats[index + 1 : index + 9]:
        if other.parent_id != chat.parent_id and other.agent != chat.agent:
            continue
        if other.input_messages and other.input_messages[-1].role == "user" and _said(chat):
            last = other.input_messages[-2:-1]
            if last and last[0].role == "assistant" and last[0].text == _said(chat):
                break  # the refusal reached the user, who answered it
        if not other.failed and _said(other) and _refusal(other) is None:
            model, before = other.model_requested, chat.model_requested
            by = "retry" if model is None or before is None or model == before else "fallback"
            return Recovery("recovered", by, other.end_ns, noticed=True)
    return _handed(facts, chat.start_ns)


def _said(chat: Span) -> str:
    return " ".join(m.text for m in chat.output_messages if m.text)


def _handed(facts: Facts, since_ns: int) -> Recovery:
    """A refusal is an admission by itself, so only a hand-over to a person is an escalation."""
    found = without_success(facts, since_ns)
    if found.state == "escalated" and found.by != "human":
        return Recovery("unrecovered", noticed=True)
    return found


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
