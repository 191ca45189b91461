"""Chat messages of common clients, as the GenAI conventions' message parts."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["blob", "from_chat", "part_of", "tool_call"]

_URL_LENGTH: Final = 512


def from_chat(messages: Any) -> list[dict[str, Any]] | None:
    """Messages as OpenAI's chat API writes them, in parts; None where it is no list of messages.

    Args:
        messages: dicts with `role`, `content` (text or a list of parts), `tool_calls`,
            `tool_call_id`; or objects with such fields.
    """
    if not isinstance(messages, list | tuple) or not messages:
        return None
    read = [_message(m) for m in messages]
    return None if any(m is None for m in read) else [m for m in read if m]


def _message(message: Any) -> dict[str, Any] | None:
    fields: Any = message if isinstance(message, Mapping) else getattr(message, "__dict__", None)
    if not isinstance(fields, Mapping) or not isinstance(fields.get("role"), str):
        return None
    role = fields["role"]
    if isinstance(fields.get("parts"), list | tuple):  # already in the conventions' form
        return dict(fields)
    if role == "tool":
        response = {
            "type": "tool_call_response",
            "id": fields.get("tool_call_id"),
            "response": fields.get("content"),
        }
        return {"role": "tool", "parts": [response]}
    parts = _parts(fields.get("content"))
    if isinstance(refusal := fields.get("refusal"), str):
        parts.append({"type": "text", "content": refusal})
    parts += [tool_call(c) for c in fields.get("tool_calls") or ()]
    out = {"role": "system" if role == "developer" else role, "parts": parts}
    return {**out, "name": fields["name"]} if isinstance(fields.get("name"), str) else out


def _parts(content: Any) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    if isinstance(content, list | tuple):
        return [part_of(p) for p in content]
    return [{"type": "text", "content": content}]


def part_of(part: Any) -> dict[str, Any]:
    """One part of a message's content; images and files by reference or digest, never inline."""
    if isinstance(part, str):
        return {"type": "text", "content": part}
    fields: Any = part if isinstance(part, Mapping) else getattr(part, "__dict__", {})
    kind = fields.get("type")
    if kind in {"text", "input_text", "output_text", "refusal"}:
        return {"type": "text", "content": fields.get("text") or fields.get("refusal") or ""}
    if kind in {"image_url", "input_image"}:
        url = fields.get("image_url")
        held = url.get("url") if isinstance(url, Mapping) else getattr(url, "url", url)
        return _reference(held, "image")
    if kind == "input_audio":
        data = (fields.get("input_audio") or {}).get("data", "")
        return blob(str(data), "audio", "")
    if kind == "file":
        file = fields.get("file") or {}
        if file.get("file_id"):
            return {"type": "file", "modality": "document", "file_id": file["file_id"]}
        return _reference(file.get("file_data"), "document")
    return {"type": str(kind or "unknown"), "content": None}


def _reference(url: Any, modality: str) -> dict[str, Any]:
    text = str(url or "")
    if text.startswith("data:"):
        head, _, data = text.partition(",")
        return blob(data, modality, head[5:].partition(";")[0])
    return {"type": "uri", "modality": modality, "uri": text[:_URL_LENGTH]}


def blob(data: str, modality: str, mime_type: str) -> dict[str, Any]:
    """Inline data by its digest and size, never itself."""
    digest = hashlib.sha256(data.encode()).hexdigest()
    out = {"type": "blob", "modality": modality, "content": f"sha256:{digest}", "bytes": len(data)}
    return {**out, "mime_type": mime_type} if mime_type else out


def tool_call(call: Any) -> dict[str, Any]:
    """A tool call that a model asked for; arguments stay text where they are not valid JSON."""
    inner = _field(call, "function") or _field(call, "custom") or call
    arguments = _field(inner, "arguments")
    if arguments is None:
        arguments = _field(inner, "input")
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    return {
        "type": "tool_call",
        "id": _field(call, "id"),
        "name": _field(inner, "name"),
        "arguments": arguments,
    }


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
