"""OpenAI's responses format: request, response, stream of events."""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import from_chat, part_of, tool_call
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations.chat_format import field

__all__ = ["Responses"]

_REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}


class Responses:
    """How `/responses` is read."""

    operation: Final = "chat"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        form = body.get("text")
        kind = field(form.get("format"), "type") if isinstance(form, dict) else None
        conversation = body.get("conversation")
        return {
            sc.GEN_AI_REQUEST_TEMPERATURE: body.get("temperature"),
            sc.GEN_AI_REQUEST_TOP_P: body.get("top_p"),
            sc.GEN_AI_REQUEST_MAX_TOKENS: body.get("max_output_tokens"),
            sc.GEN_AI_REQUEST_STREAM: body.get("stream") or None,
            sc.GEN_AI_OUTPUT_TYPE: "json" if str(kind).startswith("json") else kind,
            sc.GEN_AI_CONVERSATION_ID: conversation
            if isinstance(conversation, str)
            else field(conversation, "id"),
            "gen_ai.request.previous_response.id": body.get("previous_response_id"),
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """Input items, tool definitions and instructions that were sent."""
        system = body.get("instructions")
        call.input(
            _input(body.get("input")),
            body.get("tools"),
            [{"type": "text", "content": system}] if isinstance(system, str) else None,
        )

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        items = field(response, "output") or []
        parts = [part for item in items for part in _output(item)]
        reason = _reason(response, items)
        usage = field(response, "usage")
        message = {"role": "assistant", "parts": parts, "finish_reason": reason}
        call.output(
            response_id=field(response, "id"),
            model=field(response, "model"),
            finish_reasons=[reason] if reason else [],
            messages=[message] if call.wants_content else None,
            usage=None
            if usage is None
            else {
                "input_tokens": field(usage, "input_tokens"),
                "output_tokens": field(usage, "output_tokens"),
                "cache_read.input_tokens": field(
                    field(usage, "input_tokens_details"), "cached_tokens"
                ),
                "reasoning.output_tokens": field(
                    field(usage, "output_tokens_details"), "reasoning_tokens"
                ),
            },
        )
        error = field(response, "error")
        if error is not None:
            text = str(field(error, "message") or error)
            call.recording.fail_text(text, str(field(error, "code") or "error"))

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's events."""
        return Events()


def _input(given: Any) -> list[dict[str, Any]] | None:
    if isinstance(given, str):
        return [{"role": "user", "parts": [{"type": "text", "content": given}]}]
    if not isinstance(given, list):
        return None
    return [message for item in given for message in _item(item)]


def _item(item: Any) -> list[dict[str, Any]]:
    kind = field(item, "type")
    if kind == "function_call":
        return [{"role": "assistant", "parts": [_call(item)]}]
    if kind == "function_call_output":
        response = {
            "type": "tool_call_response",
            "id": field(item, "call_id"),
            "response": field(item, "output"),
        }
        return [{"role": "tool", "parts": [response]}]
    return from_chat([item]) or []


def _output(item: Any) -> list[dict[str, Any]]:
    kind = field(item, "type")
    if kind == "message":
        return [part_of(p) for p in field(item, "content") or []]
    if kind in {"function_call", "custom_tool_call"}:
        return [_call(item)]
    if kind == "reasoning":
        texts = [str(field(s, "text") or "") for s in field(item, "summary") or []]
        return [{"type": "reasoning", "content": "\n".join(texts)}] if texts else []
    return [{"type": "server_tool_call", "id": field(item, "id"), "name": kind}]


def _call(item: Any) -> dict[str, Any]:
    return tool_call(
        {
            "id": field(item, "call_id") or field(item, "id"),
            "name": field(item, "name"),
            "arguments": field(item, "arguments") or field(item, "input"),
        }
    )


def _reason(response: Any, items: Any) -> str:
    status = field(response, "status")
    if status == "incomplete":
        told = str(field(field(response, "incomplete_details"), "reason") or "")
        return _REASONS.get(told, told or "length")
    if status in {"failed", "cancelled"}:
        return "error"
    if any(field(i, "type") in {"function_call", "custom_tool_call"} for i in items):
        return "tool_call"
    return "stop" if status == "completed" else ""


class Events:
    """The last whole response that a stream of events held; the texts so far where none came."""

    def __init__(self) -> None:
        self._response: Any = None
        self._texts: list[str] = []
        self._whole = False

    def add(self, event: Any) -> None:
        """Take one event in."""
        told = field(event, "type")
        kind = str(getattr(told, "value", told) or "")
        if kind == "response.output_text.delta":
            self._texts.append(str(field(event, "delta") or ""))
        held = field(event, "response")
        if held is not None:
            self._response = held
            self._whole = kind in {"response.completed", "response.incomplete", "response.failed"}

    def write(self, call: ModelCall) -> None:
        """Write what came."""
        if self._whole:
            Responses.write_output(call, self._response)
            return
        part = {"type": "text", "content": "".join(self._texts)}
        call.output(
            response_id=field(self._response, "id"),
            model=field(self._response, "model"),
            messages=[{"role": "assistant", "parts": [part]}] if call.wants_content else None,
        )
