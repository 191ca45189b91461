"""Version 1 of cohere's chat, which its first client still speaks: the kit and beyond it."""

from __future__ import annotations

import json
import threading
from typing import Any

from fidelity_otel.conformance import QUESTION, TEXT, TOOL_CALLS, library
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded

cohere = library("cohere")
base = library("cohere.base_client", "cohere")
first = library("cohere.client", "cohere")
from .test_cohere import RETRIES, USAGE  # noqa: E402
from .test_cohere import TestCohere as SecondKit  # noqa: E402

TOOLS = [
    {"name": n, "description": n, "parameter_definitions": {"id": {"type": "int"}}}
    for n in ("order", "refund")
]
CALLS = [{"name": c["name"], "parameters": c["arguments"]} for c in TOOL_CALLS]


def whole(finish: str, **held: Any) -> dict[str, Any]:
    about = {"generation_id": "resp-1", "response_id": "r-1", "finish_reason": finish}
    return {**about, "text": "", "meta": USAGE, **held}


def event(kind: str, **held: Any) -> bytes:
    return json.dumps({"event_type": kind, "is_finished": kind == "stream-end", **held}).encode()


def lines(*events: bytes, hold: threading.Event | None = None) -> Reply:
    kind = {"content-type": "application/stream+json"}
    return Reply(chunks=[e + b"\n" for e in events], headers=kind, hold=hold)


class TestFirst(SecondKit):
    tool_call_ids = False

    def make_client(self, url: str) -> Any:
        return cohere.Client(api_key="x", base_url=url)

    def make_async_client(self, url: str) -> Any:
        return cohere.AsyncClient(api_key="x", base_url=url)

    def arguments(self, *, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        options = {"max_retries": RETRIES}
        return {"model": "small-model", "message": QUESTION, "request_options": options, **more}

    def reply(self, *, finish: str = "stop") -> Reply:
        reason = {"stop": "COMPLETE", "length": "MAX_TOKENS"}[finish]
        return Reply(whole(reason, text="".join(TEXT)))

    def tools_reply(self) -> Reply:
        return Reply(whole("COMPLETE", tool_calls=CALLS))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        start = event("stream-start", generation_id="resp-1")
        texts = [event("text-generation", text=text) for text in TEXT]
        more = {} if usage else {"meta": None}
        response = whole("COMPLETE", text="".join(TEXT), **more)
        end = event("stream-end", finish_reason="COMPLETE", response=response)
        return lines(start + b"\n" + texts[0], *texts[1:], end, hold=hold)

    def tools_stream_reply(self) -> Reply:
        calls = event("tool-calls-generation", tool_calls=CALLS)
        response = whole("COMPLETE", tool_calls=CALLS)
        return lines(calls, event("stream-end", finish_reason="COMPLETE", response=response))

    def patched(self) -> dict[str, Any]:
        names = ("chat", "chat_stream", "rerank")
        owners = (base.BaseCohere, base.AsyncBaseCohere)
        found = {f"{o.__name__}.{n}": vars(o).get(n) for o in owners for n in names}
        return {**found, "embed": vars(first.Client)["embed"]}

    # The first event holds no text; what is of the second version is tested there.
    test_stream_closed_early = None  # type: ignore[assignment]
    test_the_plan_before_tools_is_reasoning = None  # type: ignore[assignment]
    test_embed_keeps_texts_and_no_vectors = None  # type: ignore[assignment]

    def test_closed_after_the_first_text(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        for item in stream:
            if item.event_type == "text-generation":
                break
        stream.close()
        span = recorded.one(self.span_name)
        assert span["fidelity.stream.complete"] is False
        assert span["gen_ai.response.id"] == "resp-1"
        (answer,) = span.value("gen_ai.output.messages")
        assert answer["parts"] == [{"type": "text", "content": TEXT[0]}]

    def test_a_conversation_with_tools(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.reply())
        self.client(server.url).chat(
            model="small-model",
            preamble="be kind",
            conversation_id="talk-1",
            message="and now?",
            p=0.5,
            chat_history=[
                {"role": "USER", "message": "where?"},
                {"role": "CHATBOT", "message": "here", "tool_calls": CALLS},
            ],
            tool_results=[{"call": CALLS[0], "outputs": [{"state": "sent"}]}],
        )
        span = recorded.one(self.span_name)
        assert span["gen_ai.conversation.id"] == "talk-1"
        assert span["gen_ai.request.top_p"] == 0.5
        assert span.value("gen_ai.system_instructions")[0]["content"] == "be kind"
        user, model, tool, last = span.value("gen_ai.input.messages")
        assert [m["role"] for m in (user, model, tool, last)] == [
            "user",
            "assistant",
            "tool",
            "user",
        ]
        assert [p["type"] for p in model["parts"]] == ["text", "tool_call", "tool_call"]
        assert tool["parts"][0]["response"] == [{"state": "sent"}]

    def test_many_texts_are_one_call(self, server: Loopback, recorded: Recorded) -> None:
        """The client asks for embeddings in batches of 96."""
        body = {
            "id": "e-1",
            "texts": ["x"],
            "embeddings": [[0.25]],
            "meta": {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 4}},
            "response_type": "embeddings_floats",
        }
        server.answer(Reply(body))
        self.client(server.url).embed(model="m", texts=["x"] * 100, input_type="search_query")
        assert len(server.requests) == 2
        assert recorded.names == ["embeddings m"]
        assert recorded.one("embeddings m")["gen_ai.usage.input_tokens"] == 8
