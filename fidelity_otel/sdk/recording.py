"""One open span as our code sees it: bounded, masked writing, errors, losses, the end.

No method raises (they go through the guard), and all are no-ops on a span that is not recorded.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Span, Status, StatusCode

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.capture import to_json
from fidelity_otel.sdk.describe import type_name
from fidelity_otel.sdk.documents import read_documents
from fidelity_otel.sdk.lean import LIMIT, LeanSpan
from fidelity_otel.sdk.messages import from_chat
from fidelity_otel.sdk.reference import Handle

if TYPE_CHECKING:
    from fidelity_otel.sdk.recorder import Recorder

__all__ = ["Recording", "is_cancellation"]

_ENDS: Final = (StopIteration, StopAsyncIteration, GeneratorExit)
_NUMBERS: Final = frozenset({int, float, bool})
_STACK_CHARACTERS: Final = 16_384
_MESSAGE_CHARACTERS: Final = 2_048


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception means: stopped from outside (asyncio, trio, anyio, futures)."""
    return any(k.__name__ in {"CancelledError", "Cancelled"} for k in type(error).__mro__)


class Recording:
    """An open span with its byte budget and the losses stamped so far."""

    __slots__ = (
        "_ended",
        "_failed",
        "_later",
        "_lean",
        "_left",
        "_losses",
        "_plain_text",
        "_recorder",
        "capture",
        "live",
        "span",
    )

    def __init__(
        self, recorder: Recorder, span: Span, capture: bool, *, foreign: bool = False
    ) -> None:
        self._recorder = recorder
        self.span = span
        self.live = span.is_recording()
        # A lean span is cleaned by the thread that sends it; others may be looked at by anyone.
        self._lean = span if type(span) is LeanSpan else None
        self._later = self._lean is not None or (foreign and recorder.cleans_foreign)
        self.capture = capture and self.live
        options = recorder.options
        self._left = options.max_span_bytes
        self._plain_text = options.max_value_bytes >> 2  # so many characters fit in any case
        self._losses: set[str] | None = None
        self._ended = False
        self._failed = False

    # --- writing ---------------------------------------------------------------------------

    def put(self, key: str, value: Any) -> None:
        """Set an attribute that is no content: a number, a flag, a short text, a list of texts."""
        if not self.live or value is None:
            return
        try:
            kind = type(value)
            plain = kind in _NUMBERS or (
                kind is str and self._later and len(value) <= self._plain_text
            )
            lean = self._lean
            if plain and lean is not None and type(key) is str and key:
                # What its `set_attribute` does in the end, for the most frequent call of all.
                held = lean.held
                if key not in held and len(held) < LIMIT and lean.end_time is None:
                    held[key] = value
                    return
            self.span.set_attribute(key, value if plain else self._scalar(key, value))
        except Exception as error:  # noqa: BLE001
            guard.trip("attribute", error)

    def put_json(self, key: str, value: Any) -> None:
        """Write a captured value as JSON text, bounded and masked."""
        if not self.capture:
            return
        try:
            limit = self._recorder.options.max_value_bytes
            text, losses = to_json(value, limit if limit <= self._left else max(self._left, 64))
            if losses:
                for kind in losses:
                    self.lose(kind, key)
            self._write(key, text)
        except Exception as error:  # noqa: BLE001
            self.lose("unserialisable", key)
            guard.trip("capture", error)

    def put_text(self, key: str, text: str) -> None:
        """Write a captured text as it is, bounded and masked."""
        if not self.capture:
            return
        try:
            self._write(key, self._bounded(key, text))
        except Exception as error:  # noqa: BLE001
            self.lose("unserialisable", key)
            guard.trip("capture", error)

    def put_input(self, operation: str, key: str, value: Any) -> None:
        """Write what went in, in the terms of the operation."""
        if not self.capture:
            return
        if operation == "retrieval":
            query = _query(value)
            if query is not None:
                self.put_text(sc.GEN_AI_RETRIEVAL_QUERY_TEXT, query)
                if not isinstance(value, dict) or len(value) == 1:
                    return
        elif operation == "chat":
            messages = value.get("messages") if isinstance(value, dict) else value
            if (read := _guarded(from_chat, messages)) is not None:
                self.put_json(sc.GEN_AI_INPUT_MESSAGES, read)
                return
        self.put_json(key, value)

    def put_output(self, operation: str, key: str, value: Any) -> None:
        """Write what came out, in the terms of the operation."""
        if not self.capture:
            return
        if operation == "retrieval" and (found := _guarded(read_documents, value)) is not None:
            self.put_json(sc.GEN_AI_RETRIEVAL_DOCUMENTS, found)
        elif operation == "chat" and isinstance(value, str):
            message = {"role": "assistant", "parts": [{"type": "text", "content": value}]}
            self.put_json(sc.GEN_AI_OUTPUT_MESSAGES, [message])
        else:
            self.put_json(key, value)

    def lose(self, kind: str, key: str = "") -> None:
        """Stamp a loss: something that the span should hold and does not."""
        if self.live:
            self._losses = self._losses or set()
            self._losses.add(f"{kind}:{key}" if key else kind)

    def event(self, name: str, attributes: dict[str, Any], time_ns: int | None = None) -> None:
        """Add an event with scalar attributes."""
        if self.live:
            try:
                kept = {k: self._scalar(k, v) for k, v in attributes.items() if v is not None}
                self.span.add_event(name, kept, time_ns)
            except Exception as error:  # noqa: BLE001
                guard.trip("event", error)

    # --- how it went -----------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """The work ended with an exception; ends of iteration are no failure."""
        if not self.live or isinstance(error, _ENDS):
            return
        try:
            name = type_name(error)
            cancelled = is_cancellation(error)
            self.span.set_attribute(sc.ERROR_TYPE, name)
            if cancelled:
                self.span.set_attribute(sc.FIDELITY_CANCELLED, True)
            message = self._private(sc.EXCEPTION_MESSAGE, _message(error))
            self.span.set_status(
                Status(StatusCode.ERROR, "cancelled" if cancelled else f"{name}: {message}"[:512])
            )
            self._failed = True
            if not cancelled:
                stack = self._private(sc.EXCEPTION_STACKTRACE, _stack(error))
                self.span.add_event(
                    sc.EXCEPTION_EVENT,
                    {
                        sc.EXCEPTION_TYPE: name,
                        sc.EXCEPTION_MESSAGE: message,
                        sc.EXCEPTION_STACKTRACE: stack,
                    },
                )
        except Exception as own:  # noqa: BLE001
            guard.trip("exception", own)

    def fail_text(self, text: str, kind: str = "error") -> None:
        """The work failed without an exception: say so."""
        if self.live:
            try:
                self.span.set_attribute(sc.ERROR_TYPE, kind)
                self.span.set_status(
                    Status(StatusCode.ERROR, self._private("error", text[:_MESSAGE_CHARACTERS]))
                )
                self._failed = True
            except Exception as own:  # noqa: BLE001
                guard.trip("exception", own)

    @property
    def failed(self) -> bool:
        """Whether an error was written on the span."""
        return self._failed

    @property
    def ended(self) -> bool:
        """Whether the span has ended."""
        return self._ended

    def end(self) -> None:
        """End the span; a second time does nothing."""
        if self._ended:
            return
        self._ended = True
        try:
            self.stamp()
            self.span.end()
        except Exception as error:  # noqa: BLE001
            guard.trip("end", error)

    def stamp(self) -> None:
        """Write the losses so far on the span."""
        if self._losses:
            self.span.set_attribute(sc.FIDELITY_LOSSES, sorted(self._losses))

    def unawaited(self) -> None:
        """A coroutine was let go of: where nobody awaited it, its span ends here."""
        if not self._ended:
            self.lose("never_awaited")
            self.end()

    def handle(self) -> Handle:
        """A portable reference to this span."""
        context = self.span.get_span_context()
        return Handle.of(context.trace_id, context.span_id, context.trace_flags)

    # --- inside ----------------------------------------------------------------------------

    def _write(self, key: str, text: str) -> None:
        kept = text if self._later else self._private(key, text)
        size = len(kept) if kept.isascii() else len(kept.encode("utf-8", "replace"))
        if size > self._left:
            self.lose("truncated", key)
            return
        self._left -= size
        self.span.set_attribute(key, kept)

    def _private(self, key: str, text: str) -> str:
        if self._later:
            return text
        kept = self._recorder.private(key, text)
        if kept is not text and kept != text:
            self.lose("masked", key)
        return kept

    def _bounded(self, key: str, text: str) -> str:
        limit = max(min(self._recorder.options.max_value_bytes, self._left), 8)
        if len(text) * 4 <= limit:
            return text
        data = text[:limit].encode("utf-8", "replace")
        if len(data) <= limit and len(text) <= limit:
            return data.decode()
        self.lose("truncated", key)
        return data[: limit - 3].decode("utf-8", "ignore") + "…"

    def _scalar(self, key: str, value: Any) -> Any:
        if type(value) in _NUMBERS:
            return value
        if isinstance(value, str):
            return self._private(key, self._bounded(key, value))
        if isinstance(value, Sequence) and all(type(v) is str for v in value):
            return [self._private(key, self._bounded(key, v)) for v in value]
        text, losses = to_json(value, self._recorder.options.max_value_bytes)
        for loss in losses:
            self.lose(loss, key)
        return self._private(key, text)


def _query(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for name in ("query", "question", "q", "text", "search"):
            if isinstance(value.get(name), str):
                return str(value[name])
        return next((v for v in value.values() if isinstance(v, str)), None)
    return None


def _guarded(read: Any, value: Any) -> Any:
    try:
        return read(value)
    except Exception as error:  # noqa: BLE001
        guard.trip("capture", error)
        return None


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_MESSAGE_CHARACTERS]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may do anything
        return "(its text cannot be read)"


def _stack(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-32)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return ""
    return "".join(lines)[-_STACK_CHARACTERS:]
