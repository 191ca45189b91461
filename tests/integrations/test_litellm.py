"""The litellm integration, through the kit and beyond it; the provider's client is the real openai."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance import QUESTION, TEXT, TOOL_CALLS, Conformance, library
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded, SeenSpan
from fidelity_otel_integrations import litellm as integration
from fidelity_otel_integrations import openai as underneath

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it asks the network
litellm = library("litellm")
handler = library("litellm.litellm_core_utils.streaming_handler", "litellm")
# It warns in many places of its own, and its caches hold open clients until the process ends.
pytestmark = pytest.mark.filterwarnings("ignore")
OLD = not hasattr(litellm, "aresponses")
"""Before 1.63."""

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
    function = {"arguments": arguments, **({"name": fields.pop("name")} if fields else {})}
    return {"tool_calls": [{"index": index, "type": "function", **fields, "function": function}]}


class TestLiteLLM(Conformance):
    integration = integration
    beneath = (underneath,)
    provider = "openai"
    include_usage = True

    def check(self, span: SeenSpan, *, text: bool = True) -> None:
        """In a stream the library puts the model that was asked where the one that answered was."""
        self.says_model = "fidelity.stream.chunks" not in span.attributes
        super().check(span, text=text)

    def make_client(self, url: str) -> Any:
        return SimpleNamespace(url=url)

    def make_async_client(self, url: str) -> Any:
        return SimpleNamespace(url=url)

    def close_client(self, client: Any) -> None:
        """There is no client object."""

    async def close_async_client(self, client: Any) -> None:
        """There is no client object."""

    def arguments(self, client: Any, *, stream: bool, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        if stream and self.include_usage:
            more["stream_options"] = {"include_usage": True}
        return {
            "model": "openai/small-model",
            "messages": [{"role": "user", "content": QUESTION}],
            "api_base": client.url + "/v1",
            "api_key": "x",
            "max_retries": 2,
            "stream": stream,
            **more,
        }

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return litellm.completion(**self.arguments(client, stream=stream, tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return await litellm.acompletion(**self.arguments(client, stream=stream, tools=tools))

    def settle(self, recorded: Recorded) -> None:
        """A thread that logs the first chunk has the stream too, for as long as that takes.

        And old releases keep the last response until the next call.
        """
        deadline = time.monotonic() + 20
        while not recorded.names and time.monotonic() < deadline:
            getattr(litellm, "error_logs", {}).clear()
            time.sleep(0.02)
            gc.collect()

    def close(self, stream: Any) -> None:
        if hasattr(stream, "close"):
            stream.close()

    async def test_stream_closed_early_async(
        self, server: Loopback, recorded: Recorded, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Old releases and streams of texts have no method that closes them: let go of."""
        server.answer(self.stream_reply())
        stream = await self.acall(self.async_client(server.url), stream=True)
        async for _ in stream:
            break
        if hasattr(stream, "aclose"):
            await stream.aclose()
        del stream
        self.settle(recorded)
        assert recorded.one(self.span_name)["fidelity.stream.complete"] is False
        assert "detach" not in caplog.text

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
        return Reply(completion({"content": None, "tool_calls": calls}, "tool_calls"))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        chunks = [event({"role": "assistant", "content": text}) for text in TEXT]
        chunks.append(event({}, "stop"))
        if usage:
            chunks.append(event({}, choices=[], usage=USAGE))
        return Reply(chunks=[*chunks, b"data: [DONE]\n\n"], hold=hold)

    def tools_stream_reply(self) -> Reply:
        texts = [json.dumps(c["arguments"]) for c in TOOL_CALLS]
        chunks = [
            event(fragment(i, text[:4], id=c["id"], name=c["name"]))
            for i, (c, text) in enumerate(zip(TOOL_CALLS, texts, strict=True))
        ]
        chunks += [event(fragment(i, text[4:])) for i, text in enumerate(texts)]
        last = [event({}, "tool_calls"), event({}, choices=[], usage=USAGE)]
        return Reply(chunks=[*chunks, *last, b"data: [DONE]\n\n"])

    def patched(self) -> dict[str, Any]:
        names = ("completion", "acompletion", "embedding", "aembedding")
        found = {name: vars(litellm).get(name) for name in names}
        return {**found, "next": vars(handler.CustomStreamWrapper)["__next__"]}

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(litellm, "aembedding")

    def test_stream_without_usage_says_so(self, server: Loopback, recorded: Recorded) -> None:
        """Asked for usage that does not come, the library guesses; so it is not asked for."""
        self.include_usage = False
        super().test_stream_without_usage_says_so(server, recorded)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_clients_underneath_are_not_recorded_again(
        self, stream: bool, server: Loopback, recorded: Recorded
    ) -> None:
        """openinference#2101: two spans for one call, and tokens twice."""
        server.answer(self.stream_reply() if stream else self.reply())
        client = self.client(server.url)
        with fidelity.span("caller"):
            found = self.call(client, stream=stream)
            list(found) if stream else None
            found = await self.acall(client, stream=stream)
            _ = [chunk async for chunk in found] if stream else None
        assert sorted(recorded.names) == sorted(["caller", self.span_name, self.span_name])
        assert sum(s["gen_ai.usage.output_tokens"] for s in recorded.all(self.span_name)) == 14

    def test_its_own_retries_and_the_clients_are_all_counted(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        """Both layers try again; each request is one attempt, whichever layer made it."""
        server.answer(self.error_reply(500, {"retry-after-ms": "1"}))
        asked = self.arguments(self.client(server.url), stream=False, tools=False)
        del asked["max_retries"]
        with pytest.raises(litellm.APIError if OLD else litellm.InternalServerError):
            litellm.completion(**asked, num_retries=2)
        span = recorded.one(self.span_name)
        assert span["fidelity.recovery"] == "abandoned"
        assert span["fidelity.attempt.count"] == len(server.requests) > 2

    def test_router_tries_another_deployment(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.error_reply(500), self.reply())
        asked = self.arguments(self.client(server.url), stream=False, tools=False)
        params = {k: asked[k] for k in ("model", "api_base", "api_key")}
        params["max_retries"] = 0
        router = litellm.Router(
            model_list=[{"model_name": "any", "litellm_params": params}], num_retries=1
        )
        router.completion(model="any", messages=asked["messages"])
        failed, span = recorded.all(self.span_name)
        assert failed.error
        self.check(span)

    def test_embedding_keeps_texts_and_no_vectors(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
        usage = {"prompt_tokens": 4, "total_tokens": 4}
        server.answer(Reply({"object": "list", "data": data, "model": "m-2026", "usage": usage}))
        asked = self.arguments(self.client(server.url), stream=False, tools=False)
        litellm.embedding(
            model="openai/m", input=["one", "two"], api_base=asked["api_base"], api_key="x"
        )
        span = recorded.one("embeddings m")
        assert span["gen_ai.usage.input_tokens"] == 4
        assert span.value("fidelity.input") == ["one", "two"]
        assert "0.25" not in repr(span.attributes)
