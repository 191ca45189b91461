"""References of outcomes as people type them: trace, span, response or business key."""

from __future__ import annotations

import re

from fidelity_otel.errors import InputError
from fidelity_otel.model import OutcomeRef

__all__ = ["parse_ref", "ref_text"]

_TRACE = re.compile(r"([0-9a-f]{32})(?::([0-9a-f]{16}))?\Z")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\Z")


def parse_ref(text: str) -> OutcomeRef:
    """Read a reference: `TRACE`, `TRACE:SPAN`, a handle, `response:ID` or `key:NAME=VALUE`.

    Raises:
        InputError: it is none of these.
    """
    stripped = text.strip()
    lowered = stripped.lower()
    if match := _TRACE.match(lowered) or _TRACEPARENT.match(lowered):
        return OutcomeRef(trace_id=match[1], span_id=match[2])
    kind, colon, rest = stripped.partition(":")
    if colon and kind == "response" and rest:
        return OutcomeRef(response_id=rest)
    if colon and kind == "key":
        name, equals, value = rest.partition("=")
        if equals and name.strip() and value.strip():
            return OutcomeRef(key_name=name.strip(), key_value=value.strip())
    raise InputError(
        f"reference {text!r} is not known. Mend: give a trace id (32 hex digits), TRACE:SPAN, a "
        "handle from fidelity.handle(), response:ID or key:NAME=VALUE, like key:ticket=T-42."
    )


def ref_text(ref: OutcomeRef) -> str:
    """The reference as `parse_ref` reads it; empty where it names nothing."""
    if ref.trace_id:
        return f"{ref.trace_id}:{ref.span_id}" if ref.span_id else ref.trace_id
    if ref.response_id:
        return f"response:{ref.response_id}"
    return f"key:{ref.key_name}={ref.key_value}" if ref.key_name and ref.key_value else ""
