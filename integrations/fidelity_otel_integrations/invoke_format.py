"""Bedrock's invoke_model: bodies in each model's own format, told apart by what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations.anthropic_format import Messages
from fidelity_otel_integrations.chat_format import Chat
from fidelity_otel_integrations.converse_format import Converse

__all__ = ["Body", "Invoked", "asked"]

_HEADERS: Final = {
    "input_tokens": "x-amzn-bedrock-input-token-count",
    "output_tokens": "x-amzn-bedrock-output-token-count",
    "cache_read.input_tokens": "x-amzn-bedrock-cache-read-input-token-count",
    "cache_write.input_tokens": "x-amzn-bedrock-cache-write-input-token-count",
}
_METRICS: Final = {
    "input_tokens": "inputTokenCount",
    "output_tokens": "outputTokenCount",
    "cache_read.input_tokens": "cacheReadInputTokenCount",
    "cache_write.input_tokens": "cacheWriteInputTokenCount",
}
_REASONS: Final = {
    "complete": "stop",
    "finish": "stop",
    "finished": "stop",
    "endoftext": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filtered": "content_filter",
}
_SETTINGS: Final = {
    sc.GEN_AI_REQUEST_MAX_TOKENS: ("maxTokenCount", "max_gen_len", "max_tokens"),
    sc.GEN_AI_REQUEST_TEMPERATURE: ("temperature",),
    sc.GEN_AI_REQUEST_TOP_P: ("topP", "top_p", "p"),
    sc.GEN_AI_REQUEST_TOP_K: ("top_k", "k"),
    sc.GEN_AI_REQUEST_STOP_SEQUENCES: ("stopSequences", "stop_sequences", "stop"),
}


class Texts:
    """Models of one text in, one out: Titan, Llama, Mistral, Command; and what is unknown."""

    operation: ClassVar[str] = "text_completion"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        held = body.get("textGenerationConfig") or body
        return {key: _first(held, *names) for key, names in _SETTINGS.items()}

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The text; all of the body where there is none that we know."""
        text = _first(body, "inputText", "prompt", "message")
        if isinstance(text, str):
            call.input([{"role": "user", "parts": [{"type": "text", "content": text}]}])
        else:
            call.recording.put_json(sc.FIDELITY_INPUT, body)

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        chunks = _Pieces()
        chunks.add(response)
        chunks.write(call)

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's chunks."""
        return _Pieces()


def _first(held: Mapping[str, Any], *names: str) -> Any:
    """The first of these fields that is there."""
    return next((held[name] for name in names if held.get(name) is not None), None)


class _Pieces:
    """Puts the pieces of a stream together; a whole response is one."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._reason = ""
        self._usage: dict[str, int | None] = {}

    def add(self, chunk: Any) -> None:
        """Take one in."""
        # Titan's results, Mistral's outputs, Command's generations; else the fields stand alone.
        held = _first(chunk, "results", "outputs", "generations")
        for piece in held or [chunk]:
            text = _first(piece, "outputText", "generation", "text", "completion")
            self._texts.append(str(text or ""))
            told = _first(piece, "completionReason", "stop_reason", "finish_reason")
            reason = str(told or "").lower()
            self._reason = _REASONS.get(reason, reason) or self._reason
        given = _first(chunk, "inputTextTokenCount", "prompt_token_count")
        made = _first(chunk, "totalOutputTextTokenCount", "generation_token_count")
        self._usage |= {"input_tokens": given} if given is not None else {}
        self._usage |= {"output_tokens": made} if made is not None else {}
        if counted := [p["tokenCount"] for p in held or [] if "tokenCount" in p]:
            self._usage["output_tokens"] = sum(counted)

    def write(self, call: ModelCall) -> None:
        """Write the whole response on the call."""
        part = {"type": "text", "content": "".join(self._texts)}
        message = {"role": "assistant", "parts": [part], "finish_reason": self._reason or None}
        call.output(
            finish_reasons=[self._reason] if self._reason else [],
            messages=[message] if call.wants_content else None,
            usage=self._usage or None,
        )


class Embedding:
    """Models that give vectors, which are not kept."""

    operation: ClassVar[str] = "embeddings"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        return {"gen_ai.embeddings.dimension.count": body.get("dimensions")}

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The texts."""
        call.recording.put_json(sc.FIDELITY_INPUT, body.get("texts", body.get("inputText")))

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """Tokens."""
        tokens = response.get("inputTextTokenCount")
        call.output(usage=None if tokens is None else {"input_tokens": tokens})

    @staticmethod
    def chunks() -> Reader:
        """There is no stream of embeddings."""
        return _Pieces()


def asked(parameters: Mapping[str, Any]) -> Invoked:
    """How a call with these parameters is read."""
    return Invoked(*_format(parameters))


def _format(parameters: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    body = parsed(parameters.get("body"))
    messages = body.get("messages")
    if "anthropic_version" in body:
        return Messages, body
    if isinstance(messages, list):
        # Nova's content parts have no "type": it is Converse's format.
        nova = "inferenceConfig" in body or "schemaVersion" in body
        return (Converse if nova or _untyped(messages) else Chat), body
    embedding = "texts" in body or "embed" in str(parameters.get("modelId", ""))
    return (Embedding if embedding else Texts), body


def _untyped(messages: list[Any]) -> bool:
    held = [m.get("content") for m in messages if isinstance(m, dict)]
    parts = [p for content in held if isinstance(content, list) for p in content]
    return bool(parts) and not any("type" in p for p in parts if isinstance(p, dict))


def parsed(body: Any) -> dict[str, Any]:
    """A body that is JSON, read; {} for anything else."""
    if not isinstance(body, str | bytes | bytearray):
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Body:
    """Reads what comes back, a whole body or a stream's events, in the format of the model.

    Args:
        form: that format.
    """

    def __init__(self, form: Any) -> None:
        self._form = form
        self._reader: Reader = form.chunks()
        self._headers: Mapping[str, Any] = {}
        self._identity: str | None = None
        self._metrics: Mapping[str, Any] = {}

    def answered(self, response: Mapping[str, Any]) -> None:
        """The response has come, its body not yet."""
        about = response.get("ResponseMetadata") or {}
        self._headers, self._identity = about.get("HTTPHeaders") or {}, about.get("RequestId")

    def add(self, event: Any) -> None:
        """Take in an event of a stream."""
        held = parsed((event.get("chunk") or {}).get("bytes"))
        self._metrics = held.pop("amazon-bedrock-invocationMetrics", None) or self._metrics
        if held:
            self._reader.add(held)

    def write(self, call: ModelCall) -> None:
        """Write what the events amount to."""
        self._reader.write(self._told(call))

    def write_whole(self, call: ModelCall, body: bytes) -> None:
        """Write a body that came in one piece."""
        told = self._told(call)
        if response := parsed(body):
            self._form.write_output(told, response)
        else:
            told.output()

    def _told(self, call: ModelCall) -> Any:
        counts = {k: self._headers.get(name) for k, name in _HEADERS.items()}
        counts |= {k: n for k, name in _METRICS.items() if (n := self._metrics.get(name))}
        return Told(call, {k: int(n) for k, n in counts.items() if n is not None}, self._identity)


class Told:
    """The call; tokens and the id that the body leaves out are taken from the headers.

    Args:
        call: the call.
        tokens: by the conventions' names.
        identity: of the request.
    """

    def __init__(self, call: ModelCall, tokens: dict[str, int], identity: str | None) -> None:
        self._call = call
        self._tokens = tokens
        self._identity = identity

    def output(self, *, usage: Any = None, response_id: Any = None, **more: Any) -> None:
        """What came back."""
        known = {k: n for k, n in (usage or {}).items() if n is not None}
        merged = {**self._tokens, **known}
        identity = response_id or self._identity
        self._call.output(usage=merged or None, response_id=identity, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class Invoked:
    """How a call of invoke_model is read: by the format of its model.

    Args:
        form: that format.
        body: the request.
    """

    def __init__(self, form: Any, body: dict[str, Any]) -> None:
        self._form = form
        self._body = body
        self.operation: str = form.operation

    def settings(self, _body: Any) -> dict[str, Any]:
        """Request attributes that are no content."""
        found: dict[str, Any] = self._form.settings(self._body)
        return found

    def write_input(self, call: ModelCall, _body: Any) -> None:
        """What was sent."""
        self._form.write_input(call, self._body)

    def write_output(self, call: ModelCall, response: Any) -> None:
        """A response whose body is not to be read has come."""
        body = self.chunks()
        body.answered(response)
        body.write_whole(call, b"")

    def chunks(self) -> Body:
        """A reader of what comes back."""
        return Body(self._form)
