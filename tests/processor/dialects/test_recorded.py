"""Every dialect, recorded from its real library, gives the same canonical trace.

The fixtures are made by `tools/record_dialects.py`. What a library does not write cannot be read:
`LACKS` says so for each, and a library that starts to write it fails here.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from fidelity_otel.model import Span, Trace
from fidelity_otel.processor.detect import detect
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.read import read_otlp
from fidelity_otel.processor.read_files import traces_in

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.jsonl"))
DIALECT = {
    "genai-1.36": "genai",
    "openinference-langchain": "openinference",
    "traceloop-0.40": "traceloop",
    "langfuse-3": "langfuse",
    "pydantic-ai": "logfire",
    "pydantic-ai-0.4": "logfire",
    "vercel": "genai",
    "vercel-4": "vercel",
}
LACKS: dict[str, set[str]] = {
    "genai": {"documents", "session", "user", "tool span"},
    "genai-1.36": {"documents", "session", "user", "tool span", "content"},  # logs hold it
    "langfuse": {"model requested", "response id"},
    "langfuse-3": {"model requested", "response id"},
    "logfire": {"documents", "session", "user", "tool span"},
    "mlflow": {"session", "user"},  # metadata of a trace, not of its spans
    "openinference-langchain": {"arguments by name", "response id"},
    "pydantic-ai": {"documents", "user"},
    "pydantic-ai-0.4": {"documents", "session", "user", "response id"},
    "traceloop": {"documents"},  # a task is no retrieval
    "traceloop-0.40": {"documents"},
    "vercel": {"documents", "session", "user"},
    "vercel-4": {"documents"},
}
ANSWER = "Your order A-17 was shipped and arrives on Monday."


def traces(name: str) -> list[Trace]:
    data = (FIXTURES / f"{name}.jsonl").read_bytes()
    bodies = traces_in([(name, data)], lambda place, what: pytest.fail(f"{place}: {what}"))
    return [read_otlp(body) for body in bodies]


def lacks(name: str, what: str) -> bool:
    return what in LACKS.get(name, set())


def of(trace: Trace, operation: str) -> list[Span]:
    return [s for s in trace.spans if s.operation == operation]


def tool(trace: Trace) -> tuple[str, Any, Any]:
    (step,) = Facts(trace).steps
    return step.name, step.arguments, step.result


def test_every_recording_has_its_fixture() -> None:
    listed = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "record_dialects.py"))
    assert sorted(listed["RECORDINGS"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_same_conversation(name: str) -> None:
    good, _ = traces(name)
    assert good.root is not None
    assert good.reported_success
    assert good.service == "shop" or name.startswith(("langfuse", "langsmith", "vercel"))
    assert good.unread == 0
    assert any(DIALECT.get(name, name) in s.dialect.split("+") for s in good.spans)
    if not lacks(name, "content"):
        assert good.request == "Where is my order A-17?"
        assert good.answer == ANSWER
    if lacks(name, "session"):
        assert good.conversation_id is None
    elif name == "pydantic-ai":
        assert good.conversation_id  # it makes one up for each run
    else:
        assert good.conversation_id == "s-1"
    assert good.user_id == (None if lacks(name, "user") else "u-1")
    assert detect(good) == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_model_calls(name: str) -> None:
    good, _ = traces(name)
    chats = of(good, "chat")
    assert len(chats) == 2
    first, last = chats
    for chat in chats:
        assert chat.model_requested == (None if lacks(name, "model requested") else "small")
        assert chat.model_used == "small-2026-01"
    if not lacks(name, "response id"):
        assert [c.response_id for c in chats] == ["chatcmpl-1", "chatcmpl-2"]
    if lacks(name, "content"):
        return
    roles = [m.role for m in last.input_messages]
    system = ["system"] if last.system is None else []
    assert roles == [*system, "user", "assistant", "tool"]
    assert "support assistant" in (last.system or last.input_messages[0].text)
    (call,) = [p for m in first.output_messages for p in m.parts if p.type == "tool_call"]
    assert (call.name, call.id, call.arguments) == ("get_order", "call_1", {"order_id": "A-17"})
    (result,) = last.input_messages[-1].parts
    assert (result.type, result.id) == ("tool_call_response", "call_1")
    assert "shipped" in str(result.response)
    assert last.output_messages[-1].text == ANSWER


@pytest.mark.parametrize("name", NAMES)
def test_tokens_count_once(name: str) -> None:
    good, _ = traces(name)
    spent = [s.usage for s in good.spans if s.usage is not None]
    assert sum(u.input_tokens or 0 for u in spent) == 50
    assert sum(u.output_tokens or 0 for u in spent) == 14


@pytest.mark.parametrize("name", NAMES)
def test_the_tool_call(name: str) -> None:
    good, _ = traces(name)
    if lacks(name, "content"):
        return
    assert len(of(good, "execute_tool")) == (0 if lacks(name, "tool span") else 1)
    called, arguments, result = tool(good)
    assert called == "get_order"
    assert arguments == ("A-17" if lacks(name, "arguments by name") else {"order_id": "A-17"})
    if isinstance(result, str):  # only messages show it
        assert result == '{"status": "shipped", "day": "Monday"}'
    else:
        assert result == {"status": "shipped", "day": "Monday"}


@pytest.mark.parametrize("name", NAMES)
def test_the_documents(name: str) -> None:
    good, _ = traces(name)
    retrievals = of(good, "retrieval")
    assert len(retrievals) == (0 if lacks(name, "documents") else 1)
    for span in retrievals:
        assert span.documents is not None
        assert span.query == "Where is my order A-17?"
        assert [d.content for d in span.documents] == [
            "Orders ship within two days.",
            "Orders ship within a week.",
        ]


@pytest.mark.parametrize("name", [n for n in NAMES if not lacks(n, "content")])
def test_the_failing_tool(name: str) -> None:
    _, failing = traces(name)
    findings = [f for f in detect(failing) if f.mode == "tool_error"]
    assert len(findings) == 1
    assert "the order system is down" in findings[0].evidence
    if failing.reported_success:
        assert findings[0].state == "escalated"  # the answer admits it
        assert failing.answer == "I am sorry, I could not retrieve your order."
    else:
        assert name.startswith("pydantic-ai")  # lets a tool's error end the run
