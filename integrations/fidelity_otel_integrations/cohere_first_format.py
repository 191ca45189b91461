"""Cohere's first chat format: one message and what was said before it; tool calls without ids."""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations.chat_format import field
from fidelity_otel_integrations.cohere_format import Chat, Whole

__all__ = ["FirstChat"]

_ROLES: Final = {"CHATBOT": "assistant", "SYSTEM": "system", "TOOL": "tool", "USER": "user"}


class FirstChat:
    """How `chat` and `chat_stream` of the first version are read."""

    operation: Final = "chat"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        return {**Chat.settings(body), sc.GEN_AI_CONVERSATION_ID: body.get("conversation_id")}

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The messages, tool definitions and results, and the preamble that were sent."""
        messages = [_said(m) for m in body.get("chat_history") or []]
        results = [_result(r) for r in body.get("tool_results") or []]
        messages += [{"role": "tool", "parts": results}] if results else []
        if text := body.get("message"):
            messages.append({"role": "user", "parts": [{"type": "text", "content": text}]})
        preamble = body.get("preamble")
        call.input(
            messages,
            body.get("tools"),
            [{"type": "text", "content": preamble}] if preamble else None,
        )

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        _whole(response).write(call)

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's events."""
        return FirstEvents()


def _said(message: Any) -> dict[str, Any]:
    role = str(field(message, "role"))
    parts: list[dict[str, Any]] = []
    if text := field(message, "message"):
        parts.append({"type": "text", "content": text})
    parts += [_call(c) for c in field(message, "tool_calls") or []]
    parts += [_result(r) for r in field(message, "tool_results") or []]
    return {"role": _ROLES.get(role, role.lower()), "parts": parts}


def _call(call: Any) -> dict[str, Any]:
    arguments = field(call, "parameters")
    return {"type": "tool_call", "name": field(call, "name"), "arguments": arguments}


def _result(result: Any) -> dict[str, Any]:
    name = field(field(result, "call"), "name")
    return {"type": "tool_call_response", "id": name, "response": field(result, "outputs")}


def _whole(response: Any) -> Whole:
    whole = Whole(field(response, "generation_id"))
    whole.text.append(str(field(response, "text") or ""))
    whole.calls = [_call(c) for c in field(response, "tool_calls") or []]
    whole.reason = field(response, "finish_reason")
    if whole.calls and whole.reason == "COMPLETE":
        whole.reason = "TOOL_CALL"  # it says the same of both
    whole.usage = field(response, "meta")
    return whole


class FirstEvents:
    """The whole response that a stream ends with; where it does not, the texts so far."""

    def __init__(self) -> None:
        self._id: Any = None
        self._texts: list[str] = []
        self._response: Any = None

    def add(self, event: Any) -> None:
        """Take one event in."""
        kind = field(event, "event_type")
        if kind == "stream-start":
            self._id = field(event, "generation_id")
        elif kind == "text-generation":
            self._texts.append(str(field(event, "text") or ""))
        elif kind == "stream-end":
            self._response = field(event, "response")

    def write(self, call: ModelCall) -> None:
        """Write what came."""
        if self._response is not None:
            _whole(self._response).write(call)
            return
        whole = Whole(self._id)
        whole.text = self._texts
        whole.write(call)
