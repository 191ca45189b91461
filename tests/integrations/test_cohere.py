"""The cohere integration, through the kit and beyond it."""

from __future__ import annotations

import inspect
import json
import threading
from typing import Any

import pytest

from fidelity_otel.conformance import QUESTION, TEXT, TOOL_CALLS, Conformance, library
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded
from fidelity_otel_integrations import cohere as integration

cohere = library("cohere")
v2 = library("cohere.v2.client", "cohere")
http_client = library("cohere.core.http_client", "cohere")

# Older releases do not try again unless told to, and begin to count at two.
COUNTS = "base_max_retries" in inspect.signature(http_client.HttpClient.__init__).parameters
RETRIES = 2 if COUNTS else 4

USAGE = {
    "billed_units": {"input_tokens": 8, "output_tokens": 7},
    "tokens": {"input_tokens": 11, "output_tokens": 7},
    "cached_tokens": 3,
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": name, "parameters": {"type": "object"}},
    }
    for name in ("order", "refund")
]


def message(finish: str, **held: Any) -> dict[str, Any]:
    whole = {"role": "assistant", **held}
    return {"id": "resp-1", "finish_reason": finish, "message": whole, "usage": USAGE}


def sse(kind: str, index: int | None = None, **held: Any) -> bytes:
    told = {"type": kind, **({} if index is None else {"index": index})}
    if held:
        told["delta"] = {"message": held}
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()


def begin() -> bytes:
    delta = {"message": {"role": "assistant", "content": [], "tool_calls": []}}
    told = {"type": "message-start", "id": "resp-1", "delta": delta}
    return f"event: message-start\ndata: {json.dumps(told)}\n\n".encode()


def end(finish: str, *, usage: bool = True) -> bytes:
    delta = {"finish_reason": finish, **({"usage": USAGE} if usage else {})}
    told = {"type": "message-end", "delta": delta}
    return f"event: message-end\ndata: {json.dumps(told)}\n\ndata: [DONE]\n\n".encode()


class TestCohere(Conformance):
    integration = integration
    provider = "cohere"
    says_model = False
    lazy_streams = True

    def make_client(self, url: str) -> Any:
        return cohere.ClientV2(api_key="x", base_url=url)

    def make_async_client(self, url: str) -> Any:
        return cohere.AsyncClientV2(api_key="x", base_url=url)

    def close_client(self, client: Any) -> None:
        client._client_wrapper.httpx_client.httpx_client.close()

    async def close_async_client(self, client: Any) -> None:
        await client._client_wrapper.httpx_client.httpx_client.aclose()

    def arguments(self, *, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        messages = [{"role": "user", "content": QUESTION}]
        options = {"max_retries": RETRIES}
        return {"model": "small-model", "messages": messages, "request_options": options, **more}

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        ask = client.chat_stream if stream else client.chat
        return ask(**self.arguments(tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        if stream:
            return client.chat_stream(**self.arguments(tools=tools))
        return await client.chat(**self.arguments(tools=tools))

    async def aclose(self, stream: Any) -> None:
        await stream.aclose()

    def reply(self, *, finish: str = "stop") -> Reply:
        reason = {"stop": "COMPLETE", "length": "MAX_TOKENS"}[finish]
        return Reply(message(reason, content=[{"type": "text", "text": "".join(TEXT)}]))

    def tools_reply(self) -> Reply:
        calls = [
            {
                "id": c["id"],
                "type": "function",
                "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])},
            }
            for c in TOOL_CALLS
        ]
        return Reply(message("TOOL_CALL", tool_plan="I will look.", tool_calls=calls))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        start = begin() + sse("content-start", 0, content={"type": "text", "text": ""})
        deltas = [sse("content-delta", 0, content={"text": text}) for text in TEXT]
        last = sse("content-end", 0) + end("COMPLETE", usage=usage)
        return Reply(chunks=[start + deltas[0], *deltas[1:], last], hold=hold)

    def tools_stream_reply(self) -> Reply:
        texts = [json.dumps(c["arguments"]) for c in TOOL_CALLS]
        chunks = [begin(), sse("tool-plan-delta", tool_plan="I will look.")]
        for i, c in enumerate(TOOL_CALLS):
            function = {"name": c["name"], "arguments": texts[i][:4]}
            call = {"id": c["id"], "type": "function", "function": function}
            chunks.append(sse("tool-call-start", i, tool_calls=call))
        for i, text in enumerate(texts):
            chunks.append(
                sse("tool-call-delta", i, tool_calls={"function": {"arguments": text[4:]}})
            )
        chunks += [sse("tool-call-end", i) for i in range(len(texts))]
        return Reply(chunks=[*chunks, end("TOOL_CALL")])

    def error_reply(self, status: int, headers: dict[str, str] | None = None) -> Reply:
        return Reply({"message": "it failed"}, status, headers or {})

    def patched(self) -> dict[str, Any]:
        names = ("chat", "chat_stream", "embed", "rerank")
        owners = (v2.V2Client, v2.AsyncV2Client)
        found = {f"{o.__name__}.{n}": vars(o).get(n) for o in owners for n in names}
        return {**found, "retry": http_client._retry_timeout}

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(v2.AsyncV2Client, "rerank")

    @pytest.mark.parametrize("way", ["break", "close", "drop"])
    def test_stream_closed_early(self, way: str, server: Loopback, recorded: Recorded) -> None:
        """The first events hold no text: read as far as the first that does."""
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        for event in stream:
            if event.type == "content-delta":
                break
        if way == "close":
            stream.close()
        del stream, event
        span = recorded.one(self.span_name)
        assert span["fidelity.stream.complete"] is False
        assert "partial_stream" in span.losses
        assert not span.error
        (answer,) = span.value("gen_ai.output.messages")
        assert answer["parts"] == [{"type": "text", "content": TEXT[0]}]

    def test_the_plan_before_tools_is_reasoning(self, server: Loopback, recorded: Recorded) -> None:
        client = self.client(server.url)
        server.answer(self.tools_reply())
        self.call(client, tools=True)
        server.answer(self.tools_stream_reply())
        list(self.call(client, stream=True, tools=True))
        for span in recorded.all(self.span_name):
            (answer,) = span.value("gen_ai.output.messages")
            assert answer["parts"][0] == {"type": "reasoning", "content": "I will look."}

    def test_embed_keeps_texts_and_no_vectors(self, server: Loopback, recorded: Recorded) -> None:
        body = {
            "id": "e-1",
            "texts": ["one", "two"],
            "embeddings": {"float": [[0.25], [0.5]]},
            "meta": {"billed_units": {"input_tokens": 4}},
            "response_type": "embeddings_by_type",
        }
        server.answer(Reply(body))
        self.client(server.url).embed(
            model="m", input_type="search_query", texts=["one", "two"], embedding_types=["float"]
        )
        span = recorded.one("embeddings m")
        assert span["gen_ai.usage.input_tokens"] == 4
        assert span["gen_ai.request.encoding_formats"] == ("float",)
        assert span.value("fidelity.input") == ["one", "two"]
        assert "0.25" not in repr(span.attributes)

    async def test_rerank(self, server: Loopback, recorded: Recorded) -> None:
        results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
        server.answer(Reply({"id": "r-1", "results": results, "meta": {}}))
        client = self.async_client(server.url)
        await client.rerank(model="m", query="which?", documents=["no", "yes"], top_n=2)
        span = recorded.one("rerank m")
        assert span.kind == "CLIENT"
        assert span["gen_ai.request.top_k"] == 2
        assert span.value("fidelity.input") == {"query": "which?", "documents": ["no", "yes"]}
        assert [r["id"] for r in span.value("fidelity.output")] == ["1", "0"]
        assert "usage_missing" not in span.losses
