"""The mistralai integration, through the kit and beyond it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import threading
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fidelity_otel.conformance import QUESTION, TEXT, TOOL_CALLS, Conformance, library
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.sdk.state import STATE
from fidelity_otel.testing import Recorded
from fidelity_otel_integrations import mistralai as integration

library("mistralai")
# Release 2 moved the client one level down.
ROOT = "mistralai" if importlib.util.find_spec("mistralai.chat") else "mistralai.client"
chat = importlib.import_module(f"{ROOT}.chat")
utils = importlib.import_module(f"{ROOT}.utils")
retries = importlib.import_module(f"{ROOT}.utils.retries")
Mistral = importlib.import_module(f"{ROOT}.sdk").Mistral
TELEMETRY: Any
try:
    TELEMETRY = importlib.import_module("mistralai.extra.observability.telemetry")
except ImportError:
    TELEMETRY = None

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 3},
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": name, "parameters": {"type": "object"}},
    }
    for name in ("order", "refund")
]


def completion(message: dict[str, Any], finish: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    about = {"object": "chat.completion", "created": 1, "model": "small-model-2026"}
    return {"id": "resp-1", **about, "choices": [choice], "usage": USAGE}


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    about = {"object": "chat.completion.chunk", "created": 1, "model": "small-model-2026"}
    chunk = {"id": "resp-1", **about, "choices": [choice], **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def fragment(index: int, arguments: str, **fields: Any) -> dict[str, Any]:
    name = fields.pop("name", "")
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, **fields, "function": function}]}


class TestMistral(Conformance):
    integration = integration
    provider = "mistral_ai"
    says_cached = ROOT != "mistralai"  # the first releases' objects drop what they do not know

    def client_of(self, url: str) -> Any:
        backoff = utils.BackoffStrategy(1, 2, 1.0, 60_000)
        if hasattr(backoff, "jitter_ms"):
            backoff.jitter_ms = 1
        config = utils.RetryConfig("backoff", backoff, retry_connection_errors=True)
        return Mistral(api_key="x", server_url=url, retry_config=config)

    def make_client(self, url: str) -> Any:
        return self.client_of(url)

    def make_async_client(self, url: str) -> Any:
        return self.client_of(url)

    def close_client(self, client: Any) -> None:
        client.sdk_configuration.client.close()

    async def close_async_client(self, client: Any) -> None:
        await client.sdk_configuration.async_client.aclose()
        client.sdk_configuration.client.close()

    def arguments(self, *, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        messages = [{"role": "user", "content": QUESTION}]
        return {"model": "small-model", "messages": messages, **more}

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        ask = client.chat.stream if stream else client.chat.complete
        return ask(**self.arguments(tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        ask = client.chat.stream_async if stream else client.chat.complete_async
        return await ask(**self.arguments(tools=tools))

    def close(self, stream: Any) -> None:
        stream.__exit__(None, None, None)  # all that the first releases have

    async def aclose(self, stream: Any) -> None:
        await stream.__aexit__(None, None, None)

    def reply(self, *, finish: str = "stop") -> Reply:
        return Reply(completion({"content": "".join(TEXT)}, finish))

    def tools_reply(self) -> Reply:
        calls = [
            {
                "id": c["id"],
                "type": "function",
                "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])},
            }
            for c in TOOL_CALLS
        ]
        return Reply(completion({"content": "", "tool_calls": calls}, "tool_calls"))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        chunks = [event({"role": "assistant", "content": text}) for text in TEXT]
        chunks.append(event({"content": ""}, "stop", **({"usage": USAGE} if usage else {})))
        return Reply(chunks=[*chunks, b"data: [DONE]\n\n"], hold=hold)

    def tools_stream_reply(self) -> Reply:
        texts = [json.dumps(c["arguments"]) for c in TOOL_CALLS]
        chunks = [
            event(fragment(i, text[:4], id=c["id"], name=c["name"]))
            for i, (c, text) in enumerate(zip(TOOL_CALLS, texts, strict=True))
        ]
        chunks += [event(fragment(i, text[4:])) for i, text in enumerate(texts)]
        end = event({"content": ""}, "tool_calls", usage=USAGE)
        return Reply(chunks=[*chunks, end, b"data: [DONE]\n\n"])

    def hopeless(self) -> list[Reply]:
        """The client counts time, not attempts: what ends it is an error that it does not retry."""
        limited = self.error_reply(429, {"retry-after-ms": "1", "retry-after": "0.001"})
        return [limited, limited, self.error_reply(400)]

    def patched(self) -> dict[str, Any]:
        names = ("complete", "complete_async", "stream", "stream_async")
        found = {name: vars(chat.Chat).get(name) for name in names}
        return {**found, "retry": retries.retry, "retry_async": retries.retry_async}

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(chat.Chat, "stream_async")

    @pytest.mark.parametrize("way", ["close", "with"])
    def test_the_span_ends_when_the_stream_is_closed_not_when_it_is_dropped(
        self, way: str, server: Loopback, recorded: Recorded
    ) -> None:
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        with stream:
            next(iter(stream))
            if way == "close" and hasattr(stream, "close"):
                stream.close()
                assert recorded.names == [self.span_name]
        assert recorded.one(self.span_name)["fidelity.stream.complete"] is False
        del stream

    def test_thinking_is_reasoning(self, server: Loopback, recorded: Recorded) -> None:
        if ROOT == "mistralai":
            pytest.skip("this release knows no thinking")
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "well"}]}
        server.answer(
            Reply(completion({"content": [thinking, {"type": "text", "text": "yes"}]}, "stop"))
        )
        self.call(self.client(server.url))
        (answer,) = recorded.one(self.span_name).value("gen_ai.output.messages")
        assert answer["parts"] == [
            {"type": "reasoning", "content": "well"},
            {"type": "text", "content": "yes"},
        ]

    def test_embeddings_keep_texts_and_no_vectors(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        data = [{"object": "embedding", "embedding": [0.25, 0.5], "index": 0}]
        body = {"id": "e", "object": "list", "data": data, "model": "m-2026", "usage": USAGE}
        server.answer(Reply(body))
        self.client(server.url).embeddings.create(model="m", inputs=["one", "two"])
        span = recorded.one("embeddings m")
        assert span["gen_ai.usage.input_tokens"] == 11
        assert span.value("fidelity.input") == ["one", "two"]
        assert "0.25" not in repr(span.attributes)

    def test_fim_and_agents(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.reply(finish="length"))
        client = self.client(server.url)
        client.fim.complete(model="code", prompt="def f(", suffix="return 1", max_tokens=9)
        span = recorded.one("text_completion code")
        assert span["gen_ai.request.max_tokens"] == 9
        parts = span.value("gen_ai.input.messages")[0]["parts"]
        assert [p["content"] for p in parts] == ["def f(", "return 1"]
        client.agents.complete(agent_id="a-1", messages=[{"role": "user", "content": "hi"}])
        span = recorded.one("chat")
        assert span["gen_ai.agent.id"] == "a-1"
        assert span["gen_ai.usage.output_tokens"] == 7

    def test_an_iterator_of_messages_is_not_consumed(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        server.answer(self.reply())
        messages = iter([{"role": "user", "content": QUESTION}])
        self.client(server.url).chat.complete(model="small-model", messages=messages)
        assert server.requests[0][2]["messages"][0]["content"] == QUESTION

    @pytest.mark.skipif(TELEMETRY is None, reason="this release cannot be told where to trace")
    @pytest.mark.parametrize("stream", [False, True])
    async def test_its_own_telemetry_does_not_count_tokens_again(
        self, stream: bool, server: Loopback, recorded: Recorded
    ) -> None:
        """Turned on by the application, it records the same requests to the same provider."""
        assert STATE.pipeline is not None
        server.answer(*[self.stream_reply() if stream else self.reply()] * 2)
        for client in (self.client(server.url), self.async_client(server.url)):
            TELEMETRY.configure_telemetry(client, STATE.pipeline.provider)
        found = self.call(self._clients[0], stream=stream)
        list(found) if stream else None
        later = await self.acall(self._async_clients[0], stream=stream)
        _ = [item async for item in later] if stream else None
        assert recorded.names == [self.span_name] * 2
        for span, (_, headers, _) in zip(recorded.spans, server.requests, strict=True):
            self.check(span)
            self.check_usage(span)
            assert int(headers["traceparent"].split("-")[2], 16) == span.id

    @pytest.mark.skipif(TELEMETRY is None, reason="this release cannot be told where to trace")
    def test_its_own_telemetry_to_elsewhere_stays(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        theirs = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
        provider.add_span_processor(SimpleSpanProcessor(theirs))
        server.answer(self.reply())
        client = self.client(server.url)
        TELEMETRY.configure_telemetry(client, provider)
        self.call(client)
        assert recorded.names == [self.span_name]
        assert len(theirs.get_finished_spans()) == 1
