"""The OpenTelemetry GenAI conventions: attributes since 1.37, span events up to 1.36.

Source: open-telemetry/semantic-conventions-genai (attributes) and semantic-conventions 1.27–1.36
(events `gen_ai.{system,user,assistant,tool}.message` and `gen_ai.choice`; before them
`gen_ai.content.{prompt,completion}`).
"""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel import semconv
from fidelity_otel.model import Event, Message, Operation
from fidelity_otel.processor.dialects.conventional import opened_messages, opened_texts
from fidelity_otel.processor.dialects.documents import opened_documents
from fidelity_otel.processor.dialects.draft import Draft, Rule
from fidelity_otel.processor.dialects.messages import (
    arguments,
    finish_reason,
    flattened,
    message,
    messages,
)
from fidelity_otel.processor.dialects.values import integer, text, texts
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "OPERATIONS", "RULES", "put_arguments", "read", "read_events"]

NAME: Final = "genai"
OPERATIONS: Final[dict[str, Operation]] = {
    "chat": "chat",
    "generate_content": "chat",
    "text_completion": "chat",
    "completion": "chat",
    "fetch_response": "chat",
    "embeddings": "embeddings",
    "embedding": "embeddings",
    "retrieval": "retrieval",
    "rerank": "rerank",
    "invoke_agent": "invoke_agent",
    "invoke_workflow": "invoke_workflow",
    "execute_tool": "execute_tool",
    "guardrail": "guardrail",
    "evaluation": "evaluation",
}
_USAGE: Final = (
    ("input_tokens", semconv.GEN_AI_USAGE_INPUT_TOKENS),
    ("input_tokens", "gen_ai.usage.prompt_tokens"),
    ("output_tokens", semconv.GEN_AI_USAGE_OUTPUT_TOKENS),
    ("output_tokens", "gen_ai.usage.completion_tokens"),
    ("cached_tokens", semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
    ("cached_tokens", "gen_ai.usage.cache_read_input_tokens"),
    ("reasoning_tokens", semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS),
    ("reasoning_tokens", "gen_ai.usage.reasoning_tokens"),
)
_PLAIN: Final = (
    ("provider", semconv.GEN_AI_PROVIDER_NAME),
    ("provider", semconv.GEN_AI_SYSTEM),
    ("model_requested", semconv.GEN_AI_REQUEST_MODEL),
    ("model_used", semconv.GEN_AI_RESPONSE_MODEL),
    ("response_id", semconv.GEN_AI_RESPONSE_ID),
    ("agent", semconv.GEN_AI_AGENT_NAME),
    ("workflow", semconv.GEN_AI_WORKFLOW_NAME),
    ("conversation_id", semconv.GEN_AI_CONVERSATION_ID),
    ("query", semconv.GEN_AI_RETRIEVAL_QUERY_TEXT),
)
RULES: Final = (
    *(Rule(field, name, text) for field, name in _PLAIN),
    *(Rule(field, name, integer, usage=True) for field, name in _USAGE),
)
_EVENT_ROLES: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_DETAILS: Final = "gen_ai.client.inference.operation.details"


def read(raw: RawSpan, draft: Draft) -> None:
    """Read what the conventions say beyond the rules into the draft."""
    attributes = raw.attributes
    get = attributes.get
    operation = get(semconv.GEN_AI_OPERATION_NAME)
    if type(operation) is str:
        draft.put("operation", OPERATIONS.get(operation.lower(), ""))
    _read_content(attributes, draft)
    reasons = get(semconv.GEN_AI_RESPONSE_FINISH_REASONS)
    if reasons is not None:
        draft.put("finish_reasons", _reasons(reasons))
    if semconv.GEN_AI_TOOL_NAME in attributes or draft.fields.get("operation") == "execute_tool":
        _read_tool(attributes, draft)
    found = get(semconv.GEN_AI_RETRIEVAL_DOCUMENTS)
    if found is not None and "documents" not in draft.fields:
        opened = opened_documents(found, draft)
        if opened is not None:
            draft.fields["documents"] = opened
    for event in raw.events:
        if event.name.startswith("gen_ai."):
            read_events(raw.events, draft)
            break


def _reasons(value: Any) -> tuple[str, ...]:
    return tuple(r for v in texts(value) if (r := finish_reason(v)) is not None)


def _read_content(attributes: dict[str, Any], draft: Draft) -> None:
    get = attributes.get
    value = get(semconv.GEN_AI_INPUT_MESSAGES)
    if value is not None:
        draft.put("input_messages", opened_messages(value, draft, role="user"))
    value = get(semconv.GEN_AI_OUTPUT_MESSAGES)
    if value is not None:
        found = opened_messages(value, draft, role="assistant")
        draft.put("output_messages", found)
        _finish_from(found, draft)
    value = get(semconv.GEN_AI_SYSTEM_INSTRUCTIONS)
    if value is not None:
        draft.put("system", _system(value, draft))
    value = get(semconv.GEN_AI_TOOL_DEFINITIONS)
    if value is not None:
        found_definitions = draft.json(value)
        if isinstance(found_definitions, list):
            draft.put("tool_definitions", tuple(d for d in found_definitions if type(d) is dict))


def _finish_from(found: tuple[Message, ...], draft: Draft) -> None:
    reasons = tuple(m.finish_reason for m in found if m.finish_reason)
    if reasons:
        draft.put("finish_reasons", reasons)


def _system(value: Any, draft: Draft) -> str | None:
    if type(value) is str and value[:1] == "[":
        told = opened_texts(value)
        if told is not None:
            return told
    found = message({"role": "system", "parts": draft.value(value)}, draft)
    return found.text if found else None


def _read_tool(attributes: dict[str, Any], draft: Draft) -> None:
    get = attributes.get
    draft.put_tool("name", text(get(semconv.GEN_AI_TOOL_NAME)))
    draft.put_tool("id", text(get(semconv.GEN_AI_TOOL_CALL_ID)))
    given = get(semconv.GEN_AI_TOOL_CALL_ARGUMENTS)
    if given is not None:
        put_arguments(given, draft)
    result = get(semconv.GEN_AI_TOOL_CALL_RESULT)
    if result is not None:
        draft.put_tool("result", flattened(draft.value(result)))


def put_arguments(given: Any, draft: Draft) -> None:
    """Fill a tool call's arguments, and its `arguments_text` where they are not valid JSON."""
    opened = arguments(given)
    draft.put_tool("arguments", opened)
    if type(opened) is str and opened is given and opened:
        draft.put_tool("arguments_text", opened)


# --- events --------------------------------------------------------------------------------------


def _body(event: Event, draft: Draft) -> dict[str, Any]:
    """An event's content: its attributes, or the JSON that one of them holds."""
    inner = event.attributes.get("gen_ai.event.content", event.attributes.get("event_body"))
    if inner is not None:
        opened = draft.value(inner)
        return opened if isinstance(opened, dict) else {"content": opened}
    return event.attributes


def _opened(body: dict[str, Any], draft: Draft) -> dict[str, Any]:
    """An event's body with the JSON of its structured members opened."""
    return {
        key: draft.value(value) if key in ("content", "tool_calls", "message", "parts") else value
        for key, value in body.items()
    }


def read_events(events: tuple[Event, ...], draft: Draft) -> None:
    """Read messages that are written as events, on a span or in a list of them."""
    given: list[Message] = []
    answered: list[Message] = []
    for event in events:
        role = _EVENT_ROLES.get(event.name)
        if role is not None:
            found = message({"role": role, **_opened(_body(event, draft), draft)}, draft)
            given += [found] if found else []
        elif event.name == "gen_ai.choice":
            answered += _choice(_opened(_body(event, draft), draft), draft)
        elif event.name == _DETAILS:
            _read_content(event.attributes, draft)
        elif event.name == "gen_ai.content.prompt":
            opened = draft.value(event.attributes.get("gen_ai.prompt"))
            given += messages(opened, draft, role="user")
        elif event.name == "gen_ai.content.completion":
            opened = draft.value(event.attributes.get("gen_ai.completion"))
            answered += messages(opened, draft, role="assistant")
    draft.put("input_messages", tuple(given))
    draft.put("output_messages", tuple(answered))
    _finish_from(tuple(answered), draft)


def _choice(body: dict[str, Any], draft: Draft) -> list[Message]:
    inner = body.get("message")
    entry = {k: v for k, v in body.items() if k not in ("message", "index")}
    if isinstance(inner, dict):
        entry = {**entry, **inner}
    elif isinstance(inner, str):
        entry["content"] = inner
    found = message({**entry, "role": "assistant"}, draft)
    return [found] if found else []
