"""transformers ≥ 4.57: pipelines, each prompt of a batch a span; streamers; tokens by their ids.

Text generation, with chats and images too, is recorded where the model runs, so that prompts which
come from a data set or a generator are seen as they are worked off. Other tasks (summaries,
translations, answers from a text, classes, embeddings) get one span a call, with what went in and
came out. `model.generate` called without a pipeline is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel_integrations import transformers_format as form
from fidelity_otel_integrations.methods import argument
from fidelity_otel_integrations.transformers_format import Answer, Prompt

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "transformers"
_PROVIDER: Final = "huggingface"
_PROMPTED: Final = frozenset({"text-generation", "image-text-to-text", "any-to-any"})
_WRITING: Final = ("summarization", "text2text-generation", "translation", "image-to-text")
_EMBEDDING: Final = ("feature-extraction", "image-feature-extraction")
_TEXTS: Final = ("summary_text", "translation_text", "generated_text")
_TOKENS: Final[ContextVar[dict[str, int] | None]] = ContextVar("fidelity_tokens", default=None)
_TOOLS: Final[ContextVar[Any]] = ContextVar("fidelity_tools", default=None)


class Watched:
    """A streamer that counts what it is given; everything else is the application's own.

    Args:
        streamer: the application's.
        call: the call whose chunks it gets.
    """

    def __init__(self, streamer: Any, call: ModelCall) -> None:
        self._streamer = streamer
        self._call = call
        self._begun = False

    def put(self, value: Any) -> Any:
        """Token ids; the first are the prompt's."""
        if self._begun:
            _safely(self._call.chunk)
        self._begun = True
        return self._streamer.put(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streamer, name)


def _safely(work: Any) -> Any:
    try:
        return work()
    except Exception as error:  # noqa: BLE001
        guard.trip(LIBRARY, error)
        return None


# --- where the model runs ------------------------------------------------------------------------


def _forward(wrapped: Any, pipeline: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`forward(model_inputs, **settings)`: one run of the model on one batch."""
    inputs = argument(args, kwargs, "model_inputs", 0)
    if not _INTEGRATION.active or not hasattr(inputs, "get"):
        return wrapped(*args, **kwargs)
    asked = {**kwargs, **(kwargs.get("generate_kwargs") or {})}
    if getattr(pipeline, "task", None) not in _PROMPTED:
        counted = _safely(lambda: sum(form.lengths(inputs)))
        outputs = wrapped(*args, **kwargs)
        _safely(lambda: _count(pipeline, asked, counted, outputs))
        return outputs
    # What holds the prompt is taken out of it on the way.
    found: list[Prompt] = _safely(lambda: form.prompts(inputs)) or []
    calls = [c for c in (_open(pipeline, asked, prompt) for prompt in found) if c is not None]
    if not calls or len(calls) != len(found):
        return wrapped(*args, **kwargs)
    alone = calls[0] if len(calls) == 1 else nullcontext()
    try:
        with alone:
            outputs = wrapped(*args, **_watching(kwargs, calls[0]))
    except BaseException as error:
        for call in calls:
            call.fail(error)
            call.end(stream="streamer" in asked, complete=False)
        raise
    _safely(lambda: _write(pipeline, asked, found, calls, outputs))
    for call in calls:
        call.end(stream=asked.get("streamer") is not None)
    return outputs


def _open(pipeline: Any, asked: Mapping[str, Any], prompt: Prompt) -> ModelCall | None:
    call: ModelCall | None = _safely(
        lambda: ModelCall.open(
            LIBRARY,
            prompt.operation,
            form.model_name(pipeline),
            _PROVIDER,
            form.settings(pipeline, asked),
        )
    )
    if call is not None and call.wants_content:
        _safely(lambda: prompt.write(call, _TOOLS.get()))
    return call


def _watching(kwargs: dict[str, Any], call: ModelCall) -> dict[str, Any]:
    """The same arguments; a streamer among them is watched."""
    if isinstance(within := kwargs.get("generate_kwargs"), dict):
        return {**kwargs, "generate_kwargs": _watching(within, call)}
    if (streamer := kwargs.get("streamer")) is None:
        return kwargs
    return {**kwargs, "streamer": Watched(streamer, call)}


def _write(
    pipeline: Any,
    asked: Mapping[str, Any],
    found: list[Prompt],
    calls: list[ModelCall],
    outputs: Any,
) -> None:
    tokenizer = pipeline.tokenizer or pipeline.processor.tokenizer
    made: list[Answer] = form.answers(pipeline, asked, outputs)
    for prompt, call, answer in zip(found, calls, made, strict=True):
        call.output(
            finish_reasons=answer.reasons,
            messages=answer.messages(tokenizer) if call.wants_content else None,
            usage={"input_tokens": prompt.tokens, "output_tokens": answer.tokens},
        )


def _count(pipeline: Any, asked: Mapping[str, Any], counted: Any, outputs: Any) -> None:
    """Add a run's tokens to those of the call that it is part of."""
    tokens = _TOKENS.get()
    if tokens is None:
        return
    if counted:
        tokens["input_tokens"] = tokens.get("input_tokens", 0) + counted
    if hasattr(outputs, "get") and outputs.get("output_ids") is not None:
        made = sum(answer.tokens for answer in form.answers(pipeline, asked, outputs))
        tokens["output_tokens"] = tokens.get("output_tokens", 0) + made


# --- calls of a pipeline -------------------------------------------------------------------------


def _called(wrapped: Any, pipeline: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`pipeline(inputs, **settings)`."""
    task = str(getattr(pipeline, "task", ""))
    if not _INTEGRATION.active:
        return wrapped(*args, **kwargs)
    if task in _PROMPTED:
        token = _TOOLS.set(kwargs.get("tools"))
        try:
            return wrapped(*args, **kwargs)
        finally:
            _TOOLS.reset(token)
    call = _safely(lambda: _open_task(pipeline, task, kwargs))
    if call is None:
        return wrapped(*args, **kwargs)
    # A pipeline that takes several inputs makes one of them before it comes here.
    given = args[0] if args else kwargs.get("inputs")
    if call.wants_content:
        _safely(lambda: _write_input(call, task, given))
    counted: dict[str, int] = {}
    token = _TOKENS.set(counted)
    try:
        with call:
            result = wrapped(*args, **kwargs)
    except BaseException as error:
        call.fail(error)
        call.end()
        raise
    finally:
        _TOKENS.reset(token)
    lazy = hasattr(result, "__next__")  # nothing of it has been worked off yet
    if not lazy:
        _safely(lambda: _write_output(call, task, result, counted))
    call.end(stream=lazy, complete=not lazy)
    return result


def _open_task(pipeline: Any, task: str, asked: Mapping[str, Any]) -> ModelCall | None:
    if task.startswith(_WRITING):
        operation = "text_completion"
    else:
        operation = "embeddings" if task in _EMBEDDING else task.replace("-", "_")
    more = form.settings(pipeline, asked) if operation == "text_completion" else {}
    return ModelCall.open(LIBRARY, operation, form.model_name(pipeline), _PROVIDER, more)


def _write_input(call: ModelCall, task: str, given: Any) -> None:
    if task.startswith(_WRITING) and isinstance(given, str | list | tuple):
        texts = [given] if isinstance(given, str) else list(given)
        call.input([form.message_of("user", text) for text in texts])
    else:
        if hasattr(given, "question_text"):  # a class of the library's own
            given = {"question": given.question_text, "context": given.context_text}
        call.recording.put_json(sc.FIDELITY_INPUT, given)


def _write_output(call: ModelCall, task: str, result: Any, counted: dict[str, int]) -> None:
    messages = None
    if call.wants_content and task.startswith(_WRITING):
        messages = [form.message_of("assistant", text) for text in _texts(result)]
    elif call.wants_content and task not in _EMBEDDING:
        call.recording.put_json(sc.FIDELITY_OUTPUT, result)
    call.output(messages=messages, usage=counted or None)


def _texts(result: Any) -> list[str]:
    """The texts in what such a pipeline returns: a dict, or lists of them."""
    if isinstance(result, list):
        return [text for one in result for text in _texts(one)]
    return [str(result[key]) for key in _TEXTS if key in result]


def _install(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module.Pipeline, "__call__", _called)
    patches.wrap(module.Pipeline, "forward", _forward)


_INTEGRATION: Final = Integration(
    LIBRARY, LIBRARY, _install, module="transformers.pipelines.base", minimum=(4, 57)
)
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
