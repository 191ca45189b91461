"""One step of a system's work: a tool's execution or a retrieval, wherever it was recorded."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from fidelity_otel.model import Document, Span
from fidelity_otel.processor.dialects.values import compact

__all__ = ["Step", "canonical"]

_LONGEST_KEY: Final = 4000
_LONGEST_NAME: Final = 100
_encode = msgspec.json.Encoder(order="sorted").encode


def canonical(value: Any) -> str:
    """A call's arguments as one text in which neither the order of keys nor spacing matters."""
    if value is None or value in ("", {}):
        return "{}"
    if type(value) is str:
        return " ".join(value[:_LONGEST_KEY].split())
    try:
        return _encode(value).decode()[:_LONGEST_KEY]
    except (TypeError, ValueError, OverflowError, RecursionError):
        return compact(value, _LONGEST_KEY)


def _tidy(name: str) -> str:
    return " ".join(name[:_LONGEST_NAME].split()) or "tool"


class Step:
    """A tool call or retrieval in order of time.

    `failure` is the mode of its failure ("rate_limited", …) or None where it went well, `message`
    what the failure says. `key` identifies calls with equal arguments. `asked_only`: the call shows
    only in what a model said, and no result of it is known.
    """

    __slots__ = (
        "arguments",
        "arguments_text",
        "asked_only",
        "attempts",
        "call_id",
        "documents",
        "end_ns",
        "failure",
        "index",
        "key",
        "message",
        "name",
        "result",
        "span",
        "span_id",
        "start_ns",
    )

    def __init__(
        self,
        *,
        index: int,
        name: str,
        arguments: Any,
        result: Any,
        span: Span,
        call_id: str | None = None,
        arguments_text: str | None = None,
        documents: tuple[Document, ...] | None = None,
    ) -> None:
        self.index = index
        self.name = name if len(name) <= _LONGEST_NAME and name.isprintable() else _tidy(name)
        self.arguments = arguments
        self.arguments_text = arguments_text
        self.key = canonical(arguments_text if arguments_text is not None else arguments)
        self.result = result
        self.documents = documents
        self.span = span
        self.span_id = span.span_id
        self.start_ns = span.start_ns
        self.end_ns = span.end_ns
        self.call_id = call_id
        self.attempts: int = span.attempts or 1
        self.failure: str | None = None
        self.asked_only = False
        self.message = ""
