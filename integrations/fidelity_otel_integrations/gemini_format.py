"""Gemini's format, as it goes over the wire: generateContent, streamGenerateContent, embeddings."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import blob
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader

__all__ = ["FORMATS", "Content", "Embeddings"]

_REASONS: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "OTHER": "error",
    "FINISH_REASON_UNSPECIFIED": "error",
    "LANGUAGE": "error",
    "CONTINUATION": "length",
}
_HUMP: Final = re.compile(r"[A-Z]")


def _get(fields: Any, name: str) -> Any:
    """A field by its name on the wire, or as Python users write it: both are sent as they are."""
    if not isinstance(fields, dict):
        return None
    found = fields.get(name)
    if found is None:
        found = fields.get(_HUMP.sub(lambda m: "_" + m[0].lower(), name))
    return found


def _body(response: Any) -> dict[str, Any]:
    """A response's JSON, whether the client has read it already or not."""
    held = response if isinstance(response, dict) else getattr(response, "body", None)
    if isinstance(held, str | bytes):
        held = msgspec.json.decode(held) if held else {}
    return held if isinstance(held, dict) else {}


class Content:
    """How `generateContent` and `streamGenerateContent` are read."""

    operation: Final = "generate_content"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        held = _get(body, "generationConfig")
        choices = _get(held, "candidateCount")
        kind = _get(held, "responseMimeType")
        return {
            sc.GEN_AI_REQUEST_TEMPERATURE: _get(held, "temperature"),
            sc.GEN_AI_REQUEST_TOP_P: _get(held, "topP"),
            sc.GEN_AI_REQUEST_TOP_K: _get(held, "topK"),
            sc.GEN_AI_REQUEST_MAX_TOKENS: _get(held, "maxOutputTokens"),
            sc.GEN_AI_REQUEST_SEED: _get(held, "seed"),
            sc.GEN_AI_REQUEST_STOP_SEQUENCES: _get(held, "stopSequences"),
            sc.GEN_AI_REQUEST_FREQUENCY_PENALTY: _get(held, "frequencyPenalty"),
            sc.GEN_AI_REQUEST_PRESENCE_PENALTY: _get(held, "presencePenalty"),
            sc.GEN_AI_REQUEST_CHOICE_COUNT: choices if choices != 1 else None,
            sc.GEN_AI_OUTPUT_TYPE: "json" if kind == "application/json" else None,
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """Contents, tool definitions and system instructions that were sent."""
        system = _get(body, "systemInstruction")
        call.input(
            [_message(c) for c in _get(body, "contents") or []],
            _tools(_get(body, "tools")),
            _message(system)["parts"] if system else None,
        )

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        chunks = Chunks()
        chunks.add(response)
        chunks.write(call)

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's responses."""
        return Chunks()


class Embeddings:
    """How `batchEmbedContents` and `embedContent` are read: the texts, never the vectors."""

    operation: Final = "embeddings"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        asked = (_get(body, "requests") or [body])[0]
        return {"gen_ai.embeddings.dimension.count": _get(asked, "outputDimensionality")}

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The texts."""
        asked = [_get(r, "content") for r in _get(body, "requests") or [body]]
        texts = [_get(p, "text") for c in asked for p in _get(c, "parts") or []]
        call.recording.put_json(sc.FIDELITY_INPUT, [t for t in texts if t is not None])

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """Tokens, where the service says them."""
        call.output(usage=_usage(_get(_body(response), "usageMetadata")))

    @staticmethod
    def chunks() -> Reader:
        """There is no stream of embeddings."""
        return Chunks()


FORMATS: Final[dict[str, Any]] = {
    "generateContent": Content,
    "streamGenerateContent": Content,
    "batchEmbedContents": Embeddings,
    "embedContent": Embeddings,
}


def _tools(tools: Any) -> list[dict[str, Any]] | None:
    """Function declarations as the conventions write definitions; other tools by their kind."""
    out: list[dict[str, Any]] = []
    for tool in tools or []:
        declared = _get(tool, "functionDeclarations")
        if declared is None:
            out += [{"type": kind} for kind in tool]
        for one in declared or []:
            parameters = _get(one, "parametersJsonSchema") or _get(one, "parameters")
            held = {"name": _get(one, "name"), "description": _get(one, "description")}
            out.append({"type": "function", **held, "parameters": parameters})
    return out or None


def _message(content: Any) -> dict[str, Any]:
    role = str(_get(content, "role") or "user")
    parts = [_part(p) for p in _get(content, "parts") or []]
    return {"role": "assistant" if role == "model" else role, "parts": parts}


def _part(part: Any) -> dict[str, Any]:
    text = _get(part, "text")
    if isinstance(text, str):
        return {"type": "reasoning" if _get(part, "thought") else "text", "content": text}
    if asked := _get(part, "functionCall"):
        held = {"id": _get(asked, "id"), "name": _get(asked, "name")}
        return {"type": "tool_call", **held, "arguments": _get(asked, "args")}
    if told := _get(part, "functionResponse"):
        held = {"id": _get(told, "id") or _get(told, "name")}
        return {"type": "tool_call_response", **held, "response": _get(told, "response")}
    if data := _get(part, "inlineData"):
        kind = str(_get(data, "mimeType") or "")
        return blob(str(_get(data, "data")), kind.partition("/")[0], kind)
    if file := _get(part, "fileData"):
        kind = str(_get(file, "mimeType") or "").partition("/")[0]
        return {"type": "uri", "modality": kind, "uri": str(_get(file, "fileUri") or "")[:512]}
    return {"type": next((k for k in part if k != "thoughtSignature"), "unknown"), "content": None}


def _usage(usage: Any) -> dict[str, int | None] | None:
    """Tokens as the conventions count them: thoughts are output, tools' results are input."""
    if not usage:
        return None
    said, thought = _get(usage, "candidatesTokenCount"), _get(usage, "thoughtsTokenCount")
    asked, by_tools = _get(usage, "promptTokenCount"), _get(usage, "toolUsePromptTokenCount")
    return {
        "input_tokens": None if asked is None else asked + (by_tools or 0),
        "output_tokens": None if said is None and thought is None else (said or 0) + (thought or 0),
        "cache_read.input_tokens": _get(usage, "cachedContentTokenCount"),
        "reasoning.output_tokens": thought,
    }


class Chunks:
    """Puts the responses of a stream together; parts of the same kind are one."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._model: str | None = None
        self._usage: Any = None
        self._blocked: Any = None
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Any) -> None:
        """Take one response in."""
        body = _body(chunk)
        self._id = self._id or _get(body, "responseId")
        self._model = self._model or _get(body, "modelVersion")
        self._usage = _get(body, "usageMetadata") or self._usage
        self._blocked = _get(_get(body, "promptFeedback"), "blockReason") or self._blocked
        for candidate in _get(body, "candidates") or []:
            kept = self._choices.setdefault(
                int(_get(candidate, "index") or 0), {"parts": [], "reason": None}
            )
            kept["reason"] = _get(candidate, "finishReason") or kept["reason"]
            for part in _message(_get(candidate, "content"))["parts"]:
                _join(kept["parts"], part)

    def write(self, call: ModelCall) -> None:
        """Write the whole response on the call."""
        choices = [kept for _, kept in sorted(self._choices.items())]
        reasons = [_reason(kept) for kept in choices]
        if self._blocked and not choices:  # the question was refused: there is no answer at all
            reasons = ["content_filter"]
        messages = [
            {"role": "assistant", "parts": kept["parts"], "finish_reason": reason or None}
            for kept, reason in zip(choices, reasons, strict=False)
        ]
        call.output(
            response_id=self._id,
            model=self._model,
            finish_reasons=reasons,
            messages=messages if call.wants_content else None,
            usage=_usage(self._usage),
        )


def _join(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    last = parts[-1] if parts else None
    if last is not None and last["type"] == part["type"] and part["type"] in {"text", "reasoning"}:
        last["content"] += part["content"]
    elif part.get("content") != "":
        parts.append(part)


def _reason(kept: dict[str, Any]) -> str:
    told = kept["reason"]
    if not told:
        return ""
    if told == "STOP" and any(p["type"] == "tool_call" for p in kept["parts"]):
        return "tool_call"  # the service says STOP for both
    return _REASONS.get(told, "content_filter")
