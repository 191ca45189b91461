"""The ollama integration, through the kit and beyond it."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from fidelity_otel.conformance import QUESTION, TEXT, TOOL_CALLS, Conformance, library
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded
from fidelity_otel_integrations import ollama as integration

ollama = library("ollama")

USAGE = {"prompt_eval_count": 11, "eval_count": 7, "total_duration": 5, "eval_duration": 3}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": name,
            "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}},
        },
    }
    for name in ("order", "refund")
]


def chat(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "model": "small-model-2026",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": "", **message},
        "done": False,
        **more,
    }


def ended(reason: str, *, usage: bool = True) -> dict[str, Any]:
    return {"done": True, "done_reason": reason, **(USAGE if usage else {})}


def line(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode() + b"\n"


def asked_for(call: dict[str, Any]) -> dict[str, Any]:
    return {"function": {"name": call["name"], "arguments": call["arguments"]}}


class TestOllama(Conformance):
    integration = integration
    provider = "ollama"
    retries = False
    says_id = False
    says_cached = False
    tool_call_ids = False
    lazy_streams = True

    def make_client(self, url: str) -> Any:
        return ollama.Client(host=url)

    def make_async_client(self, url: str) -> Any:
        return ollama.AsyncClient(host=url)

    def close_client(self, client: Any) -> None:
        client._client.close()

    async def close_async_client(self, client: Any) -> None:
        await client._client.aclose()

    def arguments(self, *, stream: bool, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        messages = [{"role": "user", "content": QUESTION}]
        return {"model": "small-model", "messages": messages, "stream": stream, **more}

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return client.chat(**self.arguments(stream=stream, tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return await client.chat(**self.arguments(stream=stream, tools=tools))

    async def aclose(self, stream: Any) -> None:
        await stream.aclose()

    def reply(self, *, finish: str = "stop") -> Reply:
        return Reply(chat({"content": "".join(TEXT)}, **ended(finish)))

    def tools_reply(self) -> Reply:
        calls = [asked_for(c) for c in TOOL_CALLS]
        return Reply(chat({"tool_calls": calls}, **ended("stop")))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        lines = [line(chat({"content": text})) for text in TEXT]
        lines.append(line(chat({}, **ended("stop", usage=usage))))
        return Reply(chunks=lines, hold=hold, headers={"content-type": "application/x-ndjson"})

    def tools_stream_reply(self) -> Reply:
        lines = [line(chat({"tool_calls": [asked_for(c)]})) for c in TOOL_CALLS]
        return Reply(chunks=[*lines, line(chat({}, **ended("stop")))])

    def error_reply(self, status: int, headers: dict[str, str] | None = None) -> Reply:
        return Reply({"error": "it failed"}, status, headers or {})

    def patched(self) -> dict[str, Any]:
        return {
            "sync": vars(ollama.Client)["_request"],
            "async": vars(ollama.AsyncClient)["_request"],
        }

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(ollama.AsyncClient, "_request")

    def test_generate(self, server: Loopback, recorded: Recorded) -> None:
        body = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "response": "yes", "done": True}
        server.answer(Reply({**body, "done_reason": "length", **USAGE}))
        self.client(server.url).generate(
            model="m", prompt="why?", system="be kind", options={"temperature": 0.5, "top_k": 3}
        )
        span = recorded.one("text_completion m")
        assert span.kind == "CLIENT"
        assert span["gen_ai.request.temperature"] == 0.5
        assert span["gen_ai.request.top_k"] == 3
        assert span.value("gen_ai.input.messages")[0]["parts"][0]["content"] == "why?"
        assert span.value("gen_ai.system_instructions")[0]["content"] == "be kind"
        assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == "yes"
        assert span["gen_ai.response.finish_reasons"] == ("length",)
        assert span["gen_ai.usage.output_tokens"] == 7

    def test_embed_keeps_texts_and_no_vectors(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(Reply({"model": "m", "embeddings": [[0.25, 0.5]], "prompt_eval_count": 4}))
        self.client(server.url).embed(model="m", input=["one", "two"])
        span = recorded.one("embeddings m")
        assert span["gen_ai.usage.input_tokens"] == 4
        assert span.value("fidelity.input") == ["one", "two"]
        assert "0.25" not in repr(span.attributes)

    def test_a_conversation_with_an_image_and_a_tool_result(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        server.answer(self.reply())
        self.client(server.url).chat(
            model="small-model",
            messages=[
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "this?", "images": [b"\x89PNG" * 100]},
                {"role": "assistant", "tool_calls": [asked_for(TOOL_CALLS[0])]},
                {"role": "tool", "content": "no"},
            ],
        )
        system, user, model, tool = recorded.one(self.span_name).value("gen_ai.input.messages")
        assert system["role"] == "system"
        assert user["parts"][1]["content"].startswith("sha256:")
        assert model["parts"][0]["arguments"] == {"id": 7}
        assert tool["parts"][0]["response"] == "no"

    def test_thinking_is_reasoning(self, server: Loopback, recorded: Recorded) -> None:
        if "thinking" not in ollama.Message.model_fields:
            pytest.skip("this release knows no thinking")
        server.answer(Reply(chat({"content": "yes", "thinking": "well"}, **ended("stop"))))
        self.call(self.client(server.url))
        (answer,) = recorded.one(self.span_name).value("gen_ai.output.messages")
        assert [p["type"] for p in answer["parts"]] == ["reasoning", "text"]

    def test_other_requests_leave_no_span(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(Reply({"models": []}))
        self.client(server.url).list()
        assert recorded.names == []
