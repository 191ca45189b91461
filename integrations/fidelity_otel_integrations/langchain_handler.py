"""What LangChain tells its callback handlers, as spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.describe import type_name
from fidelity_otel.sdk.spec import Spec
from fidelity_otel_integrations import langchain_format as form
from fidelity_otel_integrations.runs import Run, Runs

__all__ = ["RUNS", "STARTED", "Handler", "Started"]

RUNS: Final = Runs("langchain")
STARTED: Final[ContextVar[Started | None]] = ContextVar("fidelity_langchain", default=None)
_NOT_YET: Final = {"input": ""}  # what a streaming runnable says it was given, until its end
_THREADS: Final = ("thread_id", "conversation_id", "session_id")


class Started:
    """The runs that start within one watched call; a stream's model is made current at once."""

    def __init__(self, *, stream: bool) -> None:
        self.keys: list[Any] = []
        self.stream = stream
        self.model: Run | None = None

    def add(self, run: Run | None) -> None:
        """A run has started."""
        if run is None:
            return
        self.keys.append(run.key)
        if self.stream and self.model is None and run.model is not None:
            self.model = run
            run.enter()


class Handler:
    """What LangChain tells its callback handlers; mixed into its own class of them."""

    run_inline = True

    @property
    def raise_error(self) -> bool:
        """Whether LangChain lets our faults through: in tests."""
        return guard.strict()

    def __copy__(self) -> Handler:
        return self

    def __deepcopy__(self, _memo: Any) -> Handler:
        return self

    # --- chains, graphs, agents ----------------------------------------------------------------

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A runnable starts."""
        if "langsmith:hidden" in (tags or ()):
            RUNS.skip(run_id, parent_run_id)
            return
        name = _name(serialized, kwargs, "chain")
        about = metadata or {}
        operation = "" if parent_run_id else "invoke_workflow"
        unnamed = name == "LangGraph" and not parent_run_id and not about.get("lc_agent_name")
        if about.get("lc_agent_name") == name or (
            unnamed and about.get("ls_integration") == "langchain_create_agent"
        ):
            operation = "invoke_agent"
        spec = Spec.of(name, operation, attributes=_about(about))
        run = _start(run_id, parent_run_id, spec)
        if run is not None and inputs != _NOT_YET:
            run.recording.put_json(sc.FIDELITY_INPUT, inputs)

    def on_chain_end(self, outputs: Any, *, run_id: Any, inputs: Any = None, **_: Any) -> None:
        """A runnable is done."""

        def write(run: Run) -> None:
            if inputs is not None:
                run.recording.put_json(sc.FIDELITY_INPUT, inputs)
            run.recording.put_json(sc.FIDELITY_OUTPUT, outputs)
            if run.troubled and "RunnableWithFallbacks" in run.name:
                run.recording.put(sc.FIDELITY_RECOVERY, "fallback")

        RUNS.finish(run_id, write)

    def on_chain_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        """A runnable failed, or a graph waits for a person."""
        if any(k.__name__ == "GraphBubbleUp" for k in type(error).__mro__):
            RUNS.finish(
                run_id, lambda run: run.recording.put("langgraph.interrupt", type_name(error))
            )
        else:
            _end_failed(run_id, error)

    # --- tools ---------------------------------------------------------------------------------

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        metadata: Mapping[str, Any] | None = None,
        inputs: Any = None,
        **kwargs: Any,
    ) -> None:
        """A tool is called."""
        held = serialized if isinstance(serialized, Mapping) else {}
        attributes = {
            **_about(metadata or {}),
            sc.GEN_AI_TOOL_DESCRIPTION: held.get("description"),
            sc.GEN_AI_TOOL_CALL_ID: kwargs.get("tool_call_id"),
        }
        name = str(held.get("name") or kwargs.get("name") or "tool")
        run = _start(run_id, parent_run_id, Spec.of(name, "execute_tool", attributes=attributes))
        if run is not None:
            arguments = input_str if inputs is None else inputs
            run.recording.put_json(sc.GEN_AI_TOOL_CALL_ARGUMENTS, arguments)

    def on_tool_end(self, output: Any, *, run_id: Any, **_: Any) -> None:
        """A tool gave something back; also what says that it failed."""

        def write(run: Run) -> None:
            content = getattr(output, "content", output)
            run.recording.put_json(sc.GEN_AI_TOOL_CALL_RESULT, content)
            run.recording.put(sc.GEN_AI_TOOL_CALL_ID, getattr(output, "tool_call_id", None))
            if getattr(output, "status", "success") == "error":
                run.recording.fail_text(str(content), "tool_error")

        RUNS.finish(run_id, write)

    def on_tool_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        """A tool raised."""
        _end_failed(run_id, error)

    # --- retrievers ----------------------------------------------------------------------------

    def on_retriever_start(
        self,
        serialized: Any,
        query: str,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A retriever is asked."""
        name = _name(serialized, kwargs, "retriever")
        spec = Spec.of(name, "retrieval", attributes=_about(metadata or {}))
        if (run := _start(run_id, parent_run_id, spec)) is not None:
            run.recording.put_input("retrieval", sc.FIDELITY_INPUT, query)
            run.enter()

    def on_retriever_end(self, documents: Any, *, run_id: Any, **_: Any) -> None:
        """A retriever found documents, or none."""

        def write(run: Run) -> None:
            run.leave()
            run.recording.put_output("retrieval", sc.FIDELITY_OUTPUT, list(documents))

        RUNS.finish(run_id, write)

    def on_retriever_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        """A retriever failed."""
        RUNS.finish(run_id, Run.leave, error)

    # --- models --------------------------------------------------------------------------------

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, **kwargs: Any
    ) -> None:
        """A chat model is called."""
        run = _start_model("chat", serialized, run_id, kwargs)
        if run is not None and run.model is not None and run.model.wants_content:
            sent = form.messages(messages[0] if messages else ())
            run.model.input(sent, form.tools(kwargs.get("invocation_params") or {}))

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: Any, **kwargs: Any) -> None:
        """A text completion model is called."""
        run = _start_model("text_completion", serialized, run_id, kwargs)
        if run is not None and run.model is not None:
            run.model.input(form.messages(prompts))

    def on_llm_new_token(self, token: Any, *, run_id: Any, **_: Any) -> None:
        """A chunk of a stream came."""
        del token
        run = RUNS.get(run_id)
        if run is not None and run.model is not None:
            run.model.chunk()

    def on_retry(self, retry_state: Any, *, run_id: Any, **_: Any) -> None:
        """LangChain's own retry loop will try again."""
        run = RUNS.get(run_id)
        if run is not None and run.model is not None:
            outcome = getattr(retry_state, "outcome", None)
            error = outcome.exception() if outcome is not None else None
            run.model.attempt_failed(
                status=getattr(error, "status_code", None),
                error_type=None if error is None else type_name(error),
                delay=getattr(getattr(retry_state, "next_action", None), "sleep", None),
            )

    def on_llm_end(self, response: Any, *, run_id: Any, **_: Any) -> None:
        """A model has answered."""
        RUNS.finish(run_id, lambda run: form.write_output(run.model, response))

    def on_llm_error(
        self, error: BaseException, *, run_id: Any, response: Any = None, **_: Any
    ) -> None:
        """A model failed, or its stream was closed."""

        def write(run: Run) -> None:
            if run.model is not None and getattr(response, "generations", None):
                form.write_output(run.model, response)
            if run.model is not None and isinstance(error, GeneratorExit):
                run.model.end(stream=True, complete=False)

        RUNS.finish(run_id, write, None if isinstance(error, GeneratorExit) else error)


def _end_failed(run_id: Any, error: BaseException) -> None:
    if isinstance(error, GeneratorExit):
        RUNS.finish(run_id, lambda run: run.recording.lose("partial_stream"))
    else:
        RUNS.finish(run_id, error=error)


def _name(serialized: Any, kwargs: Mapping[str, Any], otherwise: str) -> str:
    held = serialized if isinstance(serialized, Mapping) else {}
    path = held.get("id") or [otherwise]
    return str(kwargs.get("name") or held.get("name") or path[-1])


def _about(metadata: Mapping[str, Any]) -> dict[str, Any]:
    found = next((metadata[k] for k in _THREADS if metadata.get(k)), None)
    return {} if found is None else {sc.GEN_AI_CONVERSATION_ID: str(found)}


def _start(run_id: Any, parent: Any, spec: Spec) -> Run | None:
    run = RUNS.start(run_id, parent, spec)
    if (started := STARTED.get()) is not None:
        started.add(run)
    return run


def _start_model(
    operation: str, serialized: Any, run_id: Any, kwargs: Mapping[str, Any]
) -> Run | None:
    settings: Mapping[str, Any] = kwargs.get("invocation_params") or {}
    metadata: Mapping[str, Any] = kwargs.get("metadata") or {}
    asked = settings.get("model") or settings.get("model_name") or metadata.get("ls_model_name")
    model = str(asked or _name(serialized, kwargs, "model"))
    attributes = {**form.request(settings, metadata), **_about(metadata)}
    run = RUNS.start_model(
        run_id,
        kwargs.get("parent_run_id"),
        operation,
        model,
        provider=str(metadata.get("ls_provider") or "langchain"),
        attributes=attributes,
    )
    if (started := STARTED.get()) is not None:
        started.add(run)
    return run
