"""Langfuse (SDK 3 and newer): `langfuse.observation.*`, `langfuse.trace.*`.

Source: langfuse/langfuse-python, `langfuse/_client/attributes.py`.
"""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel.model import Operation
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.payload import put_input, put_output
from fidelity_otel.processor.dialects.values import integer, number, text, unwrapped
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "put_usage_details", "read"]

NAME: Final = "langfuse"
_O: Final = "langfuse.observation."
_TYPES: Final[dict[str, Operation]] = {
    "generation": "chat",
    "embedding": "embeddings",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "evaluator": "evaluation",
    "guardrail": "guardrail",
}
_COUNTS: Final = (
    ("input_tokens", ("prompt_tokens", "input_tokens", "input")),
    ("output_tokens", ("completion_tokens", "output_tokens", "output")),
    ("cached_tokens", ("input_cached_tokens", "cache_read_input_tokens", "input_cache_read")),
    ("reasoning_tokens", ("output_reasoning_tokens", "reasoning_tokens", "output_reasoning")),
)


def read(raw: RawSpan, draft: Draft) -> None:
    """Read what Langfuse says into the draft."""
    get = raw.attributes.get
    kind = get(f"{_O}type")
    if isinstance(kind, str):
        draft.put("operation", _TYPES.get(kind, ""))
    operation = draft.fields.get("operation")
    if operation == "execute_tool":
        draft.put_tool("name", raw.name)
    elif operation == "invoke_agent":
        draft.put("agent", raw.name)
    draft.put("model_used", text(get(f"{_O}model.name")))
    value = get(f"{_O}input", get("langfuse.trace.input"))
    if value is not None:
        put_input(value, draft)
    value = get(f"{_O}output", get("langfuse.trace.output"))
    if value is not None:
        put_output(value, draft)
    put_usage_details(get(f"{_O}usage_details"), draft)
    cost = unwrapped(get(f"{_O}cost_details"), 1)
    if isinstance(cost, dict):
        draft.put_usage("cost_usd", number(cost.get("total")))
    if get(f"{_O}level") == "ERROR":
        message = text(get(f"{_O}status_message")) or "error"
        draft.put("status_message", message)
        draft.put("error_type", "error")
    draft.put("workflow", text(get("langfuse.trace.name")))
    draft.put("conversation_id", text(get("langfuse.session.id")))
    draft.put("user_id", text(get("langfuse.user.id")))
    draft.put("release", text(get("langfuse.release")))


def put_usage_details(value: Any, draft: Draft) -> None:
    """Read a map of token counts under the provider's own names."""
    details = unwrapped(value, 1)
    if not isinstance(details, dict):
        return
    for field, names in _COUNTS:
        found = next((n for k in names if (n := integer(details.get(k))) is not None), None)
        draft.put_usage(field, found)
