"""Vercel AI SDK: `ai.*` of generations 3 to 5; later ones follow the GenAI conventions.

Source: vercel/ai, `packages/ai/src/telemetry` and the page "Telemetry" of its documentation.
"""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel.model import Message, Operation, Part
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.genai import put_arguments
from fidelity_otel.processor.dialects.messages import finish_reason, flattened, messages, tool_call
from fidelity_otel.processor.dialects.values import integer, text, texts, unwrapped
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "read"]

NAME: Final = "vercel"
_USAGE: Final = (
    ("input_tokens", "ai.usage.promptTokens"),
    ("input_tokens", "ai.usage.inputTokens"),
    ("output_tokens", "ai.usage.completionTokens"),
    ("output_tokens", "ai.usage.outputTokens"),
    ("cached_tokens", "ai.usage.cachedInputTokens"),
    ("reasoning_tokens", "ai.usage.reasoningTokens"),
)


def _operation(name: str) -> Operation:
    if name == "ai.toolCall":
        return "execute_tool"
    if name.startswith("ai.embed"):
        return "embeddings"
    if name.startswith("ai.rerank"):
        return "rerank"
    if name.endswith((".doGenerate", ".doStream")):
        return "chat"
    return "invoke_agent" if name.startswith(("ai.generate", "ai.stream")) else ""


def read(raw: RawSpan, draft: Draft) -> None:
    """Read what the Vercel AI SDK says into the draft."""
    get = raw.attributes.get
    name = get("ai.operationId")
    if not isinstance(name, str):
        return
    draft.put("operation", _operation(name))
    if "ai.toolCall.name" in raw.attributes:
        draft.put_tool("name", text(get("ai.toolCall.name")))
        draft.put_tool("id", text(get("ai.toolCall.id")))
        put_arguments(get("ai.toolCall.args", get("ai.toolCall.input")), draft)
        result = get("ai.toolCall.result", get("ai.toolCall.output"))
        draft.put_tool("result", flattened(unwrapped(result, 2)))
    draft.put("provider", text(get("ai.model.provider")))
    draft.put("model_requested", text(get("ai.model.id")))
    draft.put("model_used", text(get("ai.response.model")))
    draft.put("response_id", text(get("ai.response.id")))
    draft.put("agent", text(get("ai.telemetry.functionId")))
    reason = finish_reason(get("ai.response.finishReason", get("ai.finishReason")))
    draft.put("finish_reasons", (reason,) if reason else ())
    for field, key in _USAGE:
        value = get(key)
        if value is not None:
            draft.put_usage(field, integer(value))
    _read_given(raw.attributes, draft)
    _read_said(raw.attributes, draft)
    for prefix in ("ai.telemetry.metadata.", "ai.settings.context."):
        for field, names in (
            ("conversation_id", ("sessionId", "session_id", "conversationId", "threadId")),
            ("user_id", ("userId", "user_id")),
        ):
            for one in names:
                draft.put(field, text(get(prefix + one)))


def _read_given(attributes: dict[str, Any], draft: Draft) -> None:
    given = unwrapped(attributes.get("ai.prompt.messages"), 1)
    if given is None:
        prompt = unwrapped(attributes.get("ai.prompt"), 1)
        if isinstance(prompt, dict):
            draft.put("system", text(prompt.get("system")))
            given = prompt.get("messages", prompt.get("prompt"))
        else:
            given = prompt
    draft.put("input_messages", messages(given, draft, role="user"))
    tools = [unwrapped(t, 1) for t in texts(attributes.get("ai.prompt.tools"))]
    draft.put("tool_definitions", tuple(t for t in tools if isinstance(t, dict)))


def _read_said(attributes: dict[str, Any], draft: Draft) -> None:
    get = attributes.get
    parts: list[Part] = []
    said = get("ai.response.text", get("ai.result.text", get("ai.response.object")))
    said = said if said is not None else get("ai.result.object")
    if isinstance(said, str) and said:
        parts.append(Part(type="text", content=said))
    calls = unwrapped(get("ai.response.toolCalls", get("ai.result.toolCalls")), 1)
    if isinstance(calls, list):
        for entry in calls:
            call = tool_call(entry)
            if call is None:
                draft.unread += 1
            else:
                parts.append(call)
    if parts or said == "":
        draft.put("output_messages", (Message("assistant", tuple(parts)),))
