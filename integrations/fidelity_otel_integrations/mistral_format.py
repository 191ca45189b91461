"""Mistral's formats: chat much like OpenAI's, with content in parts; fim; embeddings."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import from_chat
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations import embeddings_format
from fidelity_otel_integrations.chat_format import Chat as OpenAIChat
from fidelity_otel_integrations.chat_format import Chunks as OpenAIChunks
from fidelity_otel_integrations.chat_format import field

__all__ = ["Chat", "Embeddings", "Fim"]

_NO_ID: Final = "null"  # what the client puts where the server gave none


class Chat:
    """How `chat` and `agents` are read."""

    operation: ClassVar[str] = "chat"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        form = field(body.get("response_format"), "type")
        plain = {k: v for k, v in body.items() if k != "response_format"}
        return {
            **OpenAIChat.settings(plain),
            sc.GEN_AI_REQUEST_TOP_K: body.get("top_k"),
            sc.GEN_AI_REQUEST_SEED: body.get("random_seed"),
            sc.GEN_AI_OUTPUT_TYPE: "json" if str(form).startswith("json") else None,
            "gen_ai.agent.id": body.get("agent_id"),
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The messages and tool definitions that were sent; an iterator is not consumed."""
        tools = body.get("tools")
        call.input(
            from_chat(body.get("messages")), tools if isinstance(tools, list | tuple) else None
        )

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        choices = [
            {
                "finish_reason": _reason(field(c, "finish_reason")),
                "message": _plain(field(c, "message")),
            }
            for c in field(response, "choices") or []
        ]
        whole = {name: field(response, name) for name in ("id", "model", "usage")}
        OpenAIChat.write_output(call, {**whole, "choices": choices})

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's events."""
        return Chunks()


class Fim(Chat):
    """How `fim` is read: the code before and after what is to be filled in."""

    operation: ClassVar[str] = "text_completion"

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """Prompt and suffix."""
        texts = [t for t in (body.get("prompt"), body.get("suffix")) if isinstance(t, str)]
        parts = [{"type": "text", "content": text} for text in texts]
        call.input([{"role": "user", "parts": parts}])


class Embeddings(embeddings_format.Embeddings):
    """How `embeddings` is read: the texts, never the vectors."""

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        return {"gen_ai.embeddings.dimension.count": body.get("output_dimension")}

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The texts."""
        call.recording.put_json(sc.FIDELITY_INPUT, body.get("inputs"))


def _reason(told: Any) -> str | None:
    return "length" if told == "model_length" else str(told) if told else None


def _plain(message: Any) -> dict[str, Any]:
    """A message as OpenAI would write it: text and reasoning apart, arguments as text."""
    text, reasoning = _texts(field(message, "content"))
    calls = field(message, "tool_calls")
    return {
        "content": text,
        "reasoning_content": reasoning,
        "tool_calls": [_call(c) for c in calls] if isinstance(calls, list | tuple) else [],
    }


def _texts(content: Any) -> tuple[str, str]:
    if isinstance(content, str):
        return content, ""
    text: list[str] = []
    reasoning: list[str] = []
    for part in content if isinstance(content, list | tuple) else ():
        if field(part, "type") == "thinking":
            reasoning.append(_texts(field(part, "thinking"))[0])
        else:
            text.append(str(field(part, "text") or ""))
    return "".join(text), "".join(reasoning)


def _call(call: Any) -> dict[str, Any]:
    function, told = field(call, "function"), field(call, "id")
    arguments = field(function, "arguments")
    return {
        "index": field(call, "index"),
        "id": None if told == _NO_ID else told,
        "function": {
            "name": field(function, "name"),
            "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
        },
    }


class Chunks:
    """Puts the events of a stream together."""

    def __init__(self) -> None:
        self._inner = OpenAIChunks()

    def add(self, chunk: Any) -> None:
        """Take one event in."""
        data = field(chunk, "data")
        choices = [
            {
                "index": field(c, "index"),
                "finish_reason": _reason(field(c, "finish_reason")),
                "delta": _plain(field(c, "delta")),
            }
            for c in field(data, "choices") or []
        ]
        whole = {name: field(data, name) for name in ("id", "model", "usage")}
        self._inner.add({**whole, "choices": choices})

    def write(self, call: ModelCall) -> None:
        """Write the whole response on the call."""
        self._inner.write(call)
