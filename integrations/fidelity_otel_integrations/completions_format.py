"""OpenAI's older completions format, one text in and one out: request, response, stream."""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations.chat_format import Chat, field, usage_of

__all__ = ["Completions"]


class Completions:
    """How `/completions` is read."""

    operation: Final = "text_completion"
    settings = staticmethod(Chat.settings)

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The prompts; those given as token ids are not read."""
        given = body.get("prompt")
        texts = given if isinstance(given, list | tuple) else [given]
        call.input([_message("user", text) for text in texts if isinstance(text, str)])

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """What a response says."""
        texts = Texts()
        texts.add(response)
        texts.write(call)

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's chunks."""
        return Texts()


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


class Texts:
    """Puts the texts of a response's chunks together, by the index of their choice."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._model: str | None = None
        self._usage: Any = None
        self._texts: dict[int, list[str]] = {}
        self._reasons: dict[int, str] = {}

    def add(self, chunk: Any) -> None:
        """Take one chunk in; a whole response is one too."""
        self._id = self._id or field(chunk, "id")
        self._model = self._model or field(chunk, "model")
        self._usage = field(chunk, "usage") or self._usage
        for choice in field(chunk, "choices") or []:
            index = int(field(choice, "index") or 0)
            self._texts.setdefault(index, []).append(field(choice, "text") or "")
            if reason := field(choice, "finish_reason"):
                self._reasons[index] = str(reason)

    def write(self, call: ModelCall) -> None:
        """Write the whole response on the call."""
        messages = [
            {**_message("assistant", "".join(texts)), "finish_reason": self._reasons.get(index)}
            for index, texts in sorted(self._texts.items())
        ]
        call.output(
            response_id=self._id,
            model=self._model,
            finish_reasons=[reason for _, reason in sorted(self._reasons.items())],
            messages=messages if call.wants_content else None,
            usage=usage_of(self._usage),
        )
