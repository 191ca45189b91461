"""The openai integration, through the kit and beyond it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from openai import _base_client, _legacy_response, _response, _streaming
from openai.resources.chat.completions import Completions
from openai.types.chat import ChatCompletion

from fidelity_otel.conformance import QUESTION, TEXT, Conformance
from fidelity_otel.conformance.chat_wire import TOOLS, ChatWire, completion
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded
from fidelity_otel_integrations import openai as integration

helpers = pytest.mark.skipif(
    not hasattr(Completions, "stream"),
    reason="in this release `parse` and `stream` are beta, as other methods",
)


class TestOpenAI(ChatWire, Conformance):
    integration = integration
    provider = "openai"

    def make_client(self, url: str) -> Any:
        return openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=2)

    def make_async_client(self, url: str) -> Any:
        return openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=2)

    def arguments(self, *, stream: bool, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        return {
            "model": "small-model",
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": stream,
            **more,
        }

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return client.chat.completions.create(**self.arguments(stream=stream, tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return await client.chat.completions.create(**self.arguments(stream=stream, tools=tools))

    def patched(self) -> dict[str, Any]:
        return {
            "request": vars(_base_client.SyncAPIClient)["request"],
            "arequest": vars(_base_client.AsyncAPIClient)["request"],
            "retry": vars(_base_client.BaseClient)["_calculate_retry_timeout"],
            "status": vars(_base_client.BaseClient)["_should_retry"],
            "close": vars(_streaming.Stream)["close"],
            "aclose": vars(_streaming.AsyncStream)["close"],
            "legacy": vars(_legacy_response.LegacyAPIResponse)["parse"],
            "parse": vars(_response.APIResponse)["parse"],
            "aparse": vars(_response.AsyncAPIResponse)["parse"],
        }

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(_streaming.AsyncStream, "close")

    # --- beyond the kit --------------------------------------------------------------------

    def test_types_stay_the_clients(self, server: Loopback, recorded: Recorded) -> None:
        """openinference#3578: the stream's type was lost; openllmetry#165: streams were read.

        Also openlit#391.
        """
        client = self.client(server.url)
        server.answer(self.reply())
        assert type(self.call(client)) is ChatCompletion
        server.answer(self.stream_reply())
        with self.call(client, stream=True) as stream:
            assert type(stream) is openai.Stream
            assert next(stream).choices[0].delta.content == TEXT[0]
            assert [c.choices[0].delta.content for c in stream if c.choices][:2] == TEXT[1:]

    @helpers
    async def test_stream_helper(self, server: Loopback, recorded: Recorded) -> None:
        """`chat.completions.stream(...)`, the manager with typed events."""
        server.answer(self.stream_reply())
        arguments = self.arguments(stream=True, tools=False)
        del arguments["stream"]
        with self.client(server.url).chat.completions.stream(**arguments) as stream:
            assert stream.get_final_completion().choices[0].message.content == "".join(TEXT)
        server.answer(self.stream_reply())
        async with self.async_client(server.url).chat.completions.stream(**arguments) as astream:
            final = await astream.get_final_completion()
            assert final.choices[0].message.content == "".join(TEXT)
        for span in recorded.all(self.span_name):
            self.check(span)
        assert len(recorded.names) == 2

    @helpers
    def test_parse(self, server: Loopback, recorded: Recorded) -> None:
        """Traceloop misses parse."""

        class Answer(pydantic.BaseModel):
            days: int

        server.answer(Reply(completion({"content": '{"days": 30}'}, "stop")))
        parsed = self.client(server.url).chat.completions.parse(
            model="small-model",
            messages=[{"role": "user", "content": "how long?"}],
            response_format=Answer,
        )
        assert parsed.choices[0].message.parsed == Answer(days=30)
        span = recorded.one(self.span_name)
        assert span["gen_ai.output.type"] == "json"

    def test_raw_response(self, server: Loopback, recorded: Recorded) -> None:
        """logfire#62, openllmetry#535, otel-python-genai#380: with_raw_response crashed the app."""
        client = self.client(server.url)
        server.answer(self.reply())
        raw = client.chat.completions.with_raw_response.create(
            **self.arguments(stream=False, tools=False)
        )
        assert raw.headers["content-type"] == "application/json"
        assert raw.parse().choices[0].message.content == "".join(TEXT)
        span = recorded.one(self.span_name)
        self.check(span)
        self.check_usage(span)

    async def test_raw_streams(self, server: Loopback, recorded: Recorded) -> None:
        """Langfuse misses raw streams and with_streaming_response (otel-python-genai#380)."""
        arguments = self.arguments(stream=True, tools=False)
        server.answer(self.stream_reply())
        raw = self.client(server.url).chat.completions.with_raw_response.create(**arguments)
        assert next(c.id for c in list(raw.parse())) == "resp-1"
        self.check(recorded.one(self.span_name))
        recorded.clear()
        server.answer(self.stream_reply())
        araw = await self.async_client(server.url).chat.completions.with_raw_response.create(
            **arguments
        )
        assert [c.id async for c in araw.parse()][:1] == ["resp-1"]
        self.check(recorded.one(self.span_name))

    async def test_streaming_response(self, server: Loopback, recorded: Recorded) -> None:
        arguments = self.arguments(stream=False, tools=False)
        client = self.client(server.url)
        server.answer(self.reply())
        with client.chat.completions.with_streaming_response.create(**arguments) as response:
            assert recorded.names == []
            assert response.parse().choices[0].message.content == "".join(TEXT)
        self.check(recorded.one(self.span_name))
        recorded.clear()
        server.answer(self.reply())
        with client.chat.completions.with_streaming_response.create(**arguments) as response:
            assert b"".join(response.iter_bytes())
        span = recorded.one(self.span_name)
        assert "unread_response" in span.losses
        recorded.clear()
        server.answer(self.reply())
        aclient = self.async_client(server.url)
        async with aclient.chat.completions.with_streaming_response.create(
            **arguments
        ) as aresponse:
            assert (await aresponse.parse()).choices[0].message.content == "".join(TEXT)
        self.check(recorded.one(self.span_name))

    def test_unset_arguments_make_no_noise(
        self, server: Loopback, recorded: Recorded, caplog: pytest.LogCaptureFixture
    ) -> None:
        """otel-python-contrib#3926: "Invalid type NotGiven for attribute"."""
        from openai import NOT_GIVEN

        omit = getattr(openai, "omit", NOT_GIVEN)  # newer releases have two placeholders

        server.answer(self.reply())
        self.client(server.url).chat.completions.create(
            **self.arguments(stream=False, tools=False),
            temperature=omit,
            stop=NOT_GIVEN,
            top_p=0.5,
            seed=3,
            n=2,
            max_completion_tokens=9,
        )
        span = recorded.one(self.span_name)
        assert span["gen_ai.request.top_p"] == 0.5
        assert span["gen_ai.request.seed"] == 3
        assert span["gen_ai.request.choice.count"] == 2
        assert span["gen_ai.request.max_tokens"] == 9
        assert "gen_ai.request.temperature" not in span.attributes
        assert "Invalid type" not in caplog.text

    def test_text_beside_tool_calls_and_refusals(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        """Langfuse drops the text beside tool calls."""
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{broken"}}
        message = {"content": "let me look", "refusal": "no", "tool_calls": [call]}
        server.answer(Reply(completion(message, "tool_calls")))
        self.call(self.client(server.url))
        (answer,) = recorded.one(self.span_name).value("gen_ai.output.messages")
        assert answer["parts"] == [
            {"type": "text", "content": "let me look"},
            {"type": "text", "content": "no"},
            {"type": "tool_call", "id": "1", "name": "f", "arguments": "{broken"},
        ]

    def test_timeouts_are_attempts(self, server: Loopback, recorded: Recorded) -> None:
        hold = threading.Event()
        slow = self.reply()
        slow.hold = hold
        server.answer(slow, self.reply())
        client = self.client(server.url).with_options(max_retries=1, timeout=0.3)
        try:
            self.call(client)
        finally:
            hold.set()
        span = recorded.one(self.span_name)
        (attempt,) = span.events("fidelity.attempt")
        assert "Timeout" in attempt["error.type"]
        assert span["fidelity.recovery"] == "recovered"

    def test_other_providers_behind_the_same_client(self) -> None:
        for host, provider in (
            ("api.openai.com", "openai"),
            ("x.openai.azure.com", "azure.ai.openai"),
            ("api.groq.com", "groq"),
            ("api.x.ai", "x_ai"),
            ("notx.ai", "openai"),
            ("localhost", "openai"),
        ):
            assert integration.provider_at(host) == provider

    def test_odd_responses(self, server: Loopback, recorded: Recorded) -> None:
        """Providers that only look like OpenAI leave fields out or send other types."""
        for body in (
            {"id": "x", "choices": []},
            {"choices": None, "usage": {}},
            {"id": 3, "model": 4, "choices": [{"message": None}]},
            {"choices": [{"message": {"content": [{"type": "text", "text": "a"}]}}]},
        ):
            server.answer(Reply(body))
            self.call(self.client(server.url))
        assert len(recorded.names) == 4


def test_absent_library() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "import importlib.util\n"
        "from fidelity_otel import integrations, errors\n"
        "from fidelity_otel_integrations import openai\n"
        "try: openai.instrument()\n"
        "except errors.NotEnabled as e: print(e)\n"
        "print(integrations.instrument())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = ran.stdout.splitlines()
    assert "pip install openai" in first
    assert "'openai'" not in second


def test_instrumenting_before_the_import_costs_no_import() -> None:
    with Loopback() as server:
        server.answer(Reply(completion({"content": "hi"}, "stop")))
        code = f"""
import sys
from fidelity_otel import integrations
from fidelity_otel.testing import record
integrations.instrument("openai")
assert "openai" not in sys.modules
import openai
with record() as recorded:
    client = openai.OpenAI(base_url={server.url + "/v1"!r}, api_key="x")
    client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "q"}}])
    print(recorded.names)
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "['chat m']", ran.stderr


@pytest.fixture
def too_old(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.2.3")
    return iter(())


def test_too_old(too_old: None) -> None:
    from fidelity_otel.errors import NotEnabled

    with pytest.raises(NotEnabled, match=r"1\.2\.3 is too old"):
        integration.instrument()
    assert not integration._CLIENT.active
