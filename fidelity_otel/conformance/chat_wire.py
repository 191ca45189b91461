"""OpenAI's chat completions protocol, as a loopback provider answers in it."""

from __future__ import annotations

import json
import threading
from typing import Any, Final

from fidelity_otel.conformance.provider import TEXT, TOOL_CALLS
from fidelity_otel.loopback import Reply

__all__ = ["TOOLS", "USAGE", "ChatWire", "completion", "event", "fragment"]

USAGE: Final = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
TOOLS: Final = [
    {
        "type": "function",
        "function": {"name": name, "description": name, "parameters": {"type": "object"}},
    }
    for name in ("order", "refund")
]


def completion(message: dict[str, Any], finish: str) -> dict[str, Any]:
    """A whole response."""
    return {
        "id": "resp-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small-model-2026",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
        ],
        "usage": USAGE,
    }


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    chunk = {
        "id": "resp-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "small-model-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def fragment(index: int, **fields: Any) -> dict[str, Any]:
    """A piece of a streamed tool call."""
    return {"tool_calls": [{"index": index, **fields}]}


class ChatWire:
    """The replies that the kit asks for, for clients and frameworks that speak this protocol."""

    def reply(self, *, finish: str = "stop") -> Reply:
        """TEXT in one response."""
        return Reply(completion({"content": "".join(TEXT)}, finish))

    def tools_reply(self) -> Reply:
        """TOOL_CALLS in one response."""
        calls = [
            {
                "id": c["id"],
                "type": "function",
                "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])},
            }
            for c in TOOL_CALLS
        ]
        return Reply(completion({"content": None, "tool_calls": calls}, "tool_calls"))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        """TEXT as a stream."""
        chunks = [event({"role": "assistant", "content": TEXT[0]})]
        chunks += [event({"content": text}) for text in TEXT[1:]]
        chunks.append(event({}, "stop"))
        if usage:
            chunks.append(event({}, choices=[], usage=USAGE))
        return Reply(chunks=[*chunks, b"data: [DONE]\n\n"], hold=hold)

    def tools_stream_reply(self) -> Reply:
        """TOOL_CALLS, their arguments in interleaved fragments."""
        texts = [json.dumps(c["arguments"]) for c in TOOL_CALLS]
        chunks = [
            event(
                {
                    "role": "assistant",
                    **fragment(
                        i,
                        id=c["id"],
                        type="function",
                        function={"name": c["name"], "arguments": ""},
                    ),
                }
            )
            for i, c in enumerate(TOOL_CALLS)
        ]
        for at in range(0, max(map(len, texts)), 4):
            for i, text in enumerate(texts):
                if piece := text[at : at + 4]:
                    chunks.append(event(fragment(i, function={"arguments": piece})))
        return Reply(chunks=[*chunks, event({}, "tool_calls"), b"data: [DONE]\n\n"])
