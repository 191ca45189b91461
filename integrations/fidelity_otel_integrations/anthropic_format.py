"""Anthropic's messages format: request, response, stream of events."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import blob
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations.chat_format import field

__all__ = ["Messages"]

_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_call",
    "refusal": "content_filter",
}


class Messages:
    """How `/v1/messages` is read."""

    operation: Final = "chat"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        return {
            sc.GEN_AI_REQUEST_TEMPERATURE: body.get("temperature"),
            sc.GEN_AI_REQUEST_TOP_P: body.get("top_p"),
            sc.GEN_AI_REQUEST_TOP_K: body.get("top_k"),
            sc.GEN_AI_REQUEST_MAX_TOKENS: body.get("max_tokens"),
            sc.GEN_AI_REQUEST_STOP_SEQUENCES: body.get("stop_sequences"),
            sc.GEN_AI_REQUEST_STREAM: body.get("stream") or None,
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """Messages, tool definitions and system instructions that were sent."""
        system = body.get("system")
        call.input(
            [_message(m) for m in body.get("messages") or []],
            body.get("tools"),
            _parts(system) if system else None,
        )

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        reason = _reason(field(response, "stop_reason"))
        parts = _parts(field(response, "content"))
        message = {"role": "assistant", "parts": parts, "finish_reason": reason}
        call.output(
            response_id=field(response, "id"),
            model=field(response, "model"),
            finish_reasons=[reason] if reason else [],
            messages=[message] if call.wants_content else None,
            usage=_usage(field(response, "usage")),
        )

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's events."""
        return Events()


def _reason(told: Any) -> str:
    return _REASONS.get(str(told), str(told)) if told else ""


def _usage(usage: Any) -> dict[str, int | None] | None:
    """Tokens as the conventions count them: input includes what was cached."""
    if usage is None:
        return None
    read = field(usage, "cache_read_input_tokens")
    written = field(usage, "cache_creation_input_tokens")
    given = field(usage, "input_tokens")
    return {
        "input_tokens": None if given is None else given + (read or 0) + (written or 0),
        "output_tokens": field(usage, "output_tokens"),
        "cache_read.input_tokens": read,
        "cache_write.input_tokens": written,
    }


def _message(message: Any) -> dict[str, Any]:
    return {"role": str(field(message, "role")), "parts": _parts(field(message, "content"))}


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    return [_part(block) for block in content] if isinstance(content, list | tuple) else []


def _part(block: Any) -> dict[str, Any]:
    kind = str(field(block, "type"))
    if kind == "text":
        return {"type": "text", "content": field(block, "text")}
    if kind == "thinking":
        return {"type": "reasoning", "content": field(block, "thinking")}
    if kind == "tool_use":
        return {
            "type": "tool_call",
            "id": field(block, "id"),
            "name": field(block, "name"),
            "arguments": field(block, "input"),
        }
    if kind == "tool_result":
        held = field(block, "content")
        response = {"type": "tool_call_response", "id": field(block, "tool_use_id")}
        if field(block, "is_error"):
            response["is_error"] = True
        return {**response, "response": held if isinstance(held, str) else _parts(held)}
    if kind in {"image", "document"}:
        source = field(block, "source")
        if field(source, "type") == "base64":
            return blob(str(field(source, "data")), kind, str(field(source, "media_type") or ""))
        return {"type": "uri", "modality": kind, "uri": str(field(source, "url") or "")[:512]}
    return {"type": kind, "content": None}


class Events:
    """Puts the events of a streamed message together; content blocks by their index."""

    def __init__(self) -> None:
        self._message: Any = None
        self._reason: Any = None
        self._output_tokens: Any = None
        self._blocks: dict[int, dict[str, Any]] = {}

    def add(self, event: Any) -> None:
        """Take one event in."""
        kind = field(event, "type")
        if kind == "message_start":
            self._message = field(event, "message")
        elif kind == "content_block_start":
            block = field(event, "content_block")
            self._blocks[int(field(event, "index") or 0)] = {
                "type": str(field(block, "type")),
                "id": field(block, "id"),
                "name": field(block, "name"),
                "text": [str(field(block, "text") or field(block, "thinking") or "")],
            }
        elif kind == "content_block_delta":
            kept = self._blocks.get(int(field(event, "index") or 0))
            if kept is not None:
                delta = field(event, "delta")
                names = ("text", "partial_json", "thinking")
                kept["text"].append(next((str(t) for n in names if (t := field(delta, n))), ""))
        elif kind == "message_delta":
            self._reason = field(field(event, "delta"), "stop_reason") or self._reason
            tokens = field(field(event, "usage"), "output_tokens")
            self._output_tokens = tokens if tokens is not None else self._output_tokens

    def write(self, call: ModelCall) -> None:
        """Write what came."""
        usage = _usage(field(self._message, "usage"))
        if usage is not None and self._output_tokens is not None:
            usage["output_tokens"] = self._output_tokens
        reason = _reason(self._reason)
        parts = [_whole(kept) for _, kept in sorted(self._blocks.items())]
        message = {"role": "assistant", "parts": parts, "finish_reason": reason or None}
        call.output(
            response_id=field(self._message, "id"),
            model=field(self._message, "model"),
            finish_reasons=[reason] if reason else [],
            messages=[message] if call.wants_content else None,
            usage=usage,
        )


def _whole(kept: dict[str, Any]) -> dict[str, Any]:
    text: Any = "".join(kept["text"])
    if kept["type"] == "tool_use":
        with contextlib.suppress(ValueError):
            text = json.loads(text or "{}")
        return {"type": "tool_call", "id": kept["id"], "name": kept["name"], "arguments": text}
    kind = "reasoning" if kept["type"] == "thinking" else kept["type"]
    return {"type": kind, "content": text}
