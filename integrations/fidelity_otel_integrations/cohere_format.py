"""Cohere's second format: chat, embed, rerank; requests as given, responses as objects."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import from_chat, tool_call
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations.chat_format import field

__all__ = ["Chat", "Embed", "Rerank", "Whole"]

_REASONS: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_call",
    "ERROR": "error",
    "TIMEOUT": "error",
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
}


class Chat:
    """How `chat` and `chat_stream` are read."""

    operation: ClassVar[str] = "chat"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        kind = field(body.get("response_format"), "type")
        return {
            sc.GEN_AI_REQUEST_TEMPERATURE: body.get("temperature"),
            sc.GEN_AI_REQUEST_TOP_P: body.get("p"),
            sc.GEN_AI_REQUEST_TOP_K: body.get("k"),
            sc.GEN_AI_REQUEST_MAX_TOKENS: body.get("max_tokens"),
            sc.GEN_AI_REQUEST_SEED: body.get("seed"),
            sc.GEN_AI_REQUEST_STOP_SEQUENCES: body.get("stop_sequences"),
            sc.GEN_AI_REQUEST_FREQUENCY_PENALTY: body.get("frequency_penalty"),
            sc.GEN_AI_REQUEST_PRESENCE_PENALTY: body.get("presence_penalty"),
            sc.GEN_AI_REQUEST_STREAM: body.get("stream") or None,
            sc.GEN_AI_OUTPUT_TYPE: "json" if str(kind).startswith("json") else None,
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The messages and tool definitions that were sent."""
        call.input(from_chat(body.get("messages")), body.get("tools"))

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        message = field(response, "message")
        whole = Whole(field(response, "id"))
        whole.reason = field(response, "finish_reason")
        whole.usage = field(response, "usage")
        whole.thoughts.append(field(message, "tool_plan") or "")
        for part in field(message, "content") or []:
            whole.thoughts.append(str(field(part, "thinking") or ""))
            whole.text.append(str(field(part, "text") or ""))
        whole.calls = [tool_call(c) for c in field(message, "tool_calls") or []]
        whole.write(call)

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's events."""
        return Events()


class Embed:
    """How `embed` is read: the texts, never the vectors."""

    operation: ClassVar[str] = "embeddings"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        kinds = body.get("embedding_types")
        return {
            sc.GEN_AI_REQUEST_ENCODING_FORMATS: list(kinds) if kinds else None,
            "gen_ai.embeddings.dimension.count": body.get("output_dimension"),
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The texts."""
        call.recording.put_json(sc.FIDELITY_INPUT, body.get("texts"))

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """Id and billed tokens."""
        billed = field(field(response, "meta"), "billed_units")
        tokens = _count(field(billed, "input_tokens"))
        usage = None if tokens is None else {"input_tokens": tokens}
        call.output(response_id=field(response, "id"), usage=usage)

    @staticmethod
    def chunks() -> Reader:
        """There is no stream of embeddings."""
        return Events()


class Rerank:
    """How `rerank` is read: the query, and each document's place and score."""

    operation: ClassVar[str] = "rerank"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        return {sc.GEN_AI_REQUEST_TOP_K: body.get("top_n")}

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The query and the documents."""
        told = {"query": body.get("query"), "documents": body.get("documents")}
        call.recording.put_json(sc.FIDELITY_INPUT, told)

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """Places in the given list, best first, with their score."""
        call.output(response_id=field(response, "id"), usage={})  # it is billed by the search
        if call.wants_content:
            ranked = [
                {"id": str(field(r, "index")), "score": field(r, "relevance_score")}
                for r in field(response, "results") or []
            ]
            call.recording.put_json(sc.FIDELITY_OUTPUT, ranked)

    @staticmethod
    def chunks() -> Reader:
        """There is no stream of ranks."""
        return Events()


def _count(tokens: Any) -> int | None:
    """The client has numbers of tokens as floats."""
    return None if tokens is None else int(tokens)


class Whole:
    """A response, put together."""

    def __init__(self, identity: Any = None) -> None:
        self.id = identity
        self.reason: Any = None
        self.usage: Any = None
        self.text: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def write(self, call: ModelCall) -> None:
        """Write it on the call."""
        reason = _REASONS.get(str(self.reason), str(self.reason).lower()) if self.reason else ""
        parts: list[dict[str, Any]] = []
        if thoughts := "".join(self.thoughts):
            parts.append({"type": "reasoning", "content": thoughts})
        if text := "".join(self.text):
            parts.append({"type": "text", "content": text})
        parts += self.calls
        message = {"role": "assistant", "parts": parts, "finish_reason": reason or None}
        call.output(
            response_id=self.id,
            finish_reasons=[reason] if reason else [],
            messages=[message] if call.wants_content else None,
            usage=_usage(self.usage),
        )


def _usage(usage: Any) -> dict[str, int | None] | None:
    tokens = field(usage, "tokens") or field(usage, "billed_units")
    if tokens is None:
        return None
    return {
        "input_tokens": _count(field(tokens, "input_tokens")),
        "output_tokens": _count(field(tokens, "output_tokens")),
        "cache_read.input_tokens": _count(field(usage, "cached_tokens")),
    }


class Events:
    """Puts the events of a stream together; tool calls by their index."""

    def __init__(self) -> None:
        self._whole = Whole()
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Any) -> None:
        """Take one event in."""
        kind = field(chunk, "type")
        delta = field(chunk, "delta")
        message = field(delta, "message")
        if kind == "message-start":
            self._whole.id = field(chunk, "id")
        elif kind in {"content-start", "content-delta"}:
            content = field(message, "content")
            self._whole.text.append(str(field(content, "text") or ""))
            self._whole.thoughts.append(str(field(content, "thinking") or ""))
        elif kind == "tool-plan-delta":
            self._whole.thoughts.append(str(field(message, "tool_plan") or ""))
        elif kind in {"tool-call-start", "tool-call-delta"}:
            self._tool(int(field(chunk, "index") or 0), field(message, "tool_calls"))
        elif kind == "message-end":
            self._whole.reason = field(delta, "finish_reason")
            self._whole.usage = field(delta, "usage")

    def _tool(self, index: int, part: Any) -> None:
        kept = self._calls.setdefault(index, {"id": None, "name": None, "arguments": ""})
        function = field(part, "function")
        kept["id"] = field(part, "id") or kept["id"]
        kept["name"] = field(function, "name") or kept["name"]
        kept["arguments"] += field(function, "arguments") or ""

    def write(self, call: ModelCall) -> None:
        """Write the whole response on the call."""
        self._whole.calls = [tool_call(kept) for _, kept in sorted(self._calls.items())]
        self._whole.write(call)
