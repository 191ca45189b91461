"""Messages and their parts, in every shape that providers and instrumentations write them.

The shapes: GenAI conventions (`parts`), OpenAI chat and responses, Anthropic content blocks, Gemini
parts, Vercel AI SDK parts, LangChain messages. A part of unknown shape is counted, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fidelity_otel.model import Message, Part
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.values import UNREADABLE, from_json, text

__all__ = ["arguments", "finish_reason", "flattened", "message", "messages", "parts", "tool_call"]

_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "aimessagechunk": "assistant",
    "developer": "system",
    "function": "tool",
    "bot": "assistant",
}
_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "eos": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "incomplete": "length",
    "tool_calls": "tool_call",
    "tool-calls": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "content-filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
}


def finish_reason(value: Any) -> str | None:
    """A finish reason in the conventions' words: stop, length, content_filter, tool_call, error."""
    if type(value) is not str or not value:
        return None
    word = value.rsplit(".", 1)[-1].lower()
    return _FINISH.get(word, word)


FINISHES: Final = {
    word: finish_reason(word)
    for word in (*_FINISH, "stop", "length", "content_filter", "tool_call", "error")
}
"""What `finish_reason` gives for the usual words."""


def arguments(value: Any) -> Any:
    """A call's arguments: opened where they are valid JSON, else the text as it is."""
    if type(value) is str:
        found = from_json(value)
        return value if found is UNREADABLE else found
    return value


def tool_call(entry: Any) -> Part | None:
    """A tool call in OpenAI's shape ({id, function: {name, arguments}}) or a flat one."""
    if not isinstance(entry, dict):
        return None
    inner = entry.get("function", entry.get("functionCall", entry.get("function_call")))
    inner = inner if isinstance(inner, dict) else entry
    name = _first(inner, "name", "toolName", "tool_name", "tool")
    if not isinstance(name, str) or not name:
        return None
    given = _first(inner, "arguments", "args", "input", "parameters")
    identity = text(_first(entry, "call_id", "id", "toolCallId", "tool_call_id", "callId"))
    return Part(type="tool_call", id=identity, name=name, arguments=arguments(given))


def _first(entry: dict[str, Any], *names: str) -> Any:
    for name in names:
        found = entry.get(name)
        if found is not None:
            return found
    return None


# --- parts by their type -------------------------------------------------------------------------


def _text(entry: dict[str, Any]) -> Part | None:
    found = _first(entry, "content", "text", "value", "refusal")
    if isinstance(found, dict):  # {"type": "text", "text": {"value": …}} of the assistants API
        found = found.get("value")
    return Part(type="text", content=found) if isinstance(found, str) else None


def _reasoning(entry: dict[str, Any]) -> Part | None:
    found = _first(entry, "content", "thinking", "text", "reasoning", "summary")
    if isinstance(found, list):
        found = "\n".join(t for t in (_string(item) for item in found) if t)
    return Part(type="reasoning", content=found if isinstance(found, str) else None)


def _string(item: Any) -> str:
    if isinstance(item, dict):
        item = item.get("text", item.get("content"))
    return item if isinstance(item, str) else ""


def _response(entry: dict[str, Any]) -> Part | None:
    identity = text(_first(entry, "id", "tool_use_id", "call_id", "toolCallId", "tool_call_id"))
    name = text(_first(entry, "name", "toolName"))
    found = _first(entry, "response", "result", "output", "content")
    if entry.get("is_error") is True or entry.get("isError") is True:
        found = {"error": found if isinstance(found, str) else flattened(found)}
    return Part(type="tool_call_response", id=identity, name=name, response=flattened(found))


def _server(entry: dict[str, Any]) -> Part | None:
    inner = entry.get("server_tool_call")
    name = text(entry.get("name")) or (text(inner.get("type")) if isinstance(inner, dict) else None)
    return Part(type="tool_call", id=text(entry.get("id")), name=name or "server", arguments=inner)


def _server_response(entry: dict[str, Any]) -> Part | None:
    inner = entry.get("server_tool_call_response")
    return Part(type="tool_call_response", id=text(entry.get("id")), response=inner)


def _blob(entry: dict[str, Any]) -> Part | None:
    return Part(type="blob", name=text(_first(entry, "modality", "mime_type", "type")))


def _file(entry: dict[str, Any]) -> Part | None:
    return Part(type="file", id=text(_first(entry, "file_id", "id")))


def _uri(entry: dict[str, Any]) -> Part | None:
    return Part(type="uri", content=text(_first(entry, "uri", "url")))


_BY_TYPE: Final[dict[str, Callable[[dict[str, Any]], Part | None]]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "refusal", "output-text"), _text),
    **dict.fromkeys(("reasoning", "thinking", "redacted_thinking"), _reasoning),
    **dict.fromkeys(
        ("tool_call", "tool_use", "tool-call", "function", "function_call", "tool-invocation"),
        tool_call,
    ),
    **dict.fromkeys(
        ("tool_call_response", "tool_result", "tool-result", "function_call_output"), _response
    ),
    **dict.fromkeys(("server_tool_call", "server_tool_use"), _server),
    "server_tool_call_response": _server_response,
    **dict.fromkeys(
        ("blob", "image", "image_url", "input_image", "audio", "input_audio", "image-url"), _blob
    ),
    **dict.fromkeys(("file", "input_file", "document"), _file),
    "uri": _uri,
    "compaction": _text,
}


def flattened(value: Any) -> Any:
    """A tool's result whose list of text blocks is joined to one text; anything else unchanged."""
    if isinstance(value, dict) and value.get("type") in ("text", "json") and "value" in value:
        return value["value"]  # Vercel's {type: "text" | "json", value}
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, dict) and v.get("type") == "text" for v in value)
    ):
        return "\n".join(_string(v) for v in value)
    return value


def part(entry: Any, draft: Draft) -> Part | None:
    """One part of a message."""
    if isinstance(entry, str):
        return Part(type="text", content=entry) if entry else None
    if not isinstance(entry, dict):
        draft.unread += entry is not None
        return None
    reader = _BY_TYPE.get(_kind(entry))
    if reader is not None:
        found = reader(entry)
    elif "functionCall" in entry or "function_call" in entry:
        found = tool_call(entry)
    elif "functionResponse" in entry or "function_response" in entry:
        inner = _first(entry, "functionResponse", "function_response")
        found = _response(inner) if isinstance(inner, dict) else None
    else:
        found = _text(entry)
    if found is None:
        draft.unread += 1
    return found


def parts(content: Any, draft: Draft) -> list[Part]:
    """The parts of a message's content: a text, one part, or a list of them."""
    if content is None or content == "":
        return []
    entries = content if isinstance(content, list | tuple) else [content]
    return [found for entry in entries if (found := part(entry, draft)) is not None]


def message(entry: Any, draft: Draft, *, role: str = "") -> Message | None:
    """One message of any known shape.

    Args:
        entry: a mapping; a text is the content of a message of `role`.
        draft: where the unreadable is counted.
        role: the role where the entry does not say.
    """
    if isinstance(entry, str):
        return Message(role=role or "user", parts=(Part(type="text", content=entry),))
    if not isinstance(entry, dict):
        draft.unread += entry is not None
        return None
    inner = entry.get("kwargs", entry.get("data"))  # LangChain's serialised and its dict form
    if isinstance(inner, dict) and "content" in inner:
        entry = {**inner, "type": inner.get("type", entry.get("type", _langchain_role(entry)))}
    elif isinstance(entry.get("message"), dict):  # a choice around its message
        entry = {**entry["message"], "finish_reason": entry.get("finish_reason")}
    found_role = _role(entry, role)
    if found_role is None:
        return _bare(entry, draft)
    content = entry.get("parts", entry.get("content"))
    if found_role == "tool" and not _holds_responses(content):
        found = [_tool_message(entry)]
    else:
        found = parts(content, draft)
    if found_role == "user" and found and all(p.type == "tool_call_response" for p in found):
        found_role = "tool"  # Anthropic and PydanticAI send results back as the user
    calls = entry.get("tool_calls", entry.get("toolCalls"))
    found.extend(_calls(calls, found, draft))
    if isinstance(entry.get("function_call"), dict):
        found.extend(_calls([entry["function_call"]], found, draft))
    reasoning = entry.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        found.insert(0, Part(type="reasoning", content=reasoning))
    reason = finish_reason(_first(entry, "finish_reason", "finishReason", "stop_reason"))
    if isinstance(entry.get("refusal"), str) and entry["refusal"]:
        found.append(Part(type="text", content=entry["refusal"]))
        reason = "refusal"
    name = entry.get("name") if found_role != "tool" else None
    return Message(found_role, tuple(found), name if isinstance(name, str) else None, reason)


def _calls(calls: Any, found: list[Part], draft: Draft) -> Iterable[Part]:
    if not isinstance(calls, list | tuple):
        return
    known = {p.id for p in found if p.type == "tool_call" and p.id}
    for entry in calls:
        call = tool_call(entry)
        if call is None:
            draft.unread += 1
        elif call.id is None or call.id not in known:
            yield call


def _holds_responses(content: Any) -> bool:
    entries = content if isinstance(content, list) else [content]
    return any(isinstance(e, dict) and _BY_TYPE.get(_kind(e)) is _response for e in entries)


def _kind(entry: dict[str, Any]) -> str:
    kind = entry.get("type")
    return kind if isinstance(kind, str) else ""


def _tool_message(entry: dict[str, Any]) -> Part:
    identity = text(_first(entry, "tool_call_id", "toolCallId", "id"))
    content = flattened(entry.get("content", entry.get("parts")))
    if entry.get("status") == "error":
        content = {"error": content}
    name = entry.get("name")
    return Part(
        type="tool_call_response",
        id=identity,
        name=name if isinstance(name, str) else None,
        response=content,
    )


def _role(entry: dict[str, Any], role: str) -> str | None:
    found = entry.get("role")
    if not isinstance(found, str) or not found:
        kind = entry.get("type")
        found = kind if isinstance(kind, str) and kind.lower() in _KNOWN_ROLES else role
    lowered = found.lower()
    return _ROLES.get(lowered, lowered) or None


_KNOWN_ROLES: Final = {*_ROLES, "system", "user", "assistant", "tool"}


def _langchain_role(entry: dict[str, Any]) -> str:
    identity = entry.get("id")
    name = identity[-1] if isinstance(identity, list) and identity else ""
    return name.removesuffix("MessageChunk").removesuffix("Message").lower() if name else ""


def _bare(entry: dict[str, Any], draft: Draft) -> Message | None:
    """An item without a role: a tool call or its output (OpenAI responses), else unreadable."""
    found = part(entry, draft)
    if found is None:
        return None
    role = {"tool_call_response": "tool", "tool_call": "assistant", "reasoning": "assistant"}
    return Message(role.get(found.type, "user"), (found,))


def messages(value: Any, draft: Draft, *, role: str = "") -> tuple[Message, ...]:
    """All messages of a list (also nested once, as LangChain batches are), or of one message."""
    if value is None:
        return ()
    entries = value if isinstance(value, list | tuple) else [value]
    if entries and isinstance(entries[0], list):
        entries = entries[0]
    found = (message(entry, draft, role=role) for entry in entries)
    return tuple(m for m in found if m is not None)
