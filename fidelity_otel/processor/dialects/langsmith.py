"""LangSmith's OpenTelemetry export: `langsmith.span.*`, whole payloads in `gen_ai.prompt`.

Source: langchain-ai/langsmith-sdk, `python/langsmith/_internal/otel/_otel_exporter.py`.
"""

from __future__ import annotations

from typing import Final

from fidelity_otel.model import Operation
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.payload import put_input, put_output
from fidelity_otel.processor.dialects.values import text
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "read"]

NAME: Final = "langsmith"
_KINDS: Final[dict[str, Operation]] = {
    "llm": "chat",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "embedding": "embeddings",
    "chain": "",
    "prompt": "",
    "parser": "",
}


def read(raw: RawSpan, draft: Draft) -> None:
    """Read what LangSmith says into the draft.

    It sets `gen_ai.operation.name` to chat on chains too, so the kind of the run decides.
    """
    get = raw.attributes.get
    kind = get("langsmith.span.kind")
    if not isinstance(kind, str):
        return
    draft.fields.pop("operation", None)
    operation = _KINDS.get(kind.lower(), "")
    draft.put("operation", operation)
    if operation != "chat":
        for field in ("provider", "model_requested", "finish_reasons"):  # guessed for any run
            draft.fields.pop(field, None)
    if operation == "execute_tool":
        draft.put_tool("name", raw.name)
    given = get("gen_ai.prompt")
    if given is not None:
        put_input(given, draft)
    said = get("gen_ai.completion")
    if said is not None:
        put_output(said, draft)
    draft.put("conversation_id", text(get("langsmith.metadata.session_id")))
    draft.put("conversation_id", text(get("langsmith.metadata.thread_id")))
    draft.put("conversation_id", text(get("langsmith.metadata.conversation_id")))
    draft.put("user_id", text(get("langsmith.metadata.user_id")))
