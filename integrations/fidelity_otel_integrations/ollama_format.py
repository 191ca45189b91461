"""Ollama's own format: chat, generate and embed; requests as dicts, responses as objects."""

from __future__ import annotations

import base64
from typing import Any, ClassVar, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import blob, tool_call
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations.chat_format import field

__all__ = ["FORMATS", "Chat", "Embed", "Generate"]


class Chat:
    """How `/api/chat` is read."""

    operation: ClassVar[str] = "chat"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        options = body.get("options") or {}
        stop = options.get("stop")
        return {
            sc.GEN_AI_REQUEST_TEMPERATURE: options.get("temperature"),
            sc.GEN_AI_REQUEST_TOP_P: options.get("top_p"),
            sc.GEN_AI_REQUEST_TOP_K: options.get("top_k"),
            sc.GEN_AI_REQUEST_MAX_TOKENS: options.get("num_predict"),
            sc.GEN_AI_REQUEST_SEED: options.get("seed"),
            sc.GEN_AI_REQUEST_STOP_SEQUENCES: [stop] if isinstance(stop, str) else stop,
            sc.GEN_AI_REQUEST_FREQUENCY_PENALTY: options.get("frequency_penalty"),
            sc.GEN_AI_REQUEST_PRESENCE_PENALTY: options.get("presence_penalty"),
            sc.GEN_AI_REQUEST_STREAM: body.get("stream") or None,
            sc.GEN_AI_OUTPUT_TYPE: "json" if body.get("format") else None,
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The messages and tool definitions that were sent."""
        call.input([_message(m) for m in body.get("messages") or []], body.get("tools"))

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        chunks = Chunks()
        chunks.add(response)
        chunks.write(call)

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's chunks."""
        return Chunks()


class Generate(Chat):
    """How `/api/generate` is read: one prompt instead of messages."""

    operation: ClassVar[str] = "text_completion"

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The prompt, its images and the system text."""
        message = {"content": body.get("prompt"), "images": body.get("images")}
        system = body.get("system")
        call.input(
            [{**_message(message), "role": "user"}],
            system=[{"type": "text", "content": system}] if system else None,
        )


class Embed:
    """How `/api/embed` is read: the texts, never the vectors."""

    operation: Final = "embeddings"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        return {"gen_ai.embeddings.dimension.count": body.get("dimensions")}

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The texts."""
        call.recording.put_json(sc.FIDELITY_INPUT, body.get("input", body.get("prompt")))

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """Model and tokens."""
        tokens = field(response, "prompt_eval_count")
        usage = None if tokens is None else {"input_tokens": tokens}
        call.output(model=field(response, "model"), usage=usage)

    @staticmethod
    def chunks() -> Reader:
        """There is no stream of embeddings."""
        return Chunks()


FORMATS: Final[dict[str, Any]] = {
    "/api/chat": Chat,
    "/api/generate": Generate,
    "/api/embed": Embed,
    "/api/embeddings": Embed,
}


def _message(message: Any) -> dict[str, Any]:
    role = str(field(message, "role"))
    content = field(message, "content")
    if role == "tool":
        response = {
            "type": "tool_call_response",
            "id": field(message, "tool_call_id") or field(message, "tool_name"),
            "response": content,
        }
        return {"role": role, "parts": [response]}
    parts: list[dict[str, Any]] = []
    if thought := field(message, "thinking"):
        parts.append({"type": "reasoning", "content": thought})
    if content:
        parts.append({"type": "text", "content": content})
    parts += [_image(image) for image in field(message, "images") or []]
    parts += [tool_call(c) for c in field(message, "tool_calls") or []]
    return {"role": role, "parts": parts}


def _image(image: Any) -> dict[str, Any]:
    value = image.get("value") if isinstance(image, dict) else getattr(image, "value", image)
    data = value if isinstance(value, str) else base64.b64encode(bytes(value or b"")).decode()
    return blob(data, "image", "")


class Chunks:
    """Puts the lines of a streamed response together; each tool call comes whole."""

    def __init__(self) -> None:
        self._last: Any = None
        self._model: str | None = None
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[dict[str, Any]] = []

    def add(self, chunk: Any) -> None:
        """Take one line in."""
        self._last = chunk
        self._model = self._model or field(chunk, "model")
        message = field(chunk, "message")
        said = field(chunk, "response") if message is None else field(message, "content")
        thought = field(chunk if message is None else message, "thinking")
        self._text.append(said if isinstance(said, str) else "")
        self._thoughts.append(thought if isinstance(thought, str) else "")
        self._calls += [tool_call(c) for c in field(message, "tool_calls") or []]

    def write(self, call: ModelCall) -> None:
        """Write the whole response on the call."""
        reason = field(self._last, "done_reason") or None
        if self._calls and reason == "stop":
            reason = "tool_call"  # the server says "stop" for both
        call.output(
            model=self._model,
            finish_reasons=[reason] if reason else [],
            messages=[self._message(reason)] if call.wants_content else None,
            usage=_usage(self._last),
        )

    def _message(self, reason: str | None) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        if thoughts := "".join(self._thoughts):
            parts.append({"type": "reasoning", "content": thoughts})
        if text := "".join(self._text):
            parts.append({"type": "text", "content": text})
        parts += self._calls
        return {"role": "assistant", "parts": parts, "finish_reason": reason}


def _usage(last: Any) -> dict[str, int | None] | None:
    asked, said = field(last, "prompt_eval_count"), field(last, "eval_count")
    if asked is None and said is None:
        return None
    return {"input_tokens": asked, "output_tokens": said}
