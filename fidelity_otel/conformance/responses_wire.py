"""OpenAI's responses protocol, as a loopback provider answers in it."""

from __future__ import annotations

import json
import threading
from typing import Any, Final

from fidelity_otel.conformance.provider import TEXT, TOOL_CALLS
from fidelity_otel.loopback import Reply

__all__ = ["TOOLS", "USAGE", "ResponsesWire", "response", "sse", "text"]

USAGE: Final = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}
TOOLS: Final[list[dict[str, Any]]] = [
    {"type": "function", "name": n, "parameters": {}, "strict": True} for n in ("order", "refund")
]


def response(output: list[Any], **more: Any) -> dict[str, Any]:
    """A whole response."""
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 1,
        "model": "small-model-2026",
        "status": "completed",
        "output": output,
        "usage": USAGE,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **more,
    }


def text(content: str) -> dict[str, Any]:
    """An output item of one text."""
    return {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": content, "annotations": []}],
    }


def sse(kind: str, **fields: Any) -> bytes:
    """One event of a stream."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


class ResponsesWire:
    """The replies that the kit asks for, for clients that speak this protocol."""

    def reply(self, *, finish: str = "stop") -> Reply:
        """TEXT in one response."""
        more: dict[str, Any] = {}
        if finish == "length":
            more = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        return Reply(response([text("".join(TEXT))], **more))

    def calls(self) -> list[dict[str, Any]]:
        """TOOL_CALLS as output items."""
        return [
            {
                "type": "function_call",
                "id": f"fc-{c['id']}",
                "call_id": c["id"],
                "name": c["name"],
                "arguments": json.dumps(c["arguments"]),
                "status": "completed",
            }
            for c in TOOL_CALLS
        ]

    def tools_reply(self) -> Reply:
        """TOOL_CALLS in one response."""
        return Reply(response(self.calls()))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        """TEXT as a stream of events; the first chunk holds two."""
        started = response([], status="in_progress", usage=None)
        deltas = [
            sse(
                "response.output_text.delta",
                delta=part,
                item_id="msg-1",
                output_index=0,
                content_index=0,
                sequence_number=i,
                logprobs=[],
            )
            for i, part in enumerate(TEXT)
        ]
        done = response([text("".join(TEXT))], **({} if usage else {"usage": None}))
        chunks = [*deltas, sse("response.completed", response=done, sequence_number=9)]
        chunks[0] = sse("response.created", response=started, sequence_number=0) + chunks[0]
        return Reply(chunks=chunks, hold=hold)

    def tools_stream_reply(self) -> Reply:
        """TOOL_CALLS, whole, in the last event."""
        done = response(self.calls())
        return Reply(chunks=[sse("response.completed", response=done, sequence_number=1)])
