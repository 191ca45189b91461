"""Bedrock's one format for all models: converse and converse_stream."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import blob
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader

__all__ = ["Converse"]

_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_call",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


class Converse:
    """How both operations are read."""

    operation: Final = "chat"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        held = body.get("inferenceConfig") or {}
        more = body.get("additionalModelRequestFields")
        return {
            sc.GEN_AI_REQUEST_TEMPERATURE: held.get("temperature"),
            sc.GEN_AI_REQUEST_TOP_P: held.get("topP"),
            sc.GEN_AI_REQUEST_TOP_K: more.get("top_k") if isinstance(more, dict) else None,
            sc.GEN_AI_REQUEST_MAX_TOKENS: held.get("maxTokens"),
            sc.GEN_AI_REQUEST_STOP_SEQUENCES: held.get("stopSequences"),
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """Messages, tool definitions and system instructions that were sent."""
        tools = [_tool(t) for t in (body.get("toolConfig") or {}).get("tools") or []]
        call.input(
            [
                {"role": str(m.get("role")), "parts": _parts(m.get("content"))}
                for m in body.get("messages") or []
            ],
            tools,
            _parts(body.get("system")),
        )

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        message = (response.get("output") or {}).get("message") or {}
        _write(
            call,
            _parts(message.get("content")),
            response.get("stopReason"),
            response.get("usage"),
            _routed(response),
        )
        name(call, response)

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's events."""
        return Events()


def name(call: ModelCall, response: Any) -> None:
    """The id of the request is the only one that there is."""
    identity = (response.get("ResponseMetadata") or {}).get("RequestId")
    call.recording.put(sc.GEN_AI_RESPONSE_ID, identity)


def _routed(held: Any) -> Any:
    """The model that a prompt router chose; else the service does not say which answered."""
    return ((held.get("trace") or {}).get("promptRouter") or {}).get("invokedModelId")


def _write(call: ModelCall, parts: list[Any], told: Any, usage: Any, model: Any) -> None:
    reason = _REASONS.get(str(told), str(told)) if told else ""
    message = {"role": "assistant", "parts": parts, "finish_reason": reason or None}
    call.output(
        model=model,
        finish_reasons=[reason] if reason else [],
        messages=[message] if call.wants_content else None,
        usage=_usage(usage),
    )


def _usage(usage: Any) -> dict[str, int | None] | None:
    """Tokens as the conventions count them: input includes what was cached."""
    if not usage:
        return None
    read, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
    given = usage.get("inputTokens")
    return {
        "input_tokens": None if given is None else given + (read or 0) + (written or 0),
        "output_tokens": usage.get("outputTokens"),
        "cache_read.input_tokens": read,
        "cache_write.input_tokens": written,
    }


def _tool(tool: Any) -> dict[str, Any]:
    spec = tool.get("toolSpec")
    if not spec:
        return {"type": next(iter(tool), "unknown")}
    parameters = (spec.get("inputSchema") or {}).get("json")
    about = {"name": spec.get("name"), "description": spec.get("description")}
    return {"type": "function", **about, "parameters": parameters}


def _parts(content: Any) -> list[dict[str, Any]]:
    return [_part(block) for block in content or [] if isinstance(block, dict)]


def _part(block: dict[str, Any]) -> dict[str, Any]:
    kind: str
    held: Any
    kind, held = next(iter(block.items()), ("unknown", None))
    if kind == "text":
        return {"type": "text", "content": held}
    if kind == "reasoningContent":
        return {"type": "reasoning", "content": (held.get("reasoningText") or {}).get("text")}
    if kind == "toolUse":
        about = {"id": held.get("toolUseId"), "name": held.get("name")}
        return {"type": "tool_call", **about, "arguments": held.get("input")}
    if kind == "toolResult":
        told = [b.get("text", b.get("json", b)) for b in held.get("content") or []]
        failed = {"is_error": True} if held.get("status") == "error" else {}
        response = told[0] if len(told) == 1 else told
        about = {"id": held.get("toolUseId"), **failed}
        return {"type": "tool_call_response", **about, "response": response}
    if kind in {"image", "document", "video", "audio"}:
        return _file(kind, held)
    return {"type": kind, "content": None}


def _file(kind: str, held: dict[str, Any]) -> dict[str, Any]:
    source = held.get("source") or {}
    if isinstance(data := source.get("bytes"), bytes | bytearray):
        return blob(base64.b64encode(data).decode(), kind, str(held.get("format") or ""))
    place = source.get("s3Location") or {}
    return {"type": "uri", "modality": kind, "uri": str(place.get("uri") or "")[:512]}


class Events:
    """Puts the events of a stream together; content blocks by their index."""

    def __init__(self) -> None:
        self._reason: Any = None
        self._metadata: Any = {}
        self._blocks: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Any) -> None:
        """Take one event in."""
        kind: str
        held: Any
        kind, held = next(iter(chunk.items()), ("", None))
        if kind == "contentBlockStart":
            asked = held.get("start", {}).get("toolUse") or {}
            kept = self._block(held)
            kept["id"], kept["name"] = asked.get("toolUseId"), asked.get("name")
        elif kind == "contentBlockDelta":
            delta = held.get("delta") or {}
            kept = self._block(held)
            if "toolUse" in delta:
                kept["type"] = "tool_call"
                kept["text"].append(delta["toolUse"].get("input") or "")
            elif "reasoningContent" in delta:
                kept["type"] = "reasoning"
                kept["text"].append(delta["reasoningContent"].get("text") or "")
            else:
                kept["text"].append(delta.get("text") or "")
        elif kind == "messageStop":
            self._reason = held.get("stopReason")
        elif kind == "metadata":
            self._metadata = held

    def _block(self, held: dict[str, Any]) -> dict[str, Any]:
        fresh: dict[str, Any] = {"type": "text", "id": None, "name": None, "text": []}
        return self._blocks.setdefault(int(held.get("contentBlockIndex") or 0), fresh)

    def write(self, call: ModelCall) -> None:
        """Write the whole response on the call."""
        parts = [_whole(kept) for _, kept in sorted(self._blocks.items())]
        usage, model = self._metadata.get("usage"), _routed(self._metadata)
        _write(call, parts, self._reason, usage, model)


def _whole(kept: dict[str, Any]) -> dict[str, Any]:
    text: Any = "".join(kept["text"])
    if kept["name"] is None:
        return {"type": kept["type"], "content": text}
    with contextlib.suppress(ValueError):
        text = json.loads(text or "{}")
    return {"type": "tool_call", "id": kept["id"], "name": kept["name"], "arguments": text}
