"""llama-index-core ≥ 0.13: models, embeddings, retrievers, tools, engines, agents and workflows.

Its instrumentation module tells of every call; what is a step of the library's own gets no span.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.modelcall import PENDING
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel.sdk.spec import Spec
from fidelity_otel_integrations import llama_index_format as form
from fidelity_otel_integrations.runs import Run, Runs

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "llama_index"
_RUNS: Final = Runs("llama_index")
_CHAT: Final = {"chat", "achat", "stream_chat", "astream_chat"}
_COMPLETE: Final = {"complete", "acomplete", "stream_complete", "astream_complete"}
_EMBED: Final = {
    *("get_query_embedding", "aget_query_embedding", "get_text_embedding"),
    *("aget_text_embedding", "get_text_embedding_batch", "aget_text_embedding_batch"),
}
_UUID: Final = 37  # what an id has after the method's name: a dash and a UUID
_ENGINE: Final = {"query", "aquery", *_CHAT}


class Spans:
    """What the library tells its span handlers; mixed into its own class of them."""

    def span_enter(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        parent_id: str | None = None,
        tags: Any = None,
        **kwargs: Any,
    ) -> None:
        """A call starts."""
        del tags, kwargs
        try:
            _enter(id_, parent_id, instance, bound_args)
        except Exception as error:  # noqa: BLE001
            guard.trip("llama_index", error)

    def span_exit(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        result: Any = None,
        **kwargs: Any,
    ) -> None:
        """A call came back."""
        del bound_args, instance, kwargs
        try:
            _exit(id_, result)
        except Exception as error:  # noqa: BLE001
            guard.trip("llama_index", error)

    def span_drop(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """A call failed."""
        del bound_args, instance, kwargs
        _RUNS.finish(id_, _leave, err)

    def new_span(self, *_: Any, **__: Any) -> None:
        """Not asked for: the library's own bookkeeping of spans is not used."""

    prepare_to_exit_span = prepare_to_drop_span = new_span


def _enter(key: str, parent: Any, instance: Any, bound: inspect.BoundArguments) -> None:
    given: Mapping[str, Any] = bound.arguments
    method = key[:-_UUID].rpartition(".")[2]
    kinds = {k.__name__ for k in type(instance).__mro__}
    about, spec = form.model_of(instance), None
    if "BaseLLM" in kinds and method in _CHAT | _COMPLETE:
        operation = "chat" if method in _CHAT else "text_completion"
    elif "BaseEmbedding" in kinds and method in _EMBED:
        operation = "embeddings"
    else:
        operation, spec = "", _spec(kinds, method, instance, parent)
    if operation:
        run = _RUNS.start_model(
            key,
            parent,
            operation,
            about.name,
            provider=about.provider,
            attributes=about.settings,
        )
    elif spec is not None:
        run = _RUNS.start(key, parent, spec)
    else:
        _RUNS.skip(key, parent)
        return
    if run is None:
        return
    if not ("Workflow" in kinds and method == "run"):  # that returns at once
        run.enter()
    if run.model is None:
        _input(run, spec.operation if spec else "", given)
    elif run.model.wants_content and operation != "embeddings":
        sent = given.get("messages") or given.get("prompt")
        run.model.input(form.messages([sent] if isinstance(sent, str) else sent or ()))


def _spec(kinds: set[str], method: str, instance: Any, parent: Any) -> Spec | None:
    """What the span of anything but a model looks like; None where it gets none."""
    name = type(instance).__name__
    if "BaseRetriever" in kinds and method in {"retrieve", "aretrieve"}:
        return Spec.of(name, "retrieval")
    if "BaseTool" in kinds and method in {"call", "acall"}:
        about = instance.metadata
        description = {sc.GEN_AI_TOOL_DESCRIPTION: about.description}
        return Spec.of(str(about.name or name), "execute_tool", attributes=description)
    if "BaseWorkflowAgent" in kinds and method == "run":
        return Spec.of(str(getattr(instance, "name", name)), "invoke_agent")
    if "Workflow" in kinds:
        if method == "run":
            return Spec.of(name, "invoke_workflow")
        return Spec.of(f"{name}.{method}") if not method.startswith("_") else None
    if kinds & {"BaseQueryEngine", "BaseChatEngine"} and method in _ENGINE:
        return Spec.of(name, "" if parent else "invoke_workflow")
    return None


def _input(run: Run, operation: str, given: Mapping[str, Any]) -> None:
    values = dict(given)
    values.update(values.pop("kwargs", None) or {})
    if operation == "retrieval":
        asked = next(iter(values.values()), None)
        run.recording.put_input("retrieval", sc.FIDELITY_INPUT, getattr(asked, "query_str", asked))
    elif operation == "execute_tool":
        if not values.get("args"):
            values.pop("args", None)
        run.recording.put_json(sc.GEN_AI_TOOL_CALL_ARGUMENTS, values)
    else:
        run.recording.put_json(sc.FIDELITY_INPUT, values)


def _leave(run: Run) -> None:
    run.leave()


def _exit(key: str, result: Any) -> None:
    run = _RUNS.get(key)
    if run is None or run.key != key:
        _RUNS.finish(key)
        return
    if run.model is not None and _is_stream(result):
        run.leave()
        PENDING.set(run.model)  # what it reads will be asked for by whoever reads it
        return
    _RUNS.finish(key, lambda run: _output(run, result))


def _is_stream(result: Any) -> bool:
    return inspect.isgenerator(result) or inspect.isasyncgen(result)


def _output(run: Run, result: Any) -> None:
    run.leave()
    if run.model is not None:
        form.write_output(run.model, result)
    elif run.name.startswith("retrieval"):
        run.recording.put_json(sc.GEN_AI_RETRIEVAL_DOCUMENTS, form.documents(result))
    elif run.name.startswith("execute_tool"):
        said = getattr(result, "raw_output", None)
        run.recording.put_json(
            sc.GEN_AI_TOOL_CALL_RESULT, said if said is not None else form.text(result)
        )
        if getattr(result, "is_error", False):
            run.recording.fail_text(form.text(result), "tool_error")
    elif not isinstance(result, asyncio.Future) and not _is_stream(result):
        run.recording.put_json(sc.FIDELITY_OUTPUT, form.text(result))


class Events:
    """What the library tells its event handlers: how streams go on."""

    def handle(self, event: Any, **_: Any) -> None:
        """An event happened within a call."""
        try:
            _heard(event)
        except Exception as error:  # noqa: BLE001
            guard.trip("llama_index", error)


def _heard(event: Any) -> None:
    kind = type(event).__name__
    run = _RUNS.get(getattr(event, "span_id", None))
    if run is None or run.model is None or run.key != event.span_id:
        return
    if kind in {"LLMChatInProgressEvent", "LLMCompletionInProgressEvent"}:
        run.model.chunk()
        run.last = event.response
    elif kind in {"LLMChatEndEvent", "LLMCompletionEndEvent"} and run.model.chunks:
        _RUNS.finish(run.key, lambda run: form.write_output(run.model, event.response))
    elif kind == "ExceptionEvent":
        _RUNS.finish(run.key, lambda run: _broken(run, event.exception), _failure(event.exception))


def _broken(run: Run, error: BaseException) -> None:
    if run.model is not None:
        if run.last is not None:
            form.write_output(run.model, run.last)
        if isinstance(error, GeneratorExit):
            run.model.end(stream=True, complete=False)


def _failure(error: BaseException) -> BaseException | None:
    return None if isinstance(error, GeneratorExit) else error


def _install(patches: Patches, module: ModuleType) -> None:
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
    from llama_index.core.instrumentation.span_handlers import BaseSpanHandler

    spans = type("FidelitySpans", (Spans, BaseSpanHandler), {})()
    events = type("FidelityEvents", (Events, BaseEventHandler), {})()
    root = module.root_dispatcher
    root.add_span_handler(spans)
    root.add_event_handler(events)
    patches.on_undo(lambda: _remove(root.span_handlers, spans))
    patches.on_undo(lambda: _remove(root.event_handlers, events))
    patches.on_undo(_RUNS.stop_all)


def _remove(handlers: list[Any], ours: Any) -> None:
    handlers[:] = [h for h in handlers if h is not ours]  # they are equal by what they hold


_INTEGRATION: Final = Integration(
    "llama_index",
    LIBRARY,
    _install,
    module="llama_index.core.instrumentation",
    distribution="llama-index-core",
    minimum=(0, 13),
)
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
