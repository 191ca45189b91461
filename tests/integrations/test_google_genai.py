"""The google-genai integration, through the kit and beyond it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from fidelity_otel.conformance import QUESTION, TEXT, TOOL_CALLS, Conformance, library
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded
from fidelity_otel_integrations import google_genai as integration

genai = library("google.genai", "google-genai")
api_client = library("google.genai._api_client", "google-genai")

# Where aiohttp is installed, the client derives from its session, which warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

USAGE = {
    "promptTokenCount": 11,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 2,
    "cachedContentTokenCount": 3,
    "totalTokenCount": 18,
}
DECLARED = [
    {
        "name": n,
        "description": n,
        "parameters": {"type": "OBJECT", "properties": {"id": {"type": "INTEGER"}}},
    }
    for n in ("order", "refund")
]


def content(
    parts: list[Any], finish: str | None = None, *, usage: bool = True, **more: Any
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    if finish is not None:
        candidate["finishReason"] = finish
    held = {"usageMetadata": USAGE} if usage else {}
    about = {"responseId": "resp-1", "modelVersion": "small-model-2026"}
    return {"candidates": [candidate], **about, **held, **more}


def sse(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\r\n\r\n"


def asked_for(call: dict[str, Any]) -> dict[str, Any]:
    return {"functionCall": {"id": call["id"], "name": call["name"], "args": call["arguments"]}}


class TestGoogleGenAI(Conformance):
    integration = integration
    provider = "gcp.gemini"
    operation = "generate_content"
    span_name = "generate_content small-model"
    lazy_streams = True

    def options(self, url: str) -> dict[str, Any]:
        retries = {"attempts": 3, "initial_delay": 0.001, "max_delay": 0.002, "jitter": 0.001}
        return {"base_url": url, "retry_options": retries}

    def make_client(self, url: str) -> Any:
        return genai.Client(api_key="x", http_options=self.options(url))

    def make_async_client(self, url: str) -> Any:
        return self.make_client(url)

    def close_client(self, client: Any) -> None:
        client._api_client._httpx_client.close()

    async def close_async_client(self, client: Any) -> None:
        inner = client._api_client
        if hasattr(inner, "aclose"):
            await inner.aclose()
        else:
            await inner._async_httpx_client.aclose()
        inner._httpx_client.close()

    def arguments(self, *, tools: bool) -> dict[str, Any]:
        config = {"tools": [{"function_declarations": DECLARED}]} if tools else None
        return {"model": "small-model", "contents": QUESTION, "config": config}

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        ask = client.models.generate_content_stream if stream else client.models.generate_content
        return ask(**self.arguments(tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        models = client.aio.models
        ask = models.generate_content_stream if stream else models.generate_content
        return await ask(**self.arguments(tools=tools))

    async def aclose(self, stream: Any) -> None:
        await stream.aclose()
        for _ in range(9):  # the client leaves its own inner generators to the loop
            await asyncio.sleep(0)

    def reply(self, *, finish: str = "stop") -> Reply:
        reason = {"stop": "STOP", "length": "MAX_TOKENS"}[finish]
        return Reply(content([{"text": "".join(TEXT)}], reason))

    def tools_reply(self) -> Reply:
        return Reply(content([asked_for(c) for c in TOOL_CALLS], "STOP"))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        chunks = [sse(content([{"text": text}], usage=False)) for text in TEXT]
        chunks.append(sse(content([{"text": ""}], "STOP", usage=usage)))
        return Reply(chunks=chunks, hold=hold)

    def tools_stream_reply(self) -> Reply:
        chunks = [sse(content([asked_for(c)], usage=False)) for c in TOOL_CALLS]
        return Reply(chunks=[*chunks, sse(content([{"text": ""}], "STOP"))])

    def error_reply(self, status: int, headers: dict[str, str] | None = None) -> Reply:
        error = {"code": status, "message": "it failed", "status": "SOME_ERROR"}
        return Reply({"error": error}, status, headers or {})

    def patched(self) -> dict[str, Any]:
        names = ("request", "async_request", "request_streamed", "async_request_streamed")
        once = ("_request_once", "_async_request_once")
        owner = vars(api_client.BaseApiClient)
        return {name: owner.get(name) for name in (*names, *once)}

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(api_client.BaseApiClient, "async_request_streamed")

    def test_automatic_function_calling_is_one_span_a_turn(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        """One span around all turns would hide what the model asked for in between."""

        def order(number: int) -> str:
            """The order of this number."""
            return f"order {number}"

        # Older releases read the annotations as they stand, here as text.
        order.__annotations__ = {"number": int, "return": str}

        asked = {"functionCall": {"id": "call_1", "name": "order", "args": {"number": 7}}}
        server.answer(Reply(content([asked], "STOP")), self.reply())
        answer = self.client(server.url).models.generate_content(
            model="small-model", contents=QUESTION, config={"tools": [order]}
        )
        assert answer.text == "".join(TEXT)
        first, second = recorded.all(self.span_name)
        assert first["gen_ai.response.finish_reasons"] == ("tool_call",)
        assert second["gen_ai.response.finish_reasons"] == ("stop",)
        told = second.value("gen_ai.input.messages")[-1]["parts"][0]
        assert told["type"] == "tool_call_response"
        assert "order 7" in json.dumps(told["response"])

    def test_settings_system_text_image_and_thoughts(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        thought = {"text": "well", "thought": True}
        server.answer(Reply(content([thought, {"text": "yes"}], "STOP")))
        types = genai.types
        self.client(server.url).models.generate_content(
            model="small-model",
            contents=[types.Part.from_bytes(data=b"PNG" * 99, mime_type="image/png"), "this?"],
            config=types.GenerateContentConfig(
                system_instruction="be kind", temperature=0.5, top_k=3, max_output_tokens=9
            ),
        )
        span = recorded.one(self.span_name)
        assert span["gen_ai.request.temperature"] == 0.5
        assert span["gen_ai.request.top_k"] == 3
        assert span["gen_ai.request.max_tokens"] == 9
        assert span.value("gen_ai.system_instructions")[0]["content"] == "be kind"
        image = span.value("gen_ai.input.messages")[0]["parts"][0]
        assert image["mime_type"] == "image/png"
        assert image["content"].startswith("sha256:")
        (answer,) = span.value("gen_ai.output.messages")
        assert [p["type"] for p in answer["parts"]] == ["reasoning", "text"]
        assert span["gen_ai.usage.reasoning.output_tokens"] == 2

    def test_a_refused_question_is_said(self, server: Loopback, recorded: Recorded) -> None:
        """No candidates come back and nothing is raised: a silent failure otherwise."""
        server.answer(
            Reply(
                {
                    "promptFeedback": {"blockReason": "SAFETY"},
                    "usageMetadata": {"promptTokenCount": 4},
                }
            )
        )
        self.call(self.client(server.url))
        span = recorded.one(self.span_name)
        assert span["gen_ai.response.finish_reasons"] == ("content_filter",)
        assert span["gen_ai.usage.input_tokens"] == 4

    def test_embeddings_keep_texts_and_no_vectors(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        server.answer(Reply({"embeddings": [{"values": [0.25, 0.5]}]}))
        self.client(server.url).models.embed_content(model="m", contents=["one", "two"])
        span = recorded.one("embeddings m")
        assert span.value("fidelity.input") == ["one", "two"]
        assert "0.25" not in repr(span.attributes)
        assert "usage_missing" in span.losses

    def test_vertex_is_another_provider(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.reply())
        client = genai.Client(vertexai=True, api_key="x", http_options=self.options(server.url))
        self._clients.append(client)
        self.call(client)
        span = recorded.one(self.span_name)
        assert span["gen_ai.provider.name"] == "gcp.vertex_ai"
        assert span["gen_ai.request.model"] == "small-model"
