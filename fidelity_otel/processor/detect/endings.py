"""Work that ends too soon: pending steps, budgets used up, callers that left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fidelity_otel import semconv
from fidelity_otel.model import Finding, Span
from fidelity_otel.processor.detect.evidence import duration, plural, quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.words import Hints

__all__ = ["find_abandoned", "find_budget", "find_premature"]

_ANNOUNCED: Final = re.compile(
    r"(?:\b(?:let me|i(?:'ll| will)(?: now| first| quickly)?|i(?:'m| am) going to|allow me to)"
    r" (?:just )?(?:check|look|search|find|verify|retrieve|fetch|review|pull|get|see"
    r"|analy[sz]e|calcul"
    r"ate|run|start|begin|proceed)\b[^.!?]*[.!…:]*|(?:one moment|just a moment"
    r"|please hold|hold on|pleas"
    r"e wait|bear with me|give me a (?:moment|second))[^.!?]*[.!…]*)\s*\Z",
    re.IGNORECASE,
)
_HINTS: Final = Hints(
    *("let me", "i'll", "i will", "going to", "allow me", "moment", "hold", "wait"),
    *("bear with", "second"),
)
"""One of these is in every tail that `_ANNOUNCED` finds something in; looking is much cheaper."""
_TAIL: Final = 240
_WAITS: Final = re.compile(
    r"\b(?:confirm|let me know|once you|if you|when you|after you|please (?:provide"
    r"|share|reply|send))\b",
    re.IGNORECASE,
)
_LIMITED: Final = re.compile(
    r"recursion.?limit|max(?:imum)?.{0,12}(?:iteration|turn|step|round|recursion)s?"
    r"|(?:iteration|turn|ste"
    r"p|tool.?call|request|token|cost|budget|usage).?limit.{0,30}(?:reached|exceed"
    r"|hit|stopp)|stopped due"
    r" to.{0,20}limit|(?:exceeded?|over).{0,20}budget|budget.{0,20}(?:exceeded|exhausted)"
    r"|usagelimitexceeded|maxturnsexceeded|graphrecursionerror",
    re.IGNORECASE,
)
_LIMIT_HINTS: Final = Hints("limit", "max", "budget", "graphrecursionerror")
"""One of these is in every ASCII text that `_LIMITED` finds something in."""
_CANCELLED: Final = re.compile(
    r"cancell?ed|generatorexit|client ?disconnect|brokenpipe|connection reset by peer|aborterror"
    r"|\b499\b",
    re.IGNORECASE,
)
_CANCEL_HINTS: Final = Hints(
    *("cancel", "generatorexit", "disconnect", "brokenpipe", "reset by peer", "aborterror", "499")
)
"""One of these is in every ASCII text that `_CANCELLED` finds something in."""


def find_premature(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of work that was announced or asked for, and never done."""
    pending = _pending(facts)
    if pending is not None:
        chat, names = pending
        recovery = without_success(facts, chat.start_ns)
        yield _finding(
            "premature_stop",
            chat,
            f"The last thing the model asked for was never done: tool {', '.join(names[:3])}.",
            recovery,
        )
    elif facts.answer and not facts.handovers and _announces(facts.answer):
        span = facts.answering or facts.trace.spans[0]
        yield _finding(
            "premature_stop",
            span,
            f"The answer announces a step and ends: {quoted(facts.answer[-_TAIL:][-80:])}.",
            Recovery("unrecovered", noticed=False),
        )


def _announces(answer: str) -> bool:
    tail = answer[-_TAIL:]
    if "?" in tail or not _HINTS.any_in(tail.lower()):
        return False
    return _ANNOUNCED.search(tail) is not None and _WAITS.search(tail) is None


def _pending(facts: Facts) -> tuple[Span, list[str]] | None:
    """The last model call and the tools it asked for, where none of them was run."""
    if not facts.chats:
        return None
    last = facts.chats[-1]
    calls = [p for m in last.output_messages for p in m.parts if p.type == "tool_call"]
    if not calls or last.failed or any(m.text for m in last.output_messages):
        return None
    if any(not s.asked_only and s.start_ns >= last.start_ns for s in facts.steps):
        return None
    if not facts.has_tool_spans and facts.answer:
        return None  # a tool that ends the run ("final answer") leaves no span
    return last, [c.name or "tool" for c in calls]


def find_budget(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:
    """Findings of limits that were hit: those that the system names, and those that were set."""
    for span in () if facts.calm else facts.trace.spans:
        if span.operation in ("invoke_agent", "invoke_workflow", "") and span.failed:
            told = f"{span.error_type or ''} {span.status_message}"[:600]
            if _limited(told):
                recovery = without_success(facts, span.start_ns)
                yield _finding(
                    "budget_exceeded",
                    span,
                    f"{quoted(span.name, 40)} hit a limit: {quoted(span.status_message or told)}.",
                    recovery,
                )
                return
    if facts.answer and len(facts.answer) < _TAIL and _limited(facts.answer):
        span = facts.answering or facts.trace.spans[0]
        told = f"The answer is that a limit was hit: {quoted(facts.answer)}."
        yield _finding("budget_exceeded", span, told, Recovery("unrecovered", noticed=True))
        return
    yield from _beyond(facts, settings)


def _limited(text: str) -> bool:
    return _says(_LIMITED, _LIMIT_HINTS, text)


def _says(pattern: re.Pattern[str], hints: Hints, text: str) -> bool:
    # Beyond ASCII there are letters that a pattern takes for others, as it ignores case.
    if text.isascii() and not hints.any_in(text.lower()):
        return False
    return pattern.search(text) is not None


def _beyond(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:
    if not (settings.max_seconds or settings.max_tokens or settings.max_cost_usd):
        return
    trace = facts.trace
    taken = trace.end_ns - trace.start_ns
    spent = sum(
        (s.usage.input_tokens or 0) + (s.usage.output_tokens or 0) for s in trace.spans if s.usage
    )
    cost = sum(s.usage.cost_usd or 0.0 for s in trace.spans if s.usage)
    over: list[str] = []
    if settings.max_seconds and taken > settings.max_seconds * 1e9:
        over.append(f"took {duration(taken)} of {settings.max_seconds:g} s allowed")
    if settings.max_tokens and spent > settings.max_tokens:
        over.append(f"used {plural(spent, 'token')} of {settings.max_tokens} allowed")
    if settings.max_cost_usd and cost > settings.max_cost_usd:
        over.append(f"cost ${cost:.4f} of ${settings.max_cost_usd:g} allowed")
    if over:
        span = trace.root or trace.spans[0]
        recovery = without_success(facts, trace.start_ns)
        yield _finding("budget_exceeded", span, f"The request {' and '.join(over)}.", recovery)


def find_abandoned(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of work whose caller left: cancelled, or a stream that nobody read to its end."""
    calm, root_id = facts.calm, facts.trace.root_id
    cancelled, complete = semconv.FIDELITY_CANCELLED, semconv.FIDELITY_STREAM_COMPLETE
    for span in facts.trace.spans:
        if span.operation == "" and span.span_id != root_id:
            continue
        if calm and cancelled not in span.attributes and complete not in span.attributes:
            continue
        why = _left(span)
        if why is None:
            continue
        root = facts.trace.root
        answered = root is not None and root is not span and not root.failed and bool(facts.answer)
        recovery = (
            Recovery("recovered", None, root.end_ns)
            if answered and root
            else Recovery("unrecovered")
        )
        yield _finding("abandoned", span, f"{quoted(span.name, 40)} {why}.", recovery)
        return


def _left(span: Span) -> str | None:
    get = span.attributes.get
    if get(semconv.FIDELITY_CANCELLED) is True:
        return "was cancelled before it had finished"
    if get(semconv.FIDELITY_STREAM_COMPLETE) is False:
        return "was a stream that its reader left before the end"
    if not span.failed:
        return None
    told = f"{span.error_type or ''} {span.status_message}"[:300]
    return (
        "was cancelled before it had finished" if _says(_CANCELLED, _CANCEL_HINTS, told) else None
    )


def _finding(mode: str, span: Span, evidence: str, recovery: Recovery) -> Finding:
    return Finding(
        mode=mode,
        state=recovery.state,
        span_id=span.span_id,
        evidence=evidence,
        recovered_by=recovery.by,
        noticed=recovery.noticed,
    )
