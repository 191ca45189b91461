"""The langchain integration: the framework kit with a real client, then chains, graphs and tools."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance import QUESTION, SECRET, TEXT, library
from fidelity_otel.conformance.chat_wire import TOOLS
from fidelity_otel.conformance.framework import Framework
from fidelity_otel.loopback import Loopback
from fidelity_otel.testing import Recorded, assert_trace, record
from fidelity_otel_integrations import langchain as integration
from fidelity_otel_integrations import langchain_format

library("langchain_core", "langchain-core")
library("langchain_openai", "langchain-openai")
library("langgraph.graph", "langgraph")
from langchain_core.callbacks import CallbackManagerForRetrieverRun  # noqa: E402
from langchain_core.documents import Document  # noqa: E402
from langchain_core.language_models import FakeListChatModel, FakeListLLM, chat_models  # noqa: E402
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage  # noqa: E402
from langchain_core.prompts import ChatPromptTemplate  # noqa: E402
from langchain_core.retrievers import BaseRetriever  # noqa: E402
from langchain_core.runnables import RunnableLambda, config  # noqa: E402
from langchain_core.tools import BaseTool, ToolException, tool  # noqa: E402
from langchain_core.tracers import context  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402
from langgraph.graph import END, START, MessagesState, StateGraph  # noqa: E402
from langgraph.types import interrupt  # noqa: E402


class TestLangChain(Framework):
    integration = integration

    def make_client(self, url: str) -> Any:
        return ChatOpenAI(
            model="small-model", base_url=url + "/v1", api_key="x", max_retries=2, temperature=0.5
        )

    make_async_client = make_client

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        more: Any = {"tools": TOOLS} if tools else {}
        return (client.stream if stream else client.invoke)(QUESTION, **more)

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return client.astream(QUESTION) if stream else await client.ainvoke(QUESTION)

    def patched(self) -> dict[str, Any]:
        model = chat_models.BaseChatModel
        return {
            "generate": vars(model)["_generate_with_cache"],
            "agenerate": vars(model)["_agenerate_with_cache"],
            "stream": vars(model)["stream"],
            "astream": vars(model)["astream"],
            "arun": vars(BaseTool)["arun"],
            "context": vars(config)["_set_config_context"],
            "hooks": len(context._configure_hooks),
        }

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(BaseTool, "arun")

    def test_settings(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.reply())
        self.client(server.url).bind(stop=["."], seed=4).invoke([SystemMessage("x"), ("user", "y")])
        span = recorded.one(self.span_name)
        assert span["gen_ai.request.temperature"] == 0.5
        assert span["gen_ai.request.stop_sequences"] == (".",)
        assert span["gen_ai.request.seed"] == 4
        assert [m["role"] for m in span.value("gen_ai.input.messages")] == ["system", "user"]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with record() as found:
        integration.instrument()
        yield found
        integration.uninstrument()


class Shelf(BaseRetriever):
    """A retriever whose own code is observed."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        with fidelity.span("look"):
            if query == "fail":
                raise LookupError("no shelf")
            return [Document("30 days", id="d1", metadata={"source": "terms.md", "score": 0.5})]


@tool
def order(number: int) -> str:
    """Look an order up."""
    with fidelity.span("database"):
        if number == 0:
            raise ToolException("no such order")
        return f"order {number}"


@fidelity.observe
def polish(text: str) -> str:
    return text.upper()


def model(*answers: str) -> FakeListChatModel:
    return FakeListChatModel(responses=list(answers))


def test_a_chain_nests_with_the_applications_own_spans(recorded: Recorded) -> None:
    prompt = ChatPromptTemplate.from_template("about {x}")
    chain = prompt | model("fine") | RunnableLambda(lambda m: polish(m.content))
    with fidelity.span("caller"):
        assert chain.with_config(run_name="support").invoke({"x": "tea"}) == "FINE"
    assert_trace(
        recorded,
        """
        caller
          invoke_workflow support
            ChatPromptTemplate
            chat FakeListChatModel
            RunnableLambda
              polish
        """,
    )
    top = recorded.one("invoke_workflow support")
    assert top["gen_ai.workflow.name"] == "support"
    assert top.value("fidelity.input") == {"x": "tea"}
    assert top.value("fidelity.output") == "FINE"
    assert "usage_missing" in recorded.one("chat FakeListChatModel").losses


@pytest.mark.parametrize("way", ["read", "break"])
def test_a_streamed_chain_leaves_the_callers_spans_alone(way: str, recorded: Recorded) -> None:
    chain = ChatPromptTemplate.from_template("about {x}") | model("fine")
    with fidelity.span("caller"):
        stream = chain.stream({"x": "tea"})
        for _ in stream:
            with fidelity.span("use"):
                pass
            if way == "break":
                break
        stream.close()  # type: ignore[attr-defined]
    caller = recorded.one("caller").id
    assert all(s.parent_id == caller for s in recorded.all("use"))
    assert recorded.all("use")
    top = recorded.one("invoke_workflow RunnableSequence")
    assert not top.error
    chat = recorded.one("chat FakeListChatModel")
    assert chat.parent_id == top.id
    assert chat["fidelity.stream.complete"] is (way == "read")
    if way == "read":
        assert top.value("fidelity.input") == {"x": "tea"}


async def test_async_many_at_once(recorded: Recorded) -> None:
    async def slow(text: Any) -> str:
        await asyncio.sleep(0)
        return polish(text.content)

    chain = model("a") | RunnableLambda(slow)
    await asyncio.gather(*(chain.ainvoke("x") for _ in range(4)))
    assert recorded.tree().count("invoke_workflow RunnableSequence\n  chat") == 4
    assert recorded.tree().count("  slow\n    polish") == 4


def test_batches_keep_their_parents_in_threads(recorded: Recorded) -> None:
    chain = model("a") | RunnableLambda(lambda m: polish(m.content))
    with fidelity.span("caller"):
        chain.batch(["x", "y", "z"])
    caller = recorded.one("caller").id
    tops = recorded.all("invoke_workflow RunnableSequence")
    assert [s.parent_id for s in tops] == [caller] * 3
    assert {s.trace_id for s in recorded.spans} == {tops[0].trace_id}


def test_tools_with_arguments_results_and_failures(recorded: Recorded) -> None:
    """otel-python-genai#557, #485: a failed tool looks OK."""
    call = {"name": "order", "args": {"number": 7}, "id": "call_1", "type": "tool_call"}
    assert order.invoke(call).content == "order 7"
    span = recorded.one("execute_tool order")
    assert span.value("gen_ai.tool.call.arguments") == {"number": 7}
    assert span.value("gen_ai.tool.call.result") == "order 7"
    assert span["gen_ai.tool.call.id"] == "call_1"
    assert span["gen_ai.tool.description"] == "Look an order up."
    assert recorded.one("database").parent_id == span.id
    recorded.clear()
    with pytest.raises(ToolException):
        order.invoke({"number": 0})
    span = recorded.one("execute_tool order")
    assert span.error
    assert span["error.type"].endswith("ToolException")
    recorded.clear()
    tolerant = order.model_copy(update={"handle_tool_error": True})
    assert tolerant.invoke({**call, "args": {"number": 0}}).status == "error"
    assert recorded.one("execute_tool order").error


async def test_cancelled_tools_retrievers_and_chains(recorded: Recorded) -> None:
    started = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        started.set()
        await asyncio.Event().wait()
        return ""

    for what in (wait.ainvoke({}), (RunnableLambda(lambda _: {}) | wait).ainvoke("")):
        recorded.clear()
        started.clear()
        task = asyncio.create_task(what)
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert recorded.one("execute_tool wait")["fidelity.cancelled"] is True


async def test_retrieved_documents(recorded: Recorded) -> None:
    assert Shelf().invoke("how long?")[0].id == "d1"
    await Shelf().ainvoke("how long?")
    for span in recorded.all("retrieval Shelf"):
        assert span["gen_ai.retrieval.query.text"] == "how long?"
        (document,) = span.value("gen_ai.retrieval.documents")
        assert document["id"] == "d1"
        assert document["score"] == 0.5
        assert document["content"] == "30 days"
        assert document["source"] == "terms.md"
    assert recorded.tree().splitlines()[:2] == ["retrieval Shelf", "  look"]
    recorded.clear()
    with pytest.raises(LookupError):
        Shelf().invoke("fail")
    assert recorded.one("retrieval Shelf").error


def test_fallbacks_are_visible(recorded: Recorded) -> None:
    def broken(_: Any) -> str:
        raise ConnectionError("down")

    chain = RunnableLambda(broken).with_fallbacks([RunnableLambda(lambda _: "spare")])
    assert chain.invoke("x") == "spare"
    top = recorded.one("invoke_workflow RunnableWithFallbacks")
    assert top["fidelity.recovery"] == "fallback"
    assert not top.error


async def test_a_graph_with_a_model_a_tool_and_a_person(recorded: Recorded) -> None:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model("shall I?").invoke(state["messages"])]}

    def look(_: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(order.invoke({"number": 7}))]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("look", look)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "look")
    graph.add_edge("look", END)
    ready = graph.compile(name="desk")
    await ready.ainvoke(
        {"messages": [HumanMessage("7?")]}, {"configurable": {"thread_id": "talk-1"}}
    )
    assert_trace(
        recorded,
        """
        invoke_workflow desk
          ask
            chat FakeListChatModel
          look
            execute_tool order
              database
        """,
    )
    assert {s.get("gen_ai.conversation.id") for s in recorded.spans} == {"talk-1", None}
    recorded.clear()

    from langgraph.checkpoint.memory import InMemorySaver

    def person(_: MessagesState) -> dict[str, Any]:
        return {"messages": [interrupt("really?")]}

    waiting = StateGraph(MessagesState)
    waiting.add_node("person", person)
    waiting.add_edge(START, "person")
    paused = waiting.compile(checkpointer=InMemorySaver(), name="desk")
    paused.invoke({"messages": [HumanMessage("x")]}, {"configurable": {"thread_id": "t"}})
    span = recorded.one("person")
    assert not span.error
    assert span["langgraph.interrupt"].endswith("GraphInterrupt")


async def test_completion_models(recorded: Recorded) -> None:
    fake = FakeListLLM(responses=["one", "two", "three"])
    assert fake.invoke("a") == "one"
    assert await fake.ainvoke("a") == "two"
    assert "".join(fake.stream("a")) == "three"
    spans = recorded.all("text_completion FakeListLLM")
    assert [s.kind for s in spans] == ["CLIENT"] * 3
    texts = [s.value("gen_ai.output.messages")[0]["parts"][0]["content"] for s in spans]
    assert texts == ["one", "two", "three"]


def test_masked_everywhere(recorded: Recorded) -> None:
    chain = RunnableLambda(lambda x: order.invoke({"number": 7}) + " " + x)
    chain.invoke(SECRET)
    assert SECRET not in repr([s.attributes for s in recorded.spans])
    assert "masked:fidelity.input" in recorded.one("invoke_workflow RunnableLambda").losses


def test_content_blocks() -> None:
    picture = {"type": "image", "base64": "QUJD", "mime_type": "image/png"}
    thought = {"type": "reasoning", "reasoning": "hm"}
    call = {"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}
    said = langchain_format.messages(
        [
            HumanMessage([{"type": "text", "text": "see"}, picture]),
            AIMessage([thought], tool_calls=[call]),
            ToolMessage("no", tool_call_id="c", status="error"),
        ]
    )
    assert said[0]["parts"][1]["type"] == "blob"
    assert "QUJD" not in repr(said)
    assert said[1]["parts"] == [
        {"type": "reasoning", "content": "hm"},
        {"type": "tool_call", "id": "c", "name": "f", "arguments": {"a": 1}},
    ]
    assert said[2]["parts"][0]["is_error"] is True


def test_what_ran_when_it_was_turned_off_is_not_lost(recorded: Recorded) -> None:
    stream = model("abc").stream("x")
    next(stream)
    integration.uninstrument()
    assert "never_ended" in recorded.one("chat FakeListChatModel").losses
    assert "".join(c.content for c in stream) == "bc"  # type: ignore[misc]


def test_turned_on_before_the_library_is_imported() -> None:
    code = """
import fidelity_otel.integrations as i
i.instrument("langchain")
import sys
assert "langchain_core" not in sys.modules
from fidelity_otel.testing import record
from langchain_core.language_models import FakeListChatModel
with record() as r:
    FakeListChatModel(responses=["a"]).invoke("x")
    assert r.names == ["chat FakeListChatModel"], r.names
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_text_is_whole(recorded: Recorded) -> None:
    assert "".join(c.content for c in model("".join(TEXT)).stream("x")) == "".join(TEXT)  # type: ignore[misc]
    span = recorded.one("chat FakeListChatModel")
    assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == "".join(TEXT)
