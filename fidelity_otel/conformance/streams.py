"""Streams: read out, without usage, closed early, dropped, cancelled."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance.calls import Calls
from fidelity_otel.conformance.provider import TEXT
from fidelity_otel.loopback import Loopback
from fidelity_otel.testing import Recorded


class Streams(Calls):
    """The tests of streams."""

    def test_tools_streamed(self, server: Loopback, recorded: Recorded) -> None:
        """openlit#1398, #1540: parallel calls were merged, streamed ones absent."""
        server.answer(self.tools_stream_reply())
        list(self.call(self.client(server.url), stream=True, tools=True))
        self.check_tools(recorded.one(self.span_name))

    def test_stream(self, server: Loopback, recorded: Recorded) -> None:
        """The span ends with the stream and holds all of it; the type stays the client's."""
        server.answer(self.stream_reply())
        with fidelity.span("caller"):
            stream = self.call(self.client(server.url), stream=True)
            seen = []
            for chunk in stream:
                assert self.span_name not in recorded.names
                with fidelity.span("use"):
                    seen.append(chunk)
        span = recorded.one(self.span_name)
        self.check(span)
        if self.usage_when_streaming:
            self.check_usage(span)
        assert span["fidelity.stream.chunks"] == len(seen)
        assert span["fidelity.stream.complete"] is True
        assert span["gen_ai.response.time_to_first_chunk"] > 0
        caller = recorded.one("caller").id
        assert all(use.parent_id == caller for use in recorded.all("use"))

    async def test_stream_async(self, server: Loopback, recorded: Recorded) -> None:
        """The same, async."""
        server.answer(self.stream_reply())
        stream = await self.acall(self.async_client(server.url), stream=True)
        async for _ in stream:
            pass
        span = recorded.one(self.span_name)
        self.check(span)
        assert span["fidelity.stream.complete"] is True

    def test_stream_without_usage_says_so(self, server: Loopback, recorded: Recorded) -> None:
        """openllmetry#627: tokens are missing without a word. The request is never changed.

        Also openllmetry#2898.
        Also logfire#1280.
        """
        server.answer(self.stream_reply(usage=False))
        list(self.call(self.client(server.url), stream=True))
        span = recorded.one(self.span_name)
        assert "gen_ai.usage.input_tokens" not in span.attributes
        assert "usage_missing" in span.losses

    @pytest.mark.parametrize("way", ["break", "close", "drop"])
    def test_stream_closed_early(self, way: str, server: Loopback, recorded: Recorded) -> None:
        """Broken out of, closed or dropped: the span ends, partial, without an error."""
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        for _ in stream:
            break
        if way == "close":
            self.close(stream)
        del stream
        gc.collect()
        self.settle(recorded)
        span = recorded.one(self.span_name)
        assert span["fidelity.stream.complete"] is False
        assert "partial_stream" in span.losses
        assert not span.error
        (answer,) = span.value("gen_ai.output.messages")
        assert answer["parts"] == [{"type": "text", "content": TEXT[0]}]

    def test_stream_never_read(self, server: Loopback, recorded: Recorded) -> None:
        """A stream that nobody reads leaves a span too, unless nothing was asked for it."""
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        del stream
        gc.collect()
        if not self.lazy_streams:
            self.settle(recorded)
        assert bool(server.requests) is not self.lazy_streams
        if not self.lazy_streams or recorded.names:
            assert recorded.one(self.span_name)["fidelity.stream.complete"] is False

    async def test_stream_closed_early_async(
        self, server: Loopback, recorded: Recorded, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Broken out of, async."""
        server.answer(self.stream_reply())
        stream = await self.acall(self.async_client(server.url), stream=True)
        async for _ in stream:
            break
        await self.aclose(stream)
        assert recorded.one(self.span_name)["fidelity.stream.complete"] is False
        assert "detach" not in caplog.text

    def settle(self, recorded: Recorded) -> None:
        """Wait where the client itself holds on to a stream that was let go of."""

    def close(self, stream: Any) -> None:
        """Close a stream, as the client's users do."""
        stream.close()

    async def aclose(self, stream: Any) -> None:
        """Close an async stream, as the client's users do."""
        await stream.close()

    async def test_stream_cancelled(self, server: Loopback, recorded: Recorded) -> None:
        """Cancelled between two chunks: what came is kept (neatlogs#135)."""
        hold = threading.Event()
        server.answer(self.stream_reply(hold=hold))
        first = asyncio.Event()
        client = self.async_client(server.url)

        async def consume() -> None:
            stream: AsyncIterator[Any] = await self.acall(client, stream=True)
            async for _ in stream:
                first.set()

        task = asyncio.create_task(consume())
        await asyncio.wait_for(first.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hold.set()
        span = recorded.one(self.span_name)
        assert span["fidelity.cancelled"] is True
        assert span["fidelity.stream.complete"] is False
