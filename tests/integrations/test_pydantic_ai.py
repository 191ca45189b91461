"""The pydantic_ai integration: its own spans, through the framework kit, with the real client."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance import QUESTION, SECRET, TOOL_CALLS, library
from fidelity_otel.conformance.framework import Framework
from fidelity_otel.loopback import Loopback
from fidelity_otel.testing import Recorded, SeenSpan, record
from fidelity_otel_integrations import pydantic_ai as integration

pydantic_ai = library("pydantic_ai", "pydantic-ai-slim[openai]")
import openai  # noqa: E402 - it comes with the library
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402
from pydantic_ai.models.test import TestModel as PretendModel  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402
from pydantic_ai.toolsets import FunctionToolset  # noqa: E402

RELEASE = tuple(map(int, importlib.metadata.version("pydantic-ai-slim").split(".")[:2]))


class TestPydanticAI(Framework):
    integration = integration
    parent_name = "invoke_agent clerk"

    def make_client(self, url: str) -> Any:
        client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=2)
        model = OpenAIChatModel("small-model", provider=OpenAIProvider(openai_client=client))
        return pydantic_ai.Agent(model, name="clerk")

    make_async_client = make_client

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        work = self.all_of(client, tools=tools) if stream else self.acall(client, tools=tools)
        return asyncio.run(closing(client, work))

    async def all_of(self, client: Any, *, tools: bool) -> list[Any]:
        found: list[Any] = []
        with self.one_turn(tools):
            found += [item async for item in await self.acall(client, stream=True, tools=tools)]
        return found

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        more: dict[str, Any] = {}
        if tools:  # what the tools say is not sent
            limits = pydantic_ai.UsageLimits(request_limit=1)
            more = {"toolsets": [FunctionToolset([order, refund])], "usage_limits": limits}
        if stream:
            return streamed(client, **more)
        with self.one_turn(tools):
            return await client.run(QUESTION, **more)

    def one_turn(self, tools: bool) -> Any:
        limit = pydantic_ai.UsageLimitExceeded
        return pytest.raises(limit) if tools else contextlib.nullcontext()

    async def close_async_client(self, client: Any) -> None:
        await client.model.client.close()

    def patched(self) -> dict[str, Any]:
        return {"default": pydantic_ai.Agent._instrument_default}

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(pydantic_ai.models.instrumented.InstrumentedModel, "request_stream")

    def check(self, span: SeenSpan, *, text: bool = True) -> None:
        super().check(span, text=False)
        assert span["gen_ai.response.model"] == "small-model-2026"
        assert "for 30 days" in span["gen_ai.output.messages"]

    if RELEASE < (2, 68):  # closed early, its stream raises, with this integration or without
        test_stream_closed_early_async = None  # type: ignore[assignment]

    # Its streams are asynchronous: see below.
    test_stream = None  # type: ignore[assignment]
    test_stream_closed_early = None  # type: ignore[assignment]
    test_stream_never_read = None  # type: ignore[assignment]
    # It raises errors of its own, and without capture says the form of messages: see below.
    test_api_error = None  # type: ignore[assignment]
    test_masked = None  # type: ignore[assignment]
    # It closes its client's stream from elsewhere when it is cancelled, and does not say why.
    test_stream_cancelled = None  # type: ignore[assignment]

    def test_error_of_the_provider(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.error_reply(400))
        with pytest.raises(pydantic_ai.ModelHTTPError):
            self.call(self.client(server.url))
        span = recorded.one(self.span_name)
        assert span.error
        assert span["error.type"] == "openai.BadRequestError"
        assert span["fidelity.recovery"] == "abandoned"
        assert len(span.events("exception")) == 1

    async def test_stream_cancelled_between_chunks(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        hold, first = threading.Event(), asyncio.Event()
        server.answer(self.stream_reply(hold=hold))

        async def consume() -> None:
            async for _ in await self.acall(self.async_client(server.url), stream=True):
                first.set()

        task = asyncio.create_task(consume())
        await asyncio.wait_for(first.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hold.set()
        span = recorded.one(self.span_name)
        assert span["fidelity.stream.complete"] is False
        assert "partial_stream" in span.losses

    def check_tools(self, span: SeenSpan) -> None:
        """The library keeps arguments as the text that they came as."""
        assert span["gen_ai.response.finish_reasons"] == ("tool_call",)
        (answer,) = span.value("gen_ai.output.messages")
        calls = [p for p in answer["parts"] if p["type"] == "tool_call"]
        read = [(c["id"], c["name"], json.loads(c["arguments"])) for c in calls]
        assert read == [(c["id"], c["name"], c["arguments"]) for c in TOOL_CALLS]
        assert "refund" in span["gen_ai.tool.definitions"]


def order(id: int) -> str:  # noqa: A002 - as the kit calls it
    return f"order {id}"


def refund(id: int, sum: float) -> str:  # noqa: A002
    return f"{sum} for {id}"


async def streamed(agent: Any, **more: Any) -> AsyncGenerator[Any, None]:
    async with agent.run_stream(QUESTION, **more) as run:
        async for piece in run.stream_text(delta=True, debounce_by=None):
            yield piece


async def closing(agent: Any, work: Any) -> Any:
    try:
        return await work
    finally:
        await agent.model.client.close()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with record() as found:
        integration.instrument()
        yield found
        integration.uninstrument()


def pretending(**more: Any) -> Any:
    agent = pydantic_ai.Agent(PretendModel(call_tools=["look"]), name="clerk", **more)

    @agent.tool_plain
    def look(number: int) -> str:
        with fidelity.span("database"):
            return f"order {number} {SECRET}"

    return agent


async def test_an_agent_with_a_tool(recorded: Recorded) -> None:
    with fidelity.span("caller"):
        await pretending().run("where is it?")
    assert recorded.tree().splitlines() == [
        "caller",
        "  invoke_agent clerk",
        "    chat test",
        "    execute_tool look",
        "      database",
        "    chat test",
    ]
    tool = recorded.one("execute_tool look")
    assert tool.value("gen_ai.tool.call.arguments") == {"number": 0}
    assert "order 0" in tool["gen_ai.tool.call.result"]
    assert SECRET not in repr([s.attributes for s in recorded.spans])


async def test_without_capture() -> None:
    with record(capture=False) as found:
        integration.instrument()
        await pretending().run("where is it?")
        integration.uninstrument()
        assert found.all("chat test")
        assert "where is it?" not in repr([s.attributes for s in found.spans])
        assert "order 0" not in repr([s.attributes for s in found.spans])


async def test_what_the_application_has_set_stays() -> None:
    from pydantic_ai.models.instrumented import InstrumentationSettings

    theirs = InstrumentationSettings(include_content=False)
    pydantic_ai.Agent.instrument_all(theirs)
    try:
        integration.instrument()
        assert pydantic_ai.Agent._instrument_default is theirs
        integration.uninstrument()
        assert pydantic_ai.Agent._instrument_default is theirs
    finally:
        pydantic_ai.Agent.instrument_all(False)
