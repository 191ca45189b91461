"""openai-agents ≥ 0.6: agents, model calls, tools, handoffs, guardrails, by its own tracing."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.messages import from_chat
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel.sdk.recording import is_cancellation
from fidelity_otel.sdk.spec import Spec
from fidelity_otel_integrations.chat_format import field
from fidelity_otel_integrations.responses_format import Responses
from fidelity_otel_integrations.runs import Run, Runs

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "agents"
_RUNS: Final = Runs("openai_agents")
_MODELS: Final = {"generation", "response"}
_HIDDEN: Final = {"task", "turn"}


class Processor:
    """What the library tells its tracing processors; mixed into its own class of them."""

    def on_trace_start(self, trace: Any) -> None:
        """A run of agents starts."""
        _safely(lambda: _start_trace(trace))

    def on_trace_end(self, trace: Any) -> None:
        """A run of agents is over."""
        _safely(lambda: _RUNS.finish(trace.trace_id, Run.leave, _stopped()))

    def on_span_start(self, span: Any) -> None:
        """A step starts."""
        _safely(lambda: _start(span))

    def on_span_end(self, span: Any) -> None:
        """A step is over."""
        _safely(lambda: _RUNS.finish(span.span_id, lambda run: _write(run, span), _stopped()))

    def shutdown(self, timeout: float | None = None) -> None:
        """Nothing is held here."""

    def force_flush(self) -> None:
        """Nothing is held here."""


def _safely(work: Any) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001
        guard.trip("openai_agents", error)


def _stopped() -> BaseException | None:
    """The cancellation that is ending a step; the library does not tell of it."""
    error = sys.exc_info()[1]
    return error if error is not None and is_cancellation(error) else None


def _start_trace(trace: Any) -> None:
    conversation = getattr(trace, "group_id", None)
    spec = Spec.of(
        str(trace.name), "invoke_workflow", attributes={sc.GEN_AI_CONVERSATION_ID: conversation}
    )
    run = _RUNS.start(trace.trace_id, None, spec)
    if run is not None:
        run.enter()


def _start(span: Any) -> None:
    data = span.span_data
    parent = span.parent_id or span.trace_id
    if data.type in _HIDDEN:
        _RUNS.skip(span.span_id, parent)
        return
    if data.type in _MODELS:
        run = _RUNS.start_model(
            span.span_id,
            parent,
            "chat",
            str(getattr(data, "model", None) or ""),
            provider="openai",
            attributes=_settings(getattr(data, "model_config", None) or {}),
        )
    else:
        run = _RUNS.start(span.span_id, parent, _spec(data))
    if run is not None:
        run.enter()


def _spec(data: Any) -> Spec:
    name = str(getattr(data, "name", None) or data.type)
    if data.type == "agent":
        return Spec.of(name, "invoke_agent")
    if data.type == "function":
        return Spec.of(name, "execute_tool")
    if data.type == "guardrail":
        return Spec.of(f"guardrail {name}")
    if data.type == "handoff":
        return Spec.of("handoff")
    return Spec.of(name)


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {
        sc.GEN_AI_REQUEST_TEMPERATURE: config.get("temperature"),
        sc.GEN_AI_REQUEST_TOP_P: config.get("top_p"),
        sc.GEN_AI_REQUEST_MAX_TOKENS: config.get("max_tokens"),
        sc.GEN_AI_REQUEST_FREQUENCY_PENALTY: config.get("frequency_penalty"),
        sc.GEN_AI_REQUEST_PRESENCE_PENALTY: config.get("presence_penalty"),
    }


# --- what is known at the end --------------------------------------------------------------------


def _write(run: Run, span: Any) -> None:
    run.leave()
    data = span.span_data
    put = run.recording.put_json
    if run.model is not None:
        (_response if data.type == "response" else _generation)(run.model, data)
    elif data.type == "function":
        put(sc.GEN_AI_TOOL_CALL_ARGUMENTS, _parsed(data.input))
        put(sc.GEN_AI_TOOL_CALL_RESULT, data.output)
    elif data.type == "handoff":
        put(sc.FIDELITY_INPUT, {"from": data.from_agent, "to": data.to_agent})
    elif data.type == "guardrail":
        put(sc.FIDELITY_OUTPUT, {"triggered": data.triggered})
    elif data.type == "custom":
        put(sc.FIDELITY_INPUT, data.data)
    elif data.type == "mcp_tools":
        put(sc.FIDELITY_OUTPUT, data.result)
    if span.error is not None:
        _fail(run, span.error)
    elif run.model is not None and run.model.error_within is not None and not _answered(data):
        run.model.fail(run.model.error_within)  # old releases do not tell of it


def _answered(data: Any) -> bool:
    return bool(getattr(data, "response", None) or getattr(data, "output", None))


def _fail(run: Run, said: dict[str, Any]) -> None:
    """A step failed; the library keeps a text of it, the client's call within the exception."""
    error = run.model.error_within if run.model is not None else None
    if error is not None and run.model is not None:
        run.model.fail(error)
        return
    more = said.get("data") or {}
    text = str(more.get("error") or "")
    run.recording.fail_text(f"{said.get('message')}: {text}" if text else str(said.get("message")))


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _response(call: ModelCall, data: Any) -> None:
    """The responses API: the library keeps its whole answer."""
    if data.response is None:
        if data.usage:
            call.output(usage=_usage(data.usage))
        return
    call.name(str(field(data.response, "model") or ""))
    if call.wants_content:
        tools = [t.model_dump() for t in field(data.response, "tools") or ()]
        Responses.write_input(
            call,
            {
                "input": data.input,
                "instructions": field(data.response, "instructions"),
                "tools": tools,
            },
        )
    Responses.write_output(call, data.response)


def _generation(call: ModelCall, data: Any) -> None:
    """Chat completions and other models: input, output and usage as the model class wrote them."""
    if call.wants_content:
        call.input(from_chat(list(data.input or ())))
    outputs = list(data.output or ())
    if outputs and field(outputs[0], "object") == "response":
        Responses.write_output(call, outputs[0])
        return
    call.output(messages=from_chat(outputs), usage=_usage(data.usage))


def _usage(usage: Any) -> dict[str, int | None] | None:
    if not usage:
        return None
    return {
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "cache_read.input_tokens": (usage.get("input_tokens_details") or {}).get("cached_tokens"),
        "reasoning.output_tokens": (usage.get("output_tokens_details") or {}).get(
            "reasoning_tokens"
        ),
    }


# --- on and off ----------------------------------------------------------------------------------


def _install(patches: Patches, module: ModuleType) -> None:
    processor = type("FidelityProcessor", (Processor, module.TracingProcessor), {})()
    module.add_trace_processor(processor)
    patches.on_undo(lambda: _remove(module, processor))
    patches.on_undo(_RUNS.stop_all)


def _remove(module: ModuleType, processor: Any) -> None:
    """Take our processor out; the library has no public way to take out just one."""
    held = module.get_trace_provider()._multi_processor  # noqa: SLF001
    held.set_processors([p for p in held._processors if p is not processor])  # noqa: SLF001


_INTEGRATION: Final = Integration(
    "openai_agents",
    LIBRARY,
    _install,
    module="agents.tracing",
    distribution="openai-agents",
    minimum=(0, 6),
)
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
