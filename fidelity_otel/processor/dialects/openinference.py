"""OpenInference (Arize): `openinference.span.kind`, `llm.*`, `input.value`, `retrieval.*`.

Source: Arize-ai/openinference, spec/semantic_conventions.md; lists are flattened into names.
"""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel.model import Message, Operation
from fidelity_otel.processor.dialects.documents import documents
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.indexed import listed
from fidelity_otel.processor.dialects.messages import finish_reason, message
from fidelity_otel.processor.dialects.payload import put_input, put_output
from fidelity_otel.processor.dialects.values import integer, number, text, unwrapped
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "read"]

NAME: Final = "openinference"
_KIND: Final = "openinference.span.kind"
_OPERATIONS: Final[dict[str, Operation]] = {
    "LLM": "chat",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "CHAIN": "",
    "RETRIEVER": "retrieval",
    "RERANKER": "rerank",
    "EMBEDDING": "embeddings",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluation",
}
_USAGE: Final = (
    ("input_tokens", "llm.token_count.prompt"),
    ("output_tokens", "llm.token_count.completion"),
    ("cached_tokens", "llm.token_count.prompt_details.cache_read"),
    ("reasoning_tokens", "llm.token_count.completion_details.reasoning"),
)
_INPUT, _OUTPUT = "llm.input_messages", "llm.output_messages"
_DOCUMENTS: Final = "retrieval.documents"
_RERANKED: Final = "reranker.output_documents"
_TOOLS: Final = "llm.tools"


def read(raw: RawSpan, draft: Draft) -> None:
    """Read what OpenInference says into the draft."""
    get = raw.attributes.get
    kind = get(_KIND)
    if not isinstance(kind, str):
        return
    operation = _OPERATIONS.get(kind.upper(), "")
    draft.put("operation", operation)
    if operation in ("chat", "embeddings"):
        _read_model(raw.attributes, draft)
    elif operation == "execute_tool":
        draft.put_tool("name", text(get("tool.name")) or raw.name)
        draft.put_tool("id", text(get("tool.id", get("tool_call.id"))))
    elif operation in ("retrieval", "rerank"):
        lists = listed(raw.attributes, _DOCUMENTS, _RERANKED)
        found = lists.get(_DOCUMENTS if operation == "retrieval" else _RERANKED)
        if found is not None and "documents" not in draft.fields:
            draft.fields["documents"] = documents(found, draft) or ()
        draft.put("query", text(get("reranker.query")))
    elif operation == "invoke_agent":
        draft.put("agent", text(get("agent.name")) or raw.name)
    value = get("input.value")
    if value is not None:
        put_input(value, draft)
    value = get("output.value")
    if value is not None:
        put_output(value, draft)


def _read_model(attributes: dict[str, Any], draft: Draft) -> None:
    get = attributes.get
    parameters = unwrapped(get("llm.invocation_parameters"), 1)
    if isinstance(parameters, dict):
        asked = parameters.get("model", parameters.get("model_name"))
        draft.put("model_requested", text(asked))
    draft.put("model_requested", text(get("llm.request.model_name")))
    draft.put("model_used", text(get("llm.response.model_name", get("llm.model_name"))))
    draft.put("model_requested", text(get("llm.model_name", get("embedding.model_name"))))
    draft.put("provider", text(get("llm.provider", get("llm.system"))))
    for field, name in _USAGE:
        value = get(name)
        if value is not None:
            draft.put_usage(field, integer(value))
    draft.put_usage("cost_usd", number(get("llm.cost.total")))
    reason = finish_reason(get("llm.finish_reason"))
    draft.put("finish_reasons", (reason,) if reason else ())
    lists = listed(attributes, _INPUT, _OUTPUT, _TOOLS)
    draft.put("input_messages", _messages(lists.get(_INPUT, ()), draft, "user"))
    draft.put("output_messages", _messages(lists.get(_OUTPUT, ()), draft, "assistant"))
    tools = (_schema(entry) for entry in lists.get(_TOOLS, ()))
    draft.put("tool_definitions", tuple(t for t in tools if t is not None))


def _messages(entries: Any, draft: Draft, role: str) -> tuple[Message, ...]:
    found = (message(_plain(entry), draft, role=role) for entry in entries)
    return tuple(m for m in found if m is not None)


def _plain(entry: Any) -> Any:
    """A message in OpenAI's shape from {"message": {…, "tool_calls": [{"tool_call": …}]}}."""
    inner = entry.get("message") if isinstance(entry, dict) else None
    if not isinstance(inner, dict):
        return None
    plain = {k: v for k, v in inner.items() if k not in ("contents", "tool_calls")}
    calls = inner.get("tool_calls")
    if isinstance(calls, list):
        plain["tool_calls"] = [c.get("tool_call") if isinstance(c, dict) else c for c in calls]
    contents = inner.get("contents")
    if isinstance(contents, list) and "content" not in plain:
        plain["content"] = [_content(c) for c in contents]
    return plain


def _content(entry: Any) -> Any:
    inner = entry.get("message_content") if isinstance(entry, dict) else None
    return inner if isinstance(inner, dict) else entry


def _schema(entry: Any) -> dict[str, Any] | None:
    inner = entry.get("tool") if isinstance(entry, dict) else None
    schema = unwrapped(inner.get("json_schema"), 1) if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else None
