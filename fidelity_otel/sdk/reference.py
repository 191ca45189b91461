"""References to a trace that survive a database, a queue or a month: strings.

A handle is a W3C `traceparent` text, so that any tracing tool can read it too.
"""

from __future__ import annotations

import re
from typing import Final

from fidelity_otel.model import OutcomeRef

__all__ = ["Handle", "parse_reference"]

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\Z")
_TRACE: Final = re.compile(r"([0-9a-f]{32})(?::([0-9a-f]{16}))?\Z")
_PAIR: Final = 2


class Handle(str):
    """A reference to a trace and the span in it; a plain string to everything else.

    Empty (and false) where there was no span to refer to.
    """

    __slots__ = ()

    @classmethod
    def of(cls, trace_id: int, span_id: int, flags: int) -> Handle:
        """The handle of a span, from its ids as integers."""
        return cls(f"00-{trace_id:032x}-{span_id:016x}-{flags & 0xFF:02x}") if trace_id else cls()

    @property
    def trace_id(self) -> str:
        """The trace id in lower-case hex; empty on an empty handle."""
        return self[3:35]

    @property
    def span_id(self) -> str:
        """The span id in lower-case hex; empty on an empty handle."""
        return self[36:52]


def parse_reference(reference: object) -> OutcomeRef | None:
    """Read what an outcome is about.

    Args:
        reference: a handle or its text, a trace id (32 hex digits) with or without `:span id`, a
            business key as a pair `(name, value)` or as the text `key:name=value`, or else a
            provider's response id, with or without `response:` before it.

    Returns:
        The reference, or None where it says nothing (empty text, wrong type).
    """
    if isinstance(reference, OutcomeRef):
        return reference
    if isinstance(reference, tuple | list):
        if len(reference) != _PAIR or not str(reference[0]):
            return None
        return OutcomeRef(key_name=str(reference[0]), key_value=str(reference[1]))
    if not isinstance(reference, str) or not (text := reference.strip()):
        return None
    if match := _TRACEPARENT.match(text.lower()) or _TRACE.match(text.lower()):
        return OutcomeRef(trace_id=match[1], span_id=match[2])
    if text.startswith("key:"):
        name, _, value = (part.strip() for part in text[4:].partition("="))
        return OutcomeRef(key_name=name, key_value=value) if name and value else None
    text = text.removeprefix("response:")
    return OutcomeRef(response_id=text) if text else None
