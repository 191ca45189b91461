"""Inputs and outputs that are whole payloads: what went into a call and what came out, as JSON.

OpenInference, OpenLLMetry, Langfuse, MLflow and LangSmith all write one input and one output value
a span; what they mean depends on what the span does.
"""

from __future__ import annotations

from typing import Any

from fidelity_otel.processor.dialects.documents import documents
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.genai import put_arguments
from fidelity_otel.processor.dialects.messages import finish_reason, flattened, messages
from fidelity_otel.processor.dialects.values import text, unwrapped

__all__ = ["put_input", "put_output"]

_WRAPPERS = ("args", "kwargs")


def put_input(value: Any, draft: Draft) -> None:
    """Read a span's whole input, by the operation that the draft already has."""
    value = unwrapped(value, 1)
    operation = draft.fields.get("operation", "")
    if operation == "chat":
        _chat_input(value, draft)
    elif operation == "execute_tool":
        given = _called_with(value)
        if given not in (None, ""):
            put_arguments(given, draft)
    elif operation in ("retrieval", "rerank"):
        draft.put("query", _query(value))
    draft.put("input", value)


def put_output(value: Any, draft: Draft) -> None:
    """Read a span's whole output, by the operation that the draft already has."""
    value = unwrapped(value, 1)
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("output", value.get("outputs", value))
    operation = draft.fields.get("operation", "")
    if operation == "chat":
        _chat_output(value, draft)
    elif operation == "execute_tool":
        draft.put_tool("result", _returned(value))
    elif operation in ("retrieval", "rerank") and "documents" not in draft.fields:
        found = documents(value, draft)
        if found is not None:
            draft.fields["documents"] = found
    draft.put("output", value)


# --- model calls ---------------------------------------------------------------------------------


def _chat_input(value: Any, draft: Draft) -> None:
    given = value
    if isinstance(value, dict):
        draft.put("model_requested", text(value.get("model")))
        tools = value.get("tools")
        if isinstance(tools, list):
            draft.put("tool_definitions", tuple(t for t in tools if isinstance(t, dict)))
        given = value.get("messages", value.get("input", value.get("contents")))
        system = value.get("system", value.get("instructions"))
        if isinstance(system, str):
            draft.put("system", system)
        if given is None:
            given = value if "role" in value or "content" in value else value.get("prompt")
    draft.put("input_messages", messages(given, draft, role="user"))


def _chat_output(value: Any, draft: Draft) -> None:
    given = value
    if isinstance(value, dict):
        draft.put("response_id", text(value.get("id")))
        draft.put("model_used", text(value.get("model")))
        given = _answers(value)
    found = messages(given, draft, role="assistant")
    draft.put("output_messages", found)
    reasons = tuple(m.finish_reason for m in found if m.finish_reason)
    if not reasons and isinstance(value, dict):
        told = finish_reason(value.get("finish_reason", value.get("stop_reason")))
        reasons = (told,) if told else ()
    draft.put("finish_reasons", reasons)


def _answers(value: dict[str, Any]) -> Any:
    """The messages in a provider's response or a framework's result."""
    choices = value.get("choices")
    if isinstance(choices, list):
        return choices
    generations = value.get("generations")  # LangChain: batches of generations
    if isinstance(generations, list):
        batch = generations[0] if generations and isinstance(generations[0], list) else generations
        return [_generation(g) for g in batch]
    for name in ("messages", "message", "output", "content", "text", "output_text"):
        if name == "content" and "role" in value:
            break
        if value.get(name) not in (None, [], ""):
            inner = value[name]
            if name in ("content", "text", "output_text"):
                return {"role": "assistant", "content": inner}
            return inner
    return value if "role" in value or "tool_calls" in value or "content" in value else None


def _generation(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    info = entry.get("generation_info")
    reason = info.get("finish_reason") if isinstance(info, dict) else None
    inner = entry.get("message")
    if not isinstance(inner, dict):
        return {"role": "assistant", "content": entry.get("text"), "finish_reason": reason}
    return {"message": {**inner, "role": "assistant"}, "finish_reason": reason} | (
        {"kwargs": inner["kwargs"]} if isinstance(inner.get("kwargs"), dict) else {}
    )


# --- tools and retrievals ------------------------------------------------------------------------


def _called_with(value: Any) -> Any:
    """A function's arguments: keywords where there are any, else the only positional one."""
    if isinstance(value, dict) and value and set(value) <= set(_WRAPPERS):
        keywords, positional = value.get("kwargs"), value.get("args")
        if keywords:
            return keywords
        if isinstance(positional, list | tuple) and len(positional) == 1:
            return positional[0]
        return positional or {}
    if isinstance(value, dict) and set(value) == {"input"}:
        return _opened(value["input"])
    return value


def _opened(value: Any) -> Any:
    opened = unwrapped(value, 1)
    return opened if isinstance(opened, dict | list) else value


def _returned(value: Any) -> Any:
    """A tool's result, out of a message around it."""
    if isinstance(value, dict):
        inner = value.get("data", value.get("kwargs"))
        if isinstance(inner, dict) and "content" in inner:
            return flattened(unwrapped(inner["content"], 1))
        if set(value) == {"output"}:
            return _returned(value["output"])
        if value.get("type") == "tool" and "content" in value:
            return flattened(unwrapped(value["content"], 1))
    return flattened(value)


def _query(value: Any) -> str | None:
    value = _called_with(value)
    if isinstance(value, dict):
        for name in ("query", "question", "input", "text", "q", "search_query"):
            if isinstance(value.get(name), str):
                found: str = value[name]
                return found or None
        only = [v for v in value.values() if isinstance(v, str)]
        return only[0] if len(only) == 1 else None
    return value if isinstance(value, str) and value else None
