"""Calls that are answered in one piece: success, tools, errors, attempts, cancellation."""

# ruff: noqa: PLR2004, ASYNC110 - a test says its numbers; a thread cannot set an asyncio event
from __future__ import annotations

import asyncio
import threading

import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance.provider import TEXT, TOOL_CALLS, Provider
from fidelity_otel.loopback import Loopback
from fidelity_otel.testing import Recorded, SeenSpan


class Calls(Provider):
    """The tests of plain calls."""

    def check(self, span: SeenSpan, *, text: bool = True) -> None:
        """What every successful call says."""
        assert span.kind == "CLIENT"
        assert span["gen_ai.operation.name"] == self.operation
        assert span["gen_ai.provider.name"] == self.provider
        assert span["gen_ai.request.model"] == self.model
        assert span["server.address"] == "127.0.0.1"
        assert isinstance(span["server.port"], int)
        assert not span.error
        (message,) = span.value("gen_ai.input.messages")
        assert message["role"] == "user"
        assert "bring it back" in message["parts"][0]["content"]
        if text:
            said = span.attributes.get("gen_ai.response.id")
            assert said == (self.response_id if self.says_id else None)
            answered = span.attributes.get("gen_ai.response.model")
            assert answered == (f"{self.model}-2026" if self.says_model else None)
            assert span["gen_ai.response.finish_reasons"] == ("stop",)
            (answer,) = span.value("gen_ai.output.messages")
            assert answer["role"] == "assistant"
            assert answer["parts"] == [{"type": "text", "content": "".join(TEXT)}]

    def check_usage(self, span: SeenSpan) -> None:
        """Tokens, each once."""
        assert span["gen_ai.usage.input_tokens"] == 11
        assert span["gen_ai.usage.output_tokens"] == 7
        cached = span.attributes.get("gen_ai.usage.cache_read.input_tokens")
        assert cached == (3 if self.says_cached else None)
        assert "usage_missing" not in span.losses

    def test_success(self, server: Loopback, recorded: Recorded) -> None:
        """One call, one span, under the caller's."""
        server.answer(self.reply())
        with fidelity.span("caller"):
            self.call(self.client(server.url))
        span = recorded.one(self.span_name)
        self.check(span)
        self.check_usage(span)
        assert span.parent_id == recorded.one(self.parent_name).id
        assert span["fidelity.attempt.count"] == 1
        assert span["fidelity.recovery"] == "first_try"

    async def test_success_async(self, server: Loopback, recorded: Recorded) -> None:
        """The same for the async client, many at once."""
        server.answer(self.reply())
        client = self.async_client(server.url)
        await asyncio.gather(*(self.acall(client) for _ in range(5)))
        spans = recorded.all(self.span_name)
        assert len(spans) == 5
        for span in spans:
            self.check(span)
            self.check_usage(span)

    def test_finish_reason_length(self, server: Loopback, recorded: Recorded) -> None:
        """A cut answer is no error of the call, but it says so (openai-agents#4885)."""
        server.answer(self.reply(finish="length"))
        self.call(self.client(server.url))
        span = recorded.one(self.span_name)
        assert span["gen_ai.response.finish_reasons"] == ("length",)
        assert not span.error

    def test_tools(self, server: Loopback, recorded: Recorded) -> None:
        """Tool definitions and calls, arguments read."""
        server.answer(self.tools_reply())
        self.call(self.client(server.url), tools=True)
        self.check_tools(recorded.one(self.span_name))

    def check_tools(self, span: SeenSpan) -> None:
        """Both calls, apart from each other."""
        assert span["gen_ai.response.finish_reasons"] == ("tool_call",)
        assert "order" in span["gen_ai.tool.definitions"]
        (answer,) = span.value("gen_ai.output.messages")
        calls = [p for p in answer["parts"] if p["type"] == "tool_call"]
        keys = ("id", "name", "arguments") if self.tool_call_ids else ("name", "arguments")
        asked = [{k: c[k] for k in keys} for c in TOOL_CALLS]
        assert [{k: c[k] for k in keys} for c in calls] == asked

    def test_api_error(self, server: Loopback, recorded: Recorded) -> None:
        """The client's own exception passes; the span has failed and says as what."""
        server.answer(self.error_reply(400))
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the provider's own class
            self.call(self.client(server.url))
        span = recorded.one(self.span_name)
        assert span.error
        assert span["error.type"].endswith(type(caught.value).__name__)
        assert span["fidelity.recovery"] == "abandoned"
        assert len(span.events("exception")) == 1

    def test_rate_limit_and_recovery(self, server: Loopback, recorded: Recorded) -> None:
        """Three HTTP calls look like one clean span in other instrumentations; not here."""
        if not self.retries:
            pytest.skip("this client does not try again by itself")
        limited = self.error_reply(429, {"retry-after-ms": "1", "retry-after": "0.001"})
        server.answer(limited, self.error_reply(500), self.reply())
        self.call(self.client(server.url))
        span = recorded.one(self.span_name)
        self.check(span)
        self.check_usage(span)
        assert span["fidelity.attempt.count"] == 3
        assert span["http.request.resend_count"] == 2
        assert span["fidelity.recovery"] == "recovered"
        first, second = span.events("fidelity.attempt")
        assert (first["fidelity.attempt.number"], second["fidelity.attempt.number"]) == (1, 2)
        assert first["http.response.status_code"] == 429
        assert second["http.response.status_code"] == 500

    async def test_rate_limit_given_up(self, server: Loopback, recorded: Recorded) -> None:
        """All attempts failed."""
        if not self.retries:
            pytest.skip("this client does not try again by itself")
        server.answer(*self.hopeless())
        with pytest.raises(Exception):  # noqa: B017, PT011
            await self.acall(self.async_client(server.url))
        span = recorded.one(self.span_name)
        assert span["fidelity.attempt.count"] == 3
        assert span["fidelity.recovery"] == "abandoned"
        assert len(span.events("fidelity.attempt")) == 2

    async def test_cancelled(self, server: Loopback, recorded: Recorded) -> None:
        """A cancelled call is neither success nor lost."""
        hold = threading.Event()
        reply = self.reply()
        reply.hold = hold
        server.answer(reply)
        task = asyncio.create_task(self.acall(self.async_client(server.url)))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hold.set()
        span = recorded.one(self.span_name)
        assert span["fidelity.cancelled"] is True
        assert span.error
