"""The openai_agents integration: the framework kit with the real client, then agents with tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance import QUESTION, SECRET, TEXT, library
from fidelity_otel.conformance.chat_wire import completion
from fidelity_otel.conformance.framework import Framework
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded, assert_trace, record
from fidelity_otel_integrations import openai as openai_client
from fidelity_otel_integrations import openai_agents as integration

agents = library("agents", "openai-agents")
import openai  # noqa: E402 - it comes with the library
from agents import tracing  # noqa: E402

OLD = not hasattr(agents.RunResultStreaming, "run_loop_task")


@pytest.fixture(autouse=True)
def nothing_is_sent_elsewhere() -> Iterator[None]:
    """The library's own exporter would call OpenAI."""
    tracing.set_trace_processors([])
    yield
    tracing.set_trace_processors([])


def client_at(url: str) -> Any:
    return openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=2)


def agent_of(model: Any, **more: Any) -> Any:
    return agents.Agent(name="clerk", model=model, **more)


class TestChatCompletions(Framework):
    integration = integration
    parent_name = "invoke_agent clerk"

    def make_client(self, url: str) -> Any:
        return agents.OpenAIChatCompletionsModel(model="small-model", openai_client=client_at(url))

    make_async_client = make_client

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        if stream:
            return asyncio.run(closing(client, self.all_of(client, tools=tools)))
        return asyncio.run(closing(client, self.acall(client, tools=tools)))

    async def all_of(self, client: Any, *, tools: bool) -> list[Any]:
        return [item async for item in await self.acall(client, stream=True, tools=tools)]

    async def close_async_client(self, client: Any) -> None:
        await client._client.close()

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        more = {"tools": [order, refund], "tool_use_behavior": "stop_on_first_tool"}
        agent = agent_of(client, **(more if tools else {}))
        if stream:
            return streamed(agents.Runner.run_streamed(agent, QUESTION))
        return await agents.Runner.run(agent, QUESTION)

    def patched(self) -> dict[str, Any]:
        return {"processors": len(tracing.get_trace_provider()._multi_processor._processors)}

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(tracing.span_data.FunctionSpanData, "export")

    if OLD:  # only the client says how many tokens were cached; cancelled listening just ends
        test_masked = None  # type: ignore[assignment]
        test_stream_cancelled = None  # type: ignore[assignment]

    # A run reads its stream in a task of its own, to its end, whoever listens.
    test_stream_closed_early_async = None  # type: ignore[assignment]
    test_stream = None  # type: ignore[assignment]
    test_stream_closed_early = None  # type: ignore[assignment]
    test_stream_never_read = None  # type: ignore[assignment]


@agents.function_tool
def order(id: int) -> str:  # noqa: A002 - as the kit calls it
    """Look an order up."""
    return f"order {id}"


@agents.function_tool
def refund(id: int, sum: float) -> str:  # noqa: A002 - as the kit calls it
    """Pay back."""
    raise RuntimeError("no money")


async def streamed(run: Any) -> AsyncGenerator[Any, None]:
    try:
        async for event in run.stream_events():
            if event.type == "raw_response_event":
                yield event
    finally:
        run.cancel()
        await asyncio.wait([run._run_impl_task if OLD else run.run_loop_task])


async def closing(model: Any, work: Any) -> Any:
    try:
        return await work
    finally:
        await model._client.close()


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as found:
        yield found


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Only this integration: what the library itself says has to do."""
    with record() as found:
        integration.instrument()
        yield found
        integration.uninstrument()


def asking(name: str, arguments: str) -> Reply:
    function = {"name": name, "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    return Reply(completion({"content": None, "tool_calls": [call]}, "tool_calls"))


def saying(text: str) -> Reply:
    return Reply(completion({"content": text}, "stop"))


@pytest.fixture
async def client(server: Loopback) -> AsyncGenerator[Any, None]:
    found = client_at(server.url)
    yield found
    await found.close()


@pytest.fixture
def model(client: Any) -> Any:
    return agents.OpenAIChatCompletionsModel(model="small-model", openai_client=client)


async def test_an_agent_with_a_tool(server: Loopback, model: Any, recorded: Recorded) -> None:
    @agents.function_tool
    def look(id: int) -> str:  # noqa: A002 - as the kit calls it
        """Look."""
        with fidelity.span("database"):
            return f"order {id} {SECRET}"

    server.answer(asking("look", '{"id": 7}'), saying("it is there"))
    agent = agent_of(model, tools=[look])
    config = agents.RunConfig(workflow_name="desk", group_id="talk-1")
    with fidelity.span("caller"):
        result = await agents.Runner.run(agent, "where?", run_config=config)
    assert result.final_output == "it is there"
    assert_trace(
        recorded,
        """
        caller
          invoke_workflow desk
            invoke_agent clerk
              chat small-model
              execute_tool look
                database
              chat small-model
        """,
    )
    span = recorded.one("execute_tool look")
    assert span.value("gen_ai.tool.call.arguments") == {"id": 7}
    assert "order 7" in span["gen_ai.tool.call.result"]
    assert SECRET not in repr([s.attributes for s in recorded.spans])
    assert recorded.one("invoke_workflow desk")["gen_ai.conversation.id"] == "talk-1"
    first, second = recorded.all("chat small-model")
    assert first["gen_ai.usage.input_tokens"] == second["gen_ai.usage.input_tokens"] == 11
    asked = first.value("gen_ai.output.messages")[0]["parts"][0]
    assert (asked["name"], asked["arguments"]) == ("look", {"id": 7})
    assert second.value("gen_ai.output.messages")[0]["parts"][0]["content"] == "it is there"


async def test_a_failed_tool_does_not_look_right(
    server: Loopback, model: Any, recorded: Recorded
) -> None:
    server.answer(asking("refund", '{"id": 7, "sum": 1}'), saying("sorry"))
    await agents.Runner.run(agent_of(model, tools=[refund]), "pay")
    span = recorded.one("execute_tool refund")
    assert span.error
    assert "Error running tool" in span.span.status.description


async def test_a_cancelled_tool(server: Loopback, model: Any, recorded: Recorded) -> None:
    started = asyncio.Event()

    @agents.function_tool
    async def wait() -> str:
        """Wait."""
        started.set()
        await asyncio.Event().wait()
        return ""

    server.answer(asking("wait", "{}"))
    task = asyncio.create_task(agents.Runner.run(agent_of(model, tools=[wait]), "wait"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for name in ("execute_tool wait", "invoke_workflow Agent workflow"):
        assert recorded.one(name)["fidelity.cancelled"] is True


@pytest.mark.parametrize("both", [True, False])
async def test_the_responses_api(
    both: bool, server: Loopback, client: Any, recorded: Recorded
) -> None:
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "".join(TEXT), "annotations": []}],
    }
    server.answer(
        Reply(
            {
                "id": "resp-1",
                "object": "response",
                "created_at": 1,
                "model": "small-model-2026",
                "status": "completed",
                "output": [message],
                "instructions": "be kind",
                "parallel_tool_calls": True,
                "tool_choice": "auto",
                "tools": [],
                "usage": {
                    "input_tokens": 11,
                    "input_tokens_details": {"cached_tokens": 3},
                    "output_tokens": 7,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": 18,
                },
            }
        )
    )
    if both:
        openai_client.instrument()
    model = agents.OpenAIResponsesModel(model="small-model", openai_client=client)
    try:
        await agents.Runner.run(agent_of(model, instructions="be kind"), QUESTION)
    finally:
        openai_client.uninstrument()
    (span,) = [s for s in recorded.spans if s.get("gen_ai.operation.name") == "chat"]
    assert span["gen_ai.response.id"] == "resp-1"
    assert span["gen_ai.usage.input_tokens"] == 11
    assert span["gen_ai.usage.cache_read.input_tokens"] == 3
    assert span["gen_ai.response.finish_reasons"] == ("stop",)
    assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == "".join(TEXT)
    assert "bring it back" in span.value("gen_ai.input.messages")[0]["parts"][0]["content"]
    assert span.value("gen_ai.system_instructions")[0]["content"] == "be kind"
    assert span.name == ("chat small-model" if both else "chat small-model-2026")


async def test_guardrails(server: Loopback, model: Any, recorded: Recorded) -> None:
    @agents.input_guardrail
    def polite(context: Any, agent: Any, given: Any) -> Any:
        return agents.GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    guarded = agent_of(model, input_guardrails=[polite])
    server.answer(saying("x"))
    with pytest.raises(agents.InputGuardrailTripwireTriggered):
        await agents.Runner.run(guarded, "shout")
    assert recorded.one("guardrail polite").value("fidelity.output") == {"triggered": True}


async def test_handoffs(server: Loopback, model: Any, recorded: Recorded) -> None:
    other = agents.Agent(name="chief", model=model)
    server.answer(asking("transfer_to_chief", "{}"), saying("done"))
    await agents.Runner.run(agent_of(model, handoffs=[other]), "chief!")
    assert recorded.one("handoff").value("fidelity.input") == {"from": "clerk", "to": "chief"}
    assert recorded.one("invoke_agent chief")


def test_other_processors_stay(recorded: Recorded) -> None:
    class Theirs(tracing.TracingProcessor):
        def on_trace_start(self, trace: Any) -> None: ...
        def on_trace_end(self, trace: Any) -> None: ...
        def on_span_start(self, span: Any) -> None: ...
        def on_span_end(self, span: Any) -> None: ...
        def shutdown(self) -> None: ...
        def force_flush(self) -> None: ...

    theirs = Theirs()
    tracing.add_trace_processor(theirs)
    integration.uninstrument()
    assert tracing.get_trace_provider()._multi_processor._processors == (theirs,)
