"""litellm's text completions and responses, through the kit."""

from __future__ import annotations

import base64
import gc
import json
import os
import threading
from typing import Any

import pytest

from fidelity_otel.conformance import QUESTION, TEXT, Conformance, library
from fidelity_otel.conformance.responses_wire import TOOLS, ResponsesWire
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded, SeenSpan

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
litellm = library("litellm")
from .test_litellm import OLD, USAGE, completion  # noqa: E402
from .test_litellm import TestLiteLLM as ChatKit  # noqa: E402

# What it does not know to stream it asks for in one piece.
ABOUT = {"litellm_provider": "openai", "mode": "chat", "supports_native_streaming": True}
litellm.register_model({"small-model": ABOUT})
WRAPPED = b"litellm:custom_llm_provider:openai;model_id:None;response_id:resp-1"
pytestmark = pytest.mark.filterwarnings("ignore")  # as in test_litellm.py


class TestTextCompletion(ChatKit):
    operation = "text_completion"
    span_name = "text_completion small-model"
    lazy_streams = True

    def arguments(self, client: Any, *, stream: bool, tools: bool) -> dict[str, Any]:
        asked = super().arguments(client, stream=stream, tools=tools)
        del asked["messages"]
        return {**asked, "model": "text-completion-openai/small-model", "prompt": QUESTION}

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return litellm.text_completion(**self.arguments(client, stream=stream, tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return await litellm.atext_completion(**self.arguments(client, stream=stream, tools=tools))

    def reply(self, *, finish: str = "stop") -> Reply:
        return Reply(text_of("".join(TEXT), finish))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        found = [text_of(text) for text in TEXT] + [text_of("", "stop")]
        found += [{**text_of(""), "choices": [], "usage": USAGE}] if usage else []
        chunks = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in found]
        return Reply(chunks=[*chunks, b"data: [DONE]\n\n"], hold=hold)

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(litellm, "atext_completion")

    if OLD:
        # Such a release makes up a stream's id and tokens, and holds on to one not read out.
        test_stream = test_stream_async = None  # type: ignore[assignment]
        test_stream_closed_early = None  # type: ignore[assignment]
        test_stream_closed_early_async = None  # type: ignore[assignment]
        test_stream_without_usage_says_so = None  # type: ignore[assignment]
        test_the_clients_underneath_are_not_recorded_again = None  # type: ignore[assignment]
    # There are no tools in this protocol, and these two are of chats.
    test_its_own_retries_and_the_clients_are_all_counted = None  # type: ignore[assignment]
    test_router_tries_another_deployment = None  # type: ignore[assignment]
    test_tools = None  # type: ignore[assignment]
    test_tools_streamed = None  # type: ignore[assignment]


def text_of(text: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
    about = {"object": "text_completion", "created": 1, "model": "small-model-2026"}
    whole = {"usage": USAGE} if finish and text else {}
    return {"id": "resp-1", **about, "choices": [choice], **whole}


@pytest.mark.skipif(OLD, reason="this release has no responses: they came with 1.63")
class TestResponses(ResponsesWire, ChatKit):
    """The provider is asked by a client of the library's own, which does not try again."""

    retries = False
    response_id = "resp_" + base64.b64encode(WRAPPED).decode()

    def arguments(self, client: Any, *, stream: bool, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        return {
            "model": "openai/small-model",
            "input": QUESTION,
            "api_base": client.url + "/v1",
            "api_key": "x",
            "stream": stream,
            **more,
        }

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return litellm.responses(**self.arguments(client, stream=stream, tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return await litellm.aresponses(**self.arguments(client, stream=stream, tools=tools))

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(litellm, "aresponses")

    def check(self, span: SeenSpan, *, text: bool = True) -> None:
        """The last event of a stream says which model answered."""
        Conformance.check(self, span, text=text)

    def test_closed_after_two_texts(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        for event in stream:
            if getattr(event, "delta", None) == TEXT[1]:
                break
        del stream
        gc.collect()
        self.settle(recorded)
        span = recorded.one(self.span_name)
        assert span["fidelity.stream.complete"] is False
        assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == "".join(TEXT[:2])

    def test_its_own_retries(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.error_reply(500), self.reply())
        asked = self.arguments(self.client(server.url), stream=False, tools=False)
        litellm.responses(**asked, num_retries=2)
        span = recorded.one(self.span_name)
        assert span["fidelity.attempt.count"] == len(server.requests) == 2
        assert span["fidelity.recovery"] == "recovered"

    def test_by_chat_completions(self, server: Loopback, recorded: Recorded) -> None:
        """Providers without this endpoint are asked by the other one: still one call."""
        server.answer(Reply(completion({"content": "".join(TEXT)}, "stop")))
        asked = self.arguments(self.client(server.url), stream=False, tools=False)
        litellm.responses(**{**asked, "model": "deepseek/small-model"})
        span = recorded.one(self.span_name)
        assert server.requests[0][0].endswith("/chat/completions")
        assert span["gen_ai.provider.name"] == "deepseek"
        assert span["gen_ai.usage.output_tokens"] == 7
        assert recorded.names == [self.span_name]

    # The first event is of no text, the library guesses what the provider does not say, and these
    # two are of chats.
    test_stream_without_usage_says_so = None  # type: ignore[assignment]
    test_stream_closed_early = None  # type: ignore[assignment]
    test_its_own_retries_and_the_clients_are_all_counted = None  # type: ignore[assignment]
    test_router_tries_another_deployment = None  # type: ignore[assignment]
