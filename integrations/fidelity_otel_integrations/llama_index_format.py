"""LlamaIndex's messages, answers and nodes, in the GenAI conventions' terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import tool_call
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel_integrations.chat_format import field

__all__ = ["Model", "documents", "messages", "model_of", "text", "write_output"]


@dataclass(frozen=True)
class Model:
    """What a model's object says of itself."""

    name: str
    provider: str
    settings: dict[str, Any]


def model_of(instance: Any) -> Model:
    """The name, provider and settings of a model."""
    about = getattr(instance, "metadata", None)
    name = getattr(about, "model_name", None) or getattr(instance, "model_name", None)
    kind = type(instance)
    known = str(name) if name and name != "unknown" else kind.__name__
    settings = {
        sc.GEN_AI_REQUEST_TEMPERATURE: _number(getattr(instance, "temperature", None)),
        sc.GEN_AI_REQUEST_MAX_TOKENS: _number(getattr(instance, "max_tokens", None)),
    }
    parts = kind.__module__.split(".")
    provider = parts[2] if parts[:2] == ["llama_index", "llms"] and len(parts) > 2 else ""  # noqa: PLR2004
    return Model(known, provider or "llama_index", settings)


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else None


def messages(sent: Sequence[Any]) -> list[dict[str, Any]]:
    """Messages, each in its parts; a prompt as the user's."""
    return [_message(m) for m in sent]


def _message(message: Any) -> dict[str, Any]:
    if isinstance(message, str):
        return {"role": "user", "parts": [{"type": "text", "content": message}]}
    role = getattr(message.role, "value", str(message.role))
    more = getattr(message, "additional_kwargs", None) or {}
    if role == "tool":
        answer = {
            "type": "tool_call_response",
            "id": more.get("tool_call_id"),
            "response": message.content,
        }
        return {"role": "tool", "parts": [answer]}
    parts = [p for block in getattr(message, "blocks", None) or () if (p := _block(block))]
    if not parts and isinstance(message.content, str) and message.content:
        parts = [{"type": "text", "content": message.content}]
    if not any(p["type"] == "tool_call" for p in parts):
        parts += [tool_call(c) for c in more.get("tool_calls") or ()]
    return {"role": "assistant" if role in {"chatbot", "model"} else role, "parts": parts}


def _block(block: Any) -> dict[str, Any] | None:
    kind = str(getattr(block, "block_type", ""))
    if kind == "text":
        return {"type": "text", "content": block.text} if block.text else None
    if kind == "thinking":
        return {"type": "reasoning", "content": block.content or ""}
    if kind == "tool_call":
        return {
            "type": "tool_call",
            "id": block.tool_call_id,
            "name": block.tool_name,
            "arguments": block.tool_kwargs,
        }
    if kind in {"image", "audio", "video", "document"}:
        url = getattr(block, "url", None) or getattr(block, "path", None)
        return {"type": "uri", "modality": kind, "uri": str(url)[:512] if url else None}
    return None


def write_output(call: ModelCall | None, answer: Any) -> None:
    """What a ChatResponse or CompletionResponse says; embeddings are not kept."""
    message = getattr(answer, "message", None)
    said = getattr(answer, "text", None)
    if call is None or answer is None or (message is None and said is None):
        return
    raw = getattr(answer, "raw", None)
    usage = field(raw, "usage")
    counted = None
    details = field(usage, "prompt_tokens_details")
    if usage is not None:
        counted = {
            "input_tokens": field(usage, "prompt_tokens") or field(usage, "input_tokens"),
            "output_tokens": field(usage, "completion_tokens") or field(usage, "output_tokens"),
            "cache_read.input_tokens": field(details, "cached_tokens"),
        }
    whole = [_message(message)] if message is not None else None
    if whole is None:
        whole = [{"role": "assistant", "parts": [{"type": "text", "content": said}]}]
    choices = field(raw, "choices") or ()
    reasons = [str(r) for c in choices if (r := field(c, "finish_reason"))]
    call.output(
        response_id=field(raw, "id"),
        model=field(raw, "model"),
        finish_reasons=reasons,
        messages=whole if call.wants_content else None,
        usage=counted,
    )


def documents(nodes: Any) -> list[dict[str, Any]]:
    """Retrieved nodes with id, score, content, source and metadata."""
    return [_document(item) for item in nodes or ()]


def _document(item: Any) -> dict[str, Any]:
    node = getattr(item, "node", item)
    metadata = dict(getattr(node, "metadata", None) or {})
    source = next((metadata[k] for k in ("source", "file_path", "url") if k in metadata), None)
    found = {
        "id": getattr(node, "node_id", None),
        "score": getattr(item, "score", None),
        sc.DOCUMENT_CONTENT: node.get_content(),
        sc.DOCUMENT_SOURCE: source,
        "metadata": metadata or None,
    }
    return {k: v for k, v in found.items() if v is not None}


def text(result: Any) -> Any:
    """An engine's or tool's answer as text, where it has one; else itself."""
    for name in ("content", "response"):
        if isinstance(said := getattr(result, name, None), str):
            return said
    return result
