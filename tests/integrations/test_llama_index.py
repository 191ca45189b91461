"""The llama_index integration: the framework kit with the real client in a model class, and more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance import QUESTION, SECRET, library
from fidelity_otel.conformance.chat_wire import TOOLS
from fidelity_otel.conformance.framework import Framework
from fidelity_otel.loopback import Loopback
from fidelity_otel.testing import Recorded, assert_trace, record
from fidelity_otel_integrations import llama_index as integration

library("llama_index.core", "llama-index-core")
from llama_index.core import instrumentation, schema  # noqa: E402
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata  # noqa: E402
from llama_index.core.embeddings import MockEmbedding  # noqa: E402
from llama_index.core.llms import CompletionResponse, CustomLLM, MockLLM  # noqa: E402
from llama_index.core.llms.callbacks import llm_chat_callback  # noqa: E402
from llama_index.core.query_engine import RetrieverQueryEngine  # noqa: E402
from llama_index.core.retrievers import BaseRetriever  # noqa: E402
from llama_index.core.tools import FunctionTool  # noqa: E402


class OpenAILike(CustomLLM):
    """A model class as integration packages write them, on the real client."""

    url: str

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="small-model", is_chat_model=True)

    def _ask(self, messages: Any, **more: Any) -> dict[str, Any]:
        sent = [{"role": m.role.value, "content": m.content} for m in messages]
        return {"model": "small-model", "messages": sent, **more}

    def _said(self, text: str, raw: Any) -> ChatMessage:
        message = raw.choices[0].message
        calls = {"tool_calls": message.tool_calls} if message.tool_calls else {}
        return ChatMessage(role="assistant", content=text, additional_kwargs=calls)

    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        with openai.OpenAI(base_url=self.url + "/v1", api_key="x", max_retries=2) as client:
            raw = client.chat.completions.create(**self._ask(messages, **kwargs))
        return ChatResponse(message=self._said(raw.choices[0].message.content or "", raw), raw=raw)

    @llm_chat_callback()
    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        def steps() -> Iterator[ChatResponse]:
            text = ""
            with openai.OpenAI(base_url=self.url + "/v1", api_key="x", max_retries=2) as client:
                asked = self._ask(messages, stream=True, **kwargs)
                for raw in client.chat.completions.create(**asked):
                    delta = (raw.choices[0].delta.content or "") if raw.choices else ""
                    text += delta
                    said = ChatMessage(role="assistant", content=text)
                    yield ChatResponse(message=said, delta=delta, raw=raw)

        return steps()

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        async with openai.AsyncOpenAI(
            base_url=self.url + "/v1", api_key="x", max_retries=2
        ) as client:
            raw = await client.chat.completions.create(**self._ask(messages))
        said = ChatMessage(role="assistant", content=raw.choices[0].message.content)
        return ChatResponse(message=said, raw=raw)

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        async def steps() -> Any:
            text = ""
            async with openai.AsyncOpenAI(
                base_url=self.url + "/v1", api_key="x", max_retries=2
            ) as client:
                stream = await client.chat.completions.create(**self._ask(messages, stream=True))
                async for raw in stream:
                    delta = (raw.choices[0].delta.content or "") if raw.choices else ""
                    text += delta
                    said = ChatMessage(role="assistant", content=text)
                    yield ChatResponse(message=said, delta=delta, raw=raw)

        return steps()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


class TestLlamaIndex(Framework):
    integration = integration

    def make_client(self, url: str) -> Any:
        return OpenAILike(url=url)

    make_async_client = make_client

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        asked = [ChatMessage(role="user", content=QUESTION)]
        more = {"tools": TOOLS} if tools else {}
        return client.stream_chat(asked, **more) if stream else client.chat(asked, **more)

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        asked = [ChatMessage(role="user", content=QUESTION)]
        return await (client.astream_chat(asked) if stream else client.achat(asked))

    def patched(self) -> dict[str, Any]:
        root = instrumentation.root_dispatcher
        return {"spans": len(root.span_handlers), "events": len(root.event_handlers)}

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(instrumentation, "get_dispatcher")


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with record() as found:
        integration.instrument()
        yield found
        integration.uninstrument()


class Shelf(BaseRetriever):
    """A retriever whose own code is observed."""

    def _retrieve(self, query_bundle: Any) -> list[Any]:
        with fidelity.span("look"):
            if query_bundle.query_str == "fail":
                raise LookupError("no shelf")
            node = schema.TextNode(id_="d1", text="30 days", metadata={"source": "terms.md"})
            return [schema.NodeWithScore(node=node, score=0.5)]


def test_retrieved_documents(recorded: Recorded) -> None:
    Shelf().retrieve("how long?")
    span = recorded.one("retrieval Shelf")
    assert span["gen_ai.retrieval.query.text"] == "how long?"
    (document,) = span.value("gen_ai.retrieval.documents")
    assert (document["id"], document["score"]) == ("d1", 0.5)
    assert (document["content"], document["source"]) == ("30 days", "terms.md")
    assert recorded.one("look").parent_id == span.id
    recorded.clear()
    with pytest.raises(LookupError):
        Shelf().retrieve("fail")
    assert recorded.one("retrieval Shelf").error


async def test_tools(recorded: Recorded) -> None:
    def order(number: int) -> str:
        """Look an order up."""
        with fidelity.span("database"):
            return f"order {number} {SECRET}" if number else str(1 / number)

    tool = FunctionTool.from_defaults(order)
    tool.call(number=7)
    await tool.acall(number=7)
    for span in recorded.all("execute_tool order"):
        assert span.value("gen_ai.tool.call.arguments") == {"number": 7}
        assert "order 7" in span["gen_ai.tool.call.result"]
        assert SECRET not in repr(span.attributes)
    assert len(recorded.all("execute_tool order")) == 2
    recorded.clear()
    with pytest.raises(ZeroDivisionError):
        tool.call(number=0)
    assert recorded.one("execute_tool order").error


def test_a_query_engine(recorded: Recorded, server: Loopback) -> None:
    server.answer(TestLlamaIndex().reply())
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=OpenAILike(url=server.url))
    with fidelity.span("caller"):
        engine.query("how long?")
    assert_trace(
        recorded,
        """
        caller
          invoke_workflow RetrieverQueryEngine
            retrieval Shelf
              look
            chat small-model
        """,
    )


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as found:
        yield found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own
async def test_an_agent(recorded: Recorded) -> None:
    from llama_index.core.agent.workflow import ReActAgent

    agent = ReActAgent(name="clerk", llm=MockLLM(max_tokens=5), tools=[])
    await agent.run("Thought: done\nAnswer: yes")
    top = recorded.one("invoke_agent clerk")
    chats = [s for s in recorded.spans if s.name.startswith(("chat", "text_completion"))]
    assert chats
    assert {s.trace_id for s in chats} == {top.trace_id}


def test_embeddings(recorded: Recorded) -> None:
    MockEmbedding(embed_dim=3).get_text_embedding("a")
    span = recorded.one("embeddings MockEmbedding")
    assert span.kind == "CLIENT"
