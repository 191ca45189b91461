"""Errors that were swallowed: something failed below, and the request was reported a success."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fidelity_otel import semconv
from fidelity_otel.model import Finding, Span
from fidelity_otel.processor.detect.evidence import quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.dialects.values import text

__all__ = ["find"]

_ERRORS = frozenset(
    ("rate_limited", "timeout", "auth", "tool_error", "malformed_arguments", "unknown_tool")
)


def find(
    facts: Facts,
    settings: DetectSettings,  # noqa: ARG001
    findings: Sequence[Finding],
) -> Iterator[Finding]:
    """One finding where an error was neither made up for, nor passed on, nor mentioned.

    Args:
        facts: the trace.
        settings: none is used.
        findings: what the other detectors found.
    """
    if not facts.trace.reported_success:
        return
    open_errors = [f for f in findings if f.mode in _ERRORS and f.state == "unrecovered"]
    if open_errors:
        first = open_errors[0]
        span_id, what = first.span_id, first.evidence.split(";", 1)[0].rstrip(".")
    elif facts.calm or any(f.mode in _ERRORS for f in findings):
        return
    else:
        found = _plain_error(facts)
        if found is None:
            return
        span, message = found
        span_id, what = span.span_id, f"Span {span.name[:60]} failed: {quoted(message)}"
    if not facts.said_so:  # asked last: it reads the answer
        yield _finding(span_id, what)


def _finding(span_id: str, what: str) -> Finding:
    return Finding(
        mode="swallowed_error",
        state="unrecovered",
        span_id=span_id,
        evidence=f"{what}; yet the request was reported a success and the answer is silent on it.",
        noticed=False,
    )


def _plain_error(facts: Facts) -> tuple[Span, str] | None:
    """The first failed span of no GenAI kind that no sibling of its name made up for."""
    suspects: list[tuple[Span, str]] = []
    made_up: dict[tuple[str | None, str], int] = {}
    for span in facts.trace.spans:
        if span.operation in ("", "guardrail") and span.span_id != facts.trace.root_id:
            message = _error(span)
            if message is None:
                made_up[span.parent_id, span.name] = span.start_ns  # spans come in order of start
            elif not _passed_on(facts, span):
                suspects.append((span, message))
    for span, message in suspects:
        if made_up.get((span.parent_id, span.name), -1) < span.start_ns:
            return span, message
    return None


def _error(span: Span) -> str | None:
    if span.status == "error":
        return span.status_message or span.error_type or "error"
    for event in span.events:
        if event.name == semconv.EXCEPTION_EVENT:
            get = event.attributes.get
            return text(get(semconv.EXCEPTION_MESSAGE, get(semconv.EXCEPTION_TYPE))) or "exception"
    return None


def _passed_on(facts: Facts, span: Span) -> bool:
    """Whether the error below shows on a GenAI call above, which has findings of its own."""
    parent = facts.by_id.get(span.parent_id or "")
    return parent is not None and parent.failed and parent.operation != ""
