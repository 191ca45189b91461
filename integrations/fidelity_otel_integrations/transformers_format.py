"""What pipelines of transformers are given and give back: prompts, token ids, texts.

Token ids come as tensors; they are read by `tolist` and `shape` alone, so nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import from_chat
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel_integrations.chat_format import field

__all__ = ["Answer", "Prompt", "answers", "message_of", "model_name", "prompts", "setting"]

_PROMPT_KEYS: Final = ("prompt_text", "text")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of the batch that the model is run on.

    Attributes:
        given: a text, or the library's `Chat`.
        tokens: how many there are, padding left out; None where that cannot be known.
    """

    given: Any
    tokens: int | None

    @property
    def operation(self) -> str:
        """A conversation is a chat; a text is to be completed."""
        return "text_completion" if isinstance(self.given, str) else "chat"

    def write(self, call: ModelCall, tools: Any) -> None:
        """Write it on its span."""
        if isinstance(self.given, str):
            call.input([message_of("user", self.given)], tools)
        else:
            call.input(from_chat(field(self.given, "messages")), tools)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of one prompt, once or, with `num_return_sequences`, several times.

    Attributes:
        ids: token ids of each, the end mark counted, padding left out.
        reasons: why each ended: stop or length.
    """

    ids: list[list[int]]
    reasons: list[str]

    @property
    def tokens(self) -> int:
        """How many tokens were made."""
        return sum(map(len, self.ids))

    def messages(self, tokenizer: Any) -> list[dict[str, Any]]:
        """Their texts, without special tokens."""
        texts = [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in self.ids]
        return [
            {**message_of("assistant", text), "finish_reason": reason}
            for text, reason in zip(texts, self.reasons, strict=True)
        ]


def message_of(role: str, text: Any) -> dict[str, Any]:
    """A message of one text."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def model_name(pipeline: Any) -> str:
    """The model's name on the hub, the last part of its folder, or its class."""
    model = pipeline.model
    name = str(getattr(model, "name_or_path", "") or "").rstrip("/\\")
    if Path(name).is_absolute() or name.startswith("."):
        name = Path(name).name
    return name or type(model).__name__


def setting(pipeline: Any, asked: Mapping[str, Any], name: str) -> Any:
    """A setting of the generation: of the call, else of its configuration, else of the model's."""
    if (found := asked.get(name)) is not None:
        return found
    for place in (asked, pipeline, pipeline.model):
        if (found := field(field(place, "generation_config"), name)) is not None:
            return found
    return None


def settings(pipeline: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Request attributes that are no content."""

    def of(name: str) -> Any:
        return setting(pipeline, asked, name)

    sampled, choices, stop = of("do_sample"), of("num_return_sequences"), of("stop_strings")
    return {
        sc.GEN_AI_REQUEST_MAX_TOKENS: of("max_new_tokens"),
        sc.GEN_AI_REQUEST_TEMPERATURE: of("temperature") if sampled else None,
        sc.GEN_AI_REQUEST_TOP_P: of("top_p") if sampled else None,
        sc.GEN_AI_REQUEST_TOP_K: of("top_k") if sampled else None,
        sc.GEN_AI_REQUEST_STOP_SEQUENCES: [stop] if isinstance(stop, str) else stop,
        sc.GEN_AI_REQUEST_CHOICE_COUNT: choices if choices != 1 else None,
        sc.GEN_AI_REQUEST_STREAM: asked.get("streamer") is not None or None,
    }


def prompts(inputs: Mapping[str, Any]) -> list[Prompt]:
    """The prompts that are in the tensors which go to the model.

    Args:
        inputs: what the pipeline made of them: the prompt itself, or in a batch a list of them,
            `input_ids` (batch, length), `attention_mask` of the same shape, 0 where padded.
    """
    given = next((inputs[k] for k in _PROMPT_KEYS if inputs.get(k) is not None), None)
    if given is None:
        return []
    found = list(given) if isinstance(given, list | tuple) else [given]
    counted: Sequence[int | None] = lengths(inputs)
    if len(counted) != len(found):
        counted = [None] * len(found)
    return [Prompt(one, tokens) for one, tokens in zip(found, counted, strict=True)]


def lengths(inputs: Mapping[str, Any]) -> list[int]:
    """Tokens of each row that goes to the model, padding left out; none where there is no text."""
    mask, ids = inputs.get("attention_mask"), inputs.get("input_ids")
    if mask is not None:
        return [sum(row) for row in mask.tolist()]
    return [] if ids is None else [ids.shape[-1]] * ids.shape[0]


def answers(pipeline: Any, asked: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[Answer]:
    """What the model made of each prompt.

    Args:
        pipeline: the pipeline.
        asked: settings of the generation that the call gave.
        outputs: `generated_sequence` (prompts, answers, length) or (prompts, length), which begins
            with the prompt where there are `input_ids`; or `output_ids`, which begins with a mark.
    """
    sequences = outputs.get("generated_sequence")
    ids = outputs.get("input_ids")
    start = 0 if ids is None else ids.shape[-1]
    if sequences is None:
        sequences, start = outputs["output_ids"], 1
    ends = set(_ids(setting(pipeline, asked, "eos_token_id")))
    padding = setting(pipeline, asked, "pad_token_id")
    limit = setting(pipeline, asked, "max_new_tokens")
    if limit is None and (most := setting(pipeline, asked, "max_length")) is not None:
        limit = most - start
    made = []
    for rows in sequences.tolist():
        several = rows if rows and isinstance(rows[0], list) else [rows]
        cut = [_until_the_end(row[start:], ends, padding) for row in several]
        made.append(Answer(cut, [_reason(row, ends, limit) for row in cut]))
    return made


def _ids(value: Any) -> Iterable[int]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def _until_the_end(row: list[int], ends: set[int], padding: Any) -> list[int]:
    """In a batch, what ends before the longest is padded."""
    for place, token in enumerate(row):
        if token in ends:
            return row[: place + 1]
    while row and row[-1] == padding:
        row = row[:-1]
    return row


def _reason(row: list[int], ends: set[int], limit: int | None) -> str:
    if row and row[-1] in ends:
        return "stop"
    return "stop" if limit is not None and len(row) < limit else "length"
