"""LangChain's messages, results and settings, in the GenAI conventions' terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.messages import blob, part_of, tool_call
from fidelity_otel.sdk.modelcall import ModelCall

__all__ = ["messages", "request", "tools", "write_output"]

_ROLES: Final = {"human": "user", "ai": "assistant", "system": "system", "function": "tool"}
_CALLS: Final = {"tool_use", "tool_call", "function_call", "input_json_delta", "tool_call_chunk"}


def messages(batch: Sequence[Any]) -> list[dict[str, Any]]:
    """Messages, each in its parts."""
    return [_message(m) for m in batch]


def _message(message: Any) -> dict[str, Any]:
    kind = str(getattr(message, "type", "")).removesuffix("MessageChunk").lower()
    role = _ROLES.get(kind) or str(getattr(message, "role", None) or kind or "user")
    content = getattr(message, "content", message)
    if role == "tool":
        answer = {
            "type": "tool_call_response",
            "id": getattr(message, "tool_call_id", None),
            "response": content,
        }
        if getattr(message, "status", "success") == "error":
            answer["is_error"] = True
        return {"role": "tool", "parts": [answer]}
    parts = [{"type": "text", "content": content}] if isinstance(content, str) and content else []
    if isinstance(content, list):
        parts = [p for item in content if (p := _part(item)) is not None]
    calls = getattr(message, "tool_calls", None) or ()
    parts += [tool_call({**c, "arguments": c.get("args")}) for c in calls]
    wrong = getattr(message, "invalid_tool_calls", None) or ()
    parts += [tool_call({**c, "arguments": c.get("args")}) for c in wrong]
    return {"role": role, "parts": parts}


def _part(item: Any) -> dict[str, Any] | None:
    if not isinstance(item, Mapping):
        return part_of(item)
    kind = item.get("type")
    if kind in _CALLS:  # the message lists its calls apart
        return None
    if kind in {"reasoning", "thinking"}:
        return {"type": "reasoning", "content": item.get("reasoning") or item.get("thinking") or ""}
    if kind in {"image", "audio", "file", "video"}:
        source: Any = item.get("source") if isinstance(item.get("source"), Mapping) else item
        data = source.get("base64") or source.get("data")
        modality = "document" if kind == "file" else str(kind)
        if data:
            mime_type = source.get("mime_type") or source.get("media_type") or ""
            return blob(str(data), modality, str(mime_type))
        if source.get("url"):
            return part_of({"type": "image_url", "image_url": source["url"]}) | {
                "modality": modality
            }
    return part_of(item)


def request(settings: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Request attributes that are no content."""
    stop = settings.get("stop") or settings.get("stop_sequences")
    choices = settings.get("n")

    def known(name: str, *more: str) -> Any:
        found = [settings.get(n) for n in (name, *more)] + [metadata.get(f"ls_{name}")]
        return next((v for v in found if v is not None), None)

    return {
        sc.GEN_AI_REQUEST_TEMPERATURE: known("temperature"),
        sc.GEN_AI_REQUEST_MAX_TOKENS: known("max_tokens", "max_completion_tokens"),
        sc.GEN_AI_REQUEST_TOP_P: settings.get("top_p"),
        sc.GEN_AI_REQUEST_TOP_K: settings.get("top_k"),
        sc.GEN_AI_REQUEST_SEED: settings.get("seed"),
        sc.GEN_AI_REQUEST_STOP_SEQUENCES: [stop] if isinstance(stop, str) else stop or None,
        sc.GEN_AI_REQUEST_FREQUENCY_PENALTY: settings.get("frequency_penalty"),
        sc.GEN_AI_REQUEST_PRESENCE_PENALTY: settings.get("presence_penalty"),
        sc.GEN_AI_REQUEST_CHOICE_COUNT: choices if choices != 1 else None,
    }


def tools(settings: Mapping[str, Any]) -> Any:
    """The tool definitions that were sent."""
    return settings.get("tools") or settings.get("functions")


def write_output(call: ModelCall | None, result: Any) -> None:
    """What a model's `LLMResult` says: the generations of the one prompt of this run."""
    if call is None:
        return
    held = [g for batch in getattr(result, "generations", None) or () for g in batch]
    whole: Mapping[str, Any] = getattr(result, "llm_output", None) or {}
    answers = [getattr(g, "message", None) for g in held]
    about = [_about(g, m) for g, m in zip(held, answers, strict=True)]
    reasons = [str(a.get("finish_reason") or a.get("stop_reason") or "") for a in about]
    first: Mapping[str, Any] = about[0] if about else {}
    call.output(
        response_id=first.get("id") or whole.get("id") or _id(answers[0] if answers else None),
        model=first.get("model_name") or first.get("model") or whole.get("model_name"),
        finish_reasons=[_REASONS.get(r, r) for r in reasons],
        messages=[
            {**(_message(m) if m is not None else _text(g)), "finish_reason": r or None}
            for g, m, r in zip(held, answers, reasons, strict=True)
        ]
        if call.wants_content
        else None,
        usage=_usage(answers, whole),
    )


_REASONS: Final = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_call"}


def _about(generation: Any, message: Any) -> dict[str, Any]:
    return {
        **(getattr(generation, "generation_info", None) or {}),
        **(getattr(message, "response_metadata", None) or {}),
    }


def _id(message: Any) -> str | None:
    """A message's id, where the provider and not LangChain chose it."""
    found = getattr(message, "id", None)
    made_here = not isinstance(found, str) or found.startswith(("run-", "run--", "lc_"))
    return None if made_here else str(found)


def _text(generation: Any) -> dict[str, Any]:
    text = getattr(generation, "text", "")
    return {"role": "assistant", "parts": [{"type": "text", "content": text}]}


def _usage(answers: Sequence[Any], whole: Mapping[str, Any]) -> dict[str, int | None] | None:
    said = [u for m in answers if (u := getattr(m, "usage_metadata", None))]
    if said:
        usage = said[0]
        ins, outs = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
        return {
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "cache_read.input_tokens": ins.get("cache_read"),
            "cache_write.input_tokens": ins.get("cache_creation"),
            "reasoning.output_tokens": outs.get("reasoning"),
        }
    counted = whole.get("token_usage") or whole.get("usage")
    if not isinstance(counted, Mapping) or not counted:
        return None
    return {
        "input_tokens": counted.get("prompt_tokens", counted.get("input_tokens")),
        "output_tokens": counted.get("completion_tokens", counted.get("output_tokens")),
    }
