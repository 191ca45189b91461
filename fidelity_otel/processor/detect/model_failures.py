"""Model and retrieval calls that fail, and attempts that a client retried by itself."""

from __future__ import annotations

from collections.abc import Iterator

from fidelity_otel import semconv
from fidelity_otel.model import Event, Finding, Span
from fidelity_otel.processor.detect.evidence import plural, quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.failure import classify, kind_of_status
from fidelity_otel.processor.detect.recovery import Recovery, of_chat, of_retrieval, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.tool_failures import elapsed, ending
from fidelity_otel.processor.dialects.values import integer, text

__all__ = ["find"]

_CALLS = ("chat", "embeddings", "rerank")
_NOUN = {
    "chat": "The model call",
    "embeddings": "The embedding call",
    "rerank": "The rerank call",
    "retrieval": "The retrieval",
    "execute_tool": "The tool call",
}
_SAID = {
    "rate_limited": "was rate limited",
    "timeout": "timed out",
    "auth": "was refused access",
    "malformed_arguments": "was refused as invalid",
}


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of failed calls that are not tools, and of failed attempts inside any call."""
    if facts.calm:
        return
    failed_retrievals = {s.span_id: s for s in facts.retrievals if s.failure is not None}
    for span in facts.trace.spans:
        if span.attempt is not None and span.parent_id in facts.attempts:
            continue
        attempts = _attempts(facts, span)
        if span.failed and span.operation in _CALLS:
            yield _failed(span, attempts, of_chat(facts, span))
        elif span.span_id in failed_retrievals:
            step = failed_retrievals[span.span_id]
            yield _failed(span, attempts, of_retrieval(facts, step))
        elif attempts and not (span.failed and span.operation == "execute_tool"):
            yield from _retried(facts, span, attempts)


class _Attempt:
    """A failed attempt, from an event or from a span of its own."""

    __slots__ = ("end_ns", "message", "mode", "span_id")

    def __init__(self, mode: str, message: str, end_ns: int, span_id: str) -> None:
        self.mode, self.message, self.end_ns, self.span_id = mode, message, end_ns, span_id


def _attempts(facts: Facts, span: Span) -> list[_Attempt]:
    found = [
        _of_event(event, span)
        for event in span.events
        if event.name == semconv.FIDELITY_ATTEMPT_EVENT
    ]
    for other in facts.attempts.get(span.span_id, ()):
        if other.failed:
            message = other.status_message or other.error_type or "error"
            mode = _mode(
                other.attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE), other.error_type, message
            )
            found.append(_Attempt(mode, message, other.end_ns, other.span_id))
    return found


def _of_event(event: Event, span: Span) -> _Attempt:
    get = event.attributes.get
    status = get(semconv.HTTP_RESPONSE_STATUS_CODE)
    kind = text(get(semconv.ERROR_TYPE, get(semconv.EXCEPTION_TYPE)))
    message = text(get(semconv.EXCEPTION_MESSAGE, get("error.message"))) or kind
    message = message or (f"HTTP {integer(status)}" if integer(status) else "the attempt failed")
    return _Attempt(_mode(status, kind, message), message, event.time_ns, span.span_id)


def _mode(status: object, kind: str | None, message: str) -> str:
    found = kind_of_status(status) or kind_of_status(kind)
    if found is None or found == "tool_error":
        found = classify(f"{kind or ''}: {message}")
    return found if found in _SAID else "tool_error"


def _failed(span: Span, attempts: list[_Attempt], recovery: Recovery) -> Finding:
    message = span.status_message or span.error_type or "error"
    status = span.attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    mode = _mode(status, span.error_type, message)
    count = max(span.attempts or 1, len(attempts))
    tried = f" after {plural(count, 'attempt')}" if count > 1 else ""
    told = f"{tried}: {quoted(message)}"
    return _finding(span, mode, told, recovery, since_ns=span.end_ns, ids=(span.span_id,))


def _retried(facts: Facts, span: Span, attempts: list[_Attempt]) -> Iterator[Finding]:
    """One finding a mode for the failed attempts of a call that went on to succeed, or gave up."""
    by_mode: dict[str, list[_Attempt]] = {}
    for attempt in attempts:
        by_mode.setdefault(attempt.mode, []).append(attempt)
    for mode, group in by_mode.items():
        if span.failed or span.recovery == "abandoned":
            recovery = without_success(facts, span.start_ns)
        else:
            by = "fallback" if span.recovery == "fallback" else "retry"
            recovery = Recovery("recovered", by, span.end_ns, noticed=True)
        tried = f" in {plural(len(group), 'attempt')}: {quoted(group[-1].message)}"
        ids = tuple(dict.fromkeys((span.span_id, *(a.span_id for a in group))))
        since_ns = group[0].end_ns or span.start_ns
        yield _finding(span, mode, tried, recovery, since_ns=since_ns, ids=ids)


def _finding(
    span: Span, mode: str, told: str, recovery: Recovery, *, since_ns: int, ids: tuple[str, ...]
) -> Finding:
    noun = _NOUN.get(span.operation, f"Span {span.name[:60]}")
    if span.tool is not None:
        noun = f"Tool {span.tool.name}"
    said = _SAID.get(mode, "failed")
    return Finding(
        mode=mode,
        state=recovery.state,
        span_id=span.span_id,
        evidence=f"{noun} {said}{told}{ending(recovery, since_ns)}.",
        span_ids=ids,
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=elapsed(recovery, since_ns),
    )
