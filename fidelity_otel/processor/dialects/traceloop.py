"""OpenLLMetry (Traceloop): `traceloop.*`, `gen_ai.prompt.{i}.*`, `llm.*`, vector store events.

Source: traceloop/openllmetry; older versions flatten messages into `gen_ai.prompt.{i}` and
`gen_ai.completion.{i}`, newer ones write the GenAI conventions' attributes beside `traceloop.*`.
"""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel.model import Event, Operation
from fidelity_otel.processor.dialects.documents import documents
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.indexed import listed
from fidelity_otel.processor.dialects.messages import finish_reason, messages
from fidelity_otel.processor.dialects.payload import put_input, put_output
from fidelity_otel.processor.dialects.values import integer, text, unwrapped
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "read"]

NAME: Final = "traceloop"
_KINDS: Final[dict[str, Operation]] = {
    "workflow": "invoke_workflow",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "task": "",
}
_REQUESTS: Final[dict[str, Operation]] = {
    "chat": "chat",
    "completion": "chat",
    "embedding": "embeddings",
    "embeddings": "embeddings",
    "rerank": "rerank",
}
_PROPERTIES: Final = "traceloop.association.properties."
_PROMPT, _COMPLETION, _FUNCTIONS = "gen_ai.prompt", "gen_ai.completion", "llm.request.functions"
_RESULTS: Final = ("db.query.result", "db.search.result")


def read(raw: RawSpan, draft: Draft) -> None:
    """Read what OpenLLMetry says into the draft."""
    get = raw.attributes.get
    kind = get("traceloop.span.kind")
    if isinstance(kind, str):
        _read_entity(raw, kind, draft)
    request = get("llm.request.type")
    if isinstance(request, str):
        draft.put("operation", _REQUESTS.get(request, ""))
    if f"{_PROMPT}.0.role" in raw.attributes or f"{_COMPLETION}.0.role" in raw.attributes:
        _read_flattened(raw.attributes, draft)
    draft.put("workflow", text(get("traceloop.workflow.name")))
    draft.put("conversation_id", text(get(f"{_PROPERTIES}session_id")))
    draft.put("user_id", text(get(f"{_PROPERTIES}user_id")))
    if raw.events:
        _read_results(raw.events, draft)


def _read_entity(raw: RawSpan, kind: str, draft: Draft) -> None:
    get = raw.attributes.get
    name = text(get("traceloop.entity.name")) or raw.name
    draft.put("operation", _KINDS.get(kind, ""))
    if kind == "tool":
        draft.put_tool("name", name)
    elif kind == "agent":
        draft.put("agent", name)
    value = get("traceloop.entity.input")
    if value is not None:
        put_input(value, draft)
    value = get("traceloop.entity.output")
    if value is not None:
        put_output(value, draft)


def _read_flattened(attributes: dict[str, Any], draft: Draft) -> None:
    draft.put("operation", "chat")
    lists = listed(attributes, _PROMPT, _COMPLETION, _FUNCTIONS)
    said = lists.get(_COMPLETION, [])
    draft.put("input_messages", messages(lists.get(_PROMPT), draft, role="user"))
    draft.put("output_messages", messages(said, draft, role="assistant"))
    reasons = (finish_reason(c.get("finish_reason")) for c in said if isinstance(c, dict))
    draft.put("finish_reasons", tuple(r for r in reasons if r))
    tools = lists.get(_FUNCTIONS, [])
    opened = ({**t, "parameters": unwrapped(t.get("parameters"), 1)} for t in tools if _is_map(t))
    draft.put("tool_definitions", tuple(opened))
    draft.put_usage("input_tokens", integer(attributes.get("llm.usage.prompt_tokens")))
    draft.put_usage("output_tokens", integer(attributes.get("llm.usage.completion_tokens")))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _read_results(events: tuple[Event, ...], draft: Draft) -> None:
    """The documents that a vector store's span lists as events."""
    found = [
        {name.rsplit(".", 1)[-1]: value for name, value in event.attributes.items()}
        for event in events
        if event.name in _RESULTS
    ]
    if found and "documents" not in draft.fields:
        draft.put("operation", "retrieval")
        draft.fields["documents"] = documents(found, draft) or ()
