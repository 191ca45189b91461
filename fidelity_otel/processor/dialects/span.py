"""One OTLP span read into one canonical span."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

import msgspec

from fidelity_otel import semconv
from fidelity_otel.model import Document, Message, Part, Span, ToolCall, Usage
from fidelity_otel.processor import native
from fidelity_otel.processor.dialects import KNOWN, reading_of
from fidelity_otel.processor.dialects.draft import Draft, Rule, fill
from fidelity_otel.processor.dialects.genai import OPERATIONS
from fidelity_otel.processor.dialects.messages import (
    FINISHES,
    arguments,
    finish_reason,
    flattened,
)
from fidelity_otel.processor.dialects.values import integer, text
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["read_spans"]

_STATUS: Final[dict[int, Literal["unset", "ok", "error"]]] = {1: "ok", 2: "error"}

_RESOURCE: Final = (
    Rule("service", semconv.SERVICE_NAME, text),
    Rule("release", semconv.SERVICE_VERSION, text),
)
_MAKERS: Final = (
    *(Span, Usage, ToolCall, Document),
    (None,) * (len(Span.__struct_fields__) - len(Span.__struct_defaults__))
    + Span.__struct_defaults__,
    *(OPERATIONS, semconv.SERVICE_NAME, semconv.SERVICE_VERSION),
    *(Message, Part, arguments, flattened, finish_reason, msgspec.json.Decoder().decode, FINISHES),
)
"""What the native reader makes spans with."""


def read_spans(given: Iterable[RawSpan]) -> tuple[list[Span], int]:
    """Read spans in whatever dialects they are written.

    Returns:
        The canonical spans, and how many values were recognised but could not be read.
    """
    natively: Callable[..., Span | None] = _declined if native.read is None else native.read.span
    known, makers, unread = KNOWN, _MAKERS, 0
    found: list[Span] = []
    for raw in given:
        span = natively(raw, known, makers)
        if span is None:
            span, count = _read_generally(raw)
            unread += count
        found.append(span)
    return found, unread


def _declined(*_: Any) -> None:
    return None


def _read_generally(raw: RawSpan) -> tuple[Span, int]:
    draft = Draft()
    fields, attributes = draft.fields, raw.attributes
    reading = reading_of(raw)
    for rules, usage, read in reading.steps:
        fill(fields, rules, attributes)
        if usage:
            fill(draft.usage, usage, attributes)
        read(raw, draft)
    fill(fields, reading.general, attributes)
    _read_general(raw, draft)
    if draft.tool.get("name") or fields.get("operation") == "execute_tool":
        fields["tool"] = _tool(raw, draft)
        fields.setdefault("operation", "execute_tool")
    if draft.usage:
        fields["usage"] = Usage(**draft.usage)
    span = Span(
        trace_id=raw.trace_id,
        span_id=raw.span_id,
        name=raw.name,
        parent_id=raw.parent_id,
        start_ns=raw.start_ns,
        end_ns=raw.end_ns,
        status=_STATUS.get(raw.status_code, "unset"),
        losses=draft.losses,
        dialect=reading.dialect,
        scope=raw.scope_name,
        attributes=raw.attributes,
        resource=raw.resource,
        events=raw.events,
        links=raw.links,
        **fields,
    )
    return span, draft.unread


def _read_general(raw: RawSpan, draft: Draft) -> None:
    get = raw.attributes.get
    resends = get(semconv.HTTP_REQUEST_RESEND_COUNT)
    if resends is not None and "attempts" not in draft.fields:
        count = integer(resends)
        draft.put("attempts", count + 1 if count is not None and count > 0 else None)
    message = raw.status_message
    if raw.events and raw.status_code == 2:  # noqa: PLR2004 - 2 is OTLP's error
        for event in raw.events:
            if event.name == semconv.EXCEPTION_EVENT:
                draft.put("error_type", text(event.attributes.get(semconv.EXCEPTION_TYPE)))
                message = message or text(event.attributes.get(semconv.EXCEPTION_MESSAGE)) or ""
    if message:
        draft.put("status_message", message)
    fill(draft.fields, _RESOURCE, raw.resource)


def _tool(raw: RawSpan, draft: Draft) -> ToolCall:
    tool: dict[str, Any] = draft.tool
    failed = raw.status_code == 2 or "error_type" in draft.fields  # noqa: PLR2004
    if failed and "error" not in tool:
        tool["error"] = (
            draft.fields.get("status_message") or draft.fields.get("error_type") or "error"
        )
    tool.setdefault("name", raw.name.removeprefix("execute_tool ") or "tool")
    return ToolCall(**tool)
