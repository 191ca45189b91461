"""`span`, operations, tools, documents and messages as the conventions name them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.sdk.documents import read_documents
from fidelity_otel.sdk.messages import from_chat
from fidelity_otel.testing import Recorded, assert_trace


def test_a_block_is_a_span(recorded: Recorded) -> None:
    with fidelity.span("plain", input={"a": 1}, **{"my.key": 3}) as span:
        assert span.output([1]).set("n", 1).set("list", ["a", "b"]).set("obj", {"x": 1}) is span
    seen = recorded.one("plain")
    assert seen.value("fidelity.input") == {"a": 1}
    assert seen.value("fidelity.output") == [1]
    assert (seen["my.key"], seen["n"], seen["list"], seen["obj"]) == (3, 1, ("a", "b"), '{"x":1}')


def test_an_exception_passes_and_marks_the_span(recorded: Recorded) -> None:
    with pytest.raises(KeyError), fidelity.span("fails"):
        raise KeyError("k")
    assert recorded.one("fails")["error.type"] == "KeyError"


def test_an_error_that_was_swallowed_can_be_said(recorded: Recorded) -> None:
    with fidelity.span("a") as span:
        span.error("gave up")
    with fidelity.span("b") as span:
        try:
            raise ValueError("x")
        except ValueError as error:
            span.error(error)
    assert recorded.one("a").error
    assert recorded.one("a").span.status.description == "gave up"
    assert recorded.one("b")["error.type"] == "ValueError"


async def test_async_with_and_concurrency(recorded: Recorded) -> None:
    async def work(n: int) -> None:
        async with fidelity.span(f"w{n}"):
            await asyncio.sleep(0)
            async with fidelity.span(f"inner{n}"):
                await asyncio.sleep(0)

    async with fidelity.span("root"):
        await asyncio.gather(*(work(n) for n in range(5)))
    for n in range(5):
        assert recorded.one(f"inner{n}").parent_id == recorded.one(f"w{n}").id
        assert recorded.one(f"w{n}").parent_id == recorded.one("root").id


def test_operations(recorded: Recorded) -> None:
    with fidelity.span("support", "invoke_workflow"):
        with fidelity.span("helper", "invoke_agent"):
            pass
        with fidelity.span("m-1", "chat", model="m-1", provider="p") as chat:
            chat.input([{"role": "user", "content": "q"}]).output("a")
        with fidelity.span("kb", "retrieval", input="query text") as s:
            s.documents(
                [{"id": "1", "score": 0.5, "text": "t", "url": "u", "indexed_at": "2026-01-01"}]
            )
        with fidelity.span("order", "execute_tool") as s:
            s.tool("order", {"id": 1}, {"state": "sent"})
    assert_trace(
        recorded,
        """
        invoke_workflow support
          invoke_agent helper
          chat m-1
          retrieval kb
          execute_tool order
        """,
    )
    assert recorded.one("invoke_agent helper")["gen_ai.agent.name"] == "helper"
    assert recorded.one("chat m-1").kind == "CLIENT"
    kb = recorded.one("retrieval kb")
    assert kb["gen_ai.retrieval.query.text"] == "query text"
    assert kb.value("gen_ai.retrieval.documents") == [
        {"id": "1", "score": 0.5, "content": "t", "source": "u", "indexed_at": "2026-01-01"}
    ]
    tool = recorded.one("execute_tool order")
    assert tool.value("gen_ai.tool.call.arguments") == {"id": 1}
    assert tool.value("gen_ai.tool.call.result") == {"state": "sent"}


def test_tools_on_an_agents_span_are_its_children(recorded: Recorded) -> None:
    """otel-python-genai#557: a failed tool must not look fine (otel-python-genai#485)."""
    with fidelity.span("bot", "invoke_agent") as agent:
        agent.tool("good", {"a": 1}, "ok")
        agent.tool("bad", {"a": 1}, error=TimeoutError("slow"))
    assert_trace(
        recorded,
        """
        invoke_agent bot
          execute_tool good
          execute_tool bad
        """,
    )
    assert recorded.one("execute_tool bad").error
    assert not recorded.one("execute_tool good").error


@dataclass
class LangChainDocument:
    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Node:
    text: str
    node_id: str


@dataclass
class NodeWithScore:
    node: Node
    score: float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a"], [{"content": "a"}]),
        ([], []),
        (({"id": 1, "text": "x"},), [{"id": 1, "content": "x"}]),
        ([("text", 0.3)], [{"content": "text", "score": 0.3}]),
        ([(0.3, {"id": 1})], [{"id": 1, "score": 0.3}]),
        ({"results": [{"_id": "a", "_score": 2}]}, [{"id": "a", "score": 2}]),
        (
            [LangChainDocument("c", {"source": "f.md", "page": 3})],
            [{"content": "c", "source": "f.md", "metadata": {"page": 3}}],
        ),
        ([NodeWithScore(Node("t", "n1"), 0.9)], [{"id": "n1", "content": "t", "score": 0.9}]),
        (
            [{"id": "d", "superseded_by": "e", "updated_at": "2020-01-01"}],
            [{"id": "d", "superseded_by": "e", "updated_at": "2020-01-01"}],
        ),
        ("a text", None),
        (3, None),
        ([1, 2], None),
        (iter(["a"]), None),
        ([object()], None),
        ({"a": 1}, None),
    ],
)
def test_documents(value: Any, expected: Any) -> None:
    assert read_documents(value) == expected


def test_a_retriever_that_returns_something_else_keeps_its_output(recorded: Recorded) -> None:
    fidelity.retrieval("r")(lambda query, k: 3)("q", k=2)
    span = recorded.one("retrieval r")
    assert span.value("fidelity.output") == 3
    assert span["gen_ai.retrieval.query.text"] == "q"
    assert span.value("fidelity.input") == {"query": "q", "k": 2}


def test_messages() -> None:
    data = "data:image/png;base64," + "A" * 5000
    read = from_chat(
        [
            {"role": "developer", "content": "be kind"},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "what is this?"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "image_url", "image_url": {"url": data}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"a":1}'},
                    },
                    {
                        "id": "2",
                        "type": "function",
                        "function": {"name": "g", "arguments": '{"a":'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": "done"},
        ]
    )
    assert read is not None
    system, user, assistant, tool = read
    assert system == {"role": "system", "parts": [{"type": "text", "content": "be kind"}]}
    assert user["name"] == "ann"
    assert user["parts"][1] == {"type": "uri", "modality": "image", "uri": "https://x/y.png"}
    blob = user["parts"][2]
    assert (blob["type"], blob["mime_type"], blob["bytes"]) == ("blob", "image/png", 5000)
    assert blob["content"].startswith("sha256:")
    assert assistant["parts"] == [
        {"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}},
        {"type": "tool_call", "id": "2", "name": "g", "arguments": '{"a":'},
    ]
    assert tool["parts"] == [{"type": "tool_call_response", "id": "1", "response": "done"}]


@pytest.mark.parametrize("value", [None, [], "x", [1], [{"content": "no role"}], iter([])])
def test_what_is_no_list_of_messages(value: Any) -> None:
    assert from_chat(value) is None
