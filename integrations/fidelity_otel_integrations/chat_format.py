"""OpenAI's chat completions format, which many providers speak: request, response, stream."""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import from_chat, tool_call
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader

__all__ = ["Chat", "Chunks", "field", "usage_of"]


def field(value: Any, name: str) -> Any:
    """A field of a dict or an object; None where it has none."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


class Chat:
    """How `/chat/completions` is read."""

    operation: Final = "chat"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        stop = body.get("stop")
        form = body.get("response_format")
        kind = form.get("type") if isinstance(form, dict) else None
        choices = body.get("n")
        return {
            sc.GEN_AI_REQUEST_TEMPERATURE: body.get("temperature"),
            sc.GEN_AI_REQUEST_TOP_P: body.get("top_p"),
            sc.GEN_AI_REQUEST_MAX_TOKENS: body.get("max_completion_tokens", body.get("max_tokens")),
            sc.GEN_AI_REQUEST_SEED: body.get("seed"),
            sc.GEN_AI_REQUEST_STOP_SEQUENCES: [stop] if isinstance(stop, str) else stop,
            sc.GEN_AI_REQUEST_FREQUENCY_PENALTY: body.get("frequency_penalty"),
            sc.GEN_AI_REQUEST_PRESENCE_PENALTY: body.get("presence_penalty"),
            sc.GEN_AI_REQUEST_CHOICE_COUNT: choices if choices != 1 else None,
            sc.GEN_AI_REQUEST_STREAM: body.get("stream") or None,
            sc.GEN_AI_OUTPUT_TYPE: "json" if str(kind).startswith("json") else kind,
            sc.GEN_AI_CONVERSATION_ID: None,
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The messages and tool definitions that were sent."""
        call.input(from_chat(body.get("messages")), body.get("tools"))

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says, given as the client's object or as parsed JSON."""
        _write(call, response)

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's chunks."""
        return Chunks()


def _write(call: ModelCall, response: Any) -> None:
    choices = field(response, "choices") or []
    call.output(
        response_id=field(response, "id"),
        model=field(response, "model"),
        finish_reasons=[str(field(c, "finish_reason") or "") for c in choices],
        messages=[_choice(c) for c in choices] if call.wants_content else None,
        usage=usage_of(field(response, "usage")),
    )


def _choice(choice: Any) -> dict[str, Any]:
    message = field(choice, "message")
    return _message(
        text=field(message, "content"),
        reasoning=field(message, "reasoning_content") or field(message, "reasoning"),
        refusal=field(message, "refusal"),
        calls=field(message, "tool_calls") or [],
        reason=field(choice, "finish_reason"),
    )


def _message(*, text: Any, reasoning: Any, refusal: Any, calls: Any, reason: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if isinstance(reasoning, str) and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    if isinstance(text, str) and text:
        parts.append({"type": "text", "content": text})
    if isinstance(refusal, str) and refusal:
        parts.append({"type": "text", "content": refusal})
    parts += [tool_call(c) for c in calls]
    return {"role": "assistant", "parts": parts, "finish_reason": reason}


def usage_of(usage: Any) -> dict[str, int | None] | None:
    """Tokens, as the conventions name them; None where the provider did not say."""
    if usage is None:
        return None
    return {
        "input_tokens": field(usage, "prompt_tokens"),
        "output_tokens": field(usage, "completion_tokens"),
        "cache_read.input_tokens": field(field(usage, "prompt_tokens_details"), "cached_tokens"),
        "reasoning.output_tokens": field(
            field(usage, "completion_tokens_details"), "reasoning_tokens"
        ),
    }


class Chunks:
    """Puts the chunks of a streamed chat completion together; tool calls by their index."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._model: str | None = None
        self._usage: Any = None
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Any) -> None:
        """Take one `chat.completion.chunk` in."""
        self._id = self._id or field(chunk, "id")
        self._model = self._model or field(chunk, "model")
        self._usage = field(chunk, "usage") or self._usage
        for choice in field(chunk, "choices") or []:
            kept = self._choices.setdefault(
                int(field(choice, "index") or 0),
                {"text": [], "reasoning": [], "refusal": [], "calls": {}, "reason": None},
            )
            delta = field(choice, "delta")
            kept["text"].append(field(delta, "content") or "")
            thought = field(delta, "reasoning_content") or field(delta, "reasoning")
            kept["reasoning"].append(thought if isinstance(thought, str) else "")
            kept["refusal"].append(field(delta, "refusal") or "")
            kept["reason"] = field(choice, "finish_reason") or kept["reason"]
            for part in field(delta, "tool_calls") or []:
                self._tool(kept["calls"], part)

    @staticmethod
    def _tool(calls: dict[int, dict[str, Any]], part: Any) -> None:
        call = calls.setdefault(
            int(field(part, "index") or 0), {"id": None, "name": None, "arguments": []}
        )
        function = field(part, "function")
        call["id"] = field(part, "id") or call["id"]
        call["name"] = field(function, "name") or call["name"]
        call["arguments"].append(field(function, "arguments") or "")

    def write(self, call: ModelCall) -> None:
        """Write the whole response on the call."""
        choices = [kept for _, kept in sorted(self._choices.items())]
        call.output(
            response_id=self._id,
            model=self._model,
            finish_reasons=[str(kept["reason"] or "") for kept in choices],
            messages=[self._whole(kept) for kept in choices] if call.wants_content else None,
            usage=usage_of(self._usage),
        )

    @staticmethod
    def _whole(kept: dict[str, Any]) -> dict[str, Any]:
        calls = [
            {"id": c["id"], "name": c["name"], "arguments": "".join(c["arguments"])}
            for _, c in sorted(kept["calls"].items())
        ]
        return _message(
            text="".join(kept["text"]),
            reasoning="".join(kept["reasoning"]),
            refusal="".join(kept["refusal"]),
            calls=calls,
            reason=kept["reason"],
        )
