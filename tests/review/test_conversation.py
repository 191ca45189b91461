"""A trace as a person reads it, and nothing that a blind reviewer must not see."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_traces import support_trace

from fidelity_otel.model import Message, Part, Span, ToolCall, Trace
from fidelity_otel.processor.read import read_otlp
from fidelity_otel.processor.wire_json import from_json
from fidelity_otel.review.conversation import read_conversation, show


def chat(index: int, given_in: list[Message], out: list[Message]) -> Span:
    return Span(
        "t" * 32,
        f"{index:016x}",
        "chat",
        operation="chat",
        start_ns=index * 1000,
        end_ns=index * 1000 + 500,
        input_messages=tuple(given_in),
        output_messages=tuple(out),
    )


def execute(
    index: int, name: str, arguments: object, result: object = None, **more: object
) -> Span:
    call = ToolCall(name, arguments=arguments, result=result, **more)  # type: ignore[arg-type]
    return Span(
        "t" * 32, f"{index:016x}", name, operation="execute_tool", start_ns=index * 1000, tool=call
    )


def text(role: str, words: str) -> Message:
    return Message(role, (Part("text", words),))


def call(name: str, arguments: object, call_id: str | None = None) -> Message:
    return Message("assistant", (Part("tool_call", id=call_id, name=name, arguments=arguments),))


def answered(response: object, call_id: str | None = None) -> Message:
    return Message("tool", (Part("tool_call_response", id=call_id, response=response),))


def trace(
    *spans: Span, request: str = "How late is my train?", answer: str = "Ten minutes."
) -> Trace:
    return Trace("t" * 32, spans, request=request, answer=answer, start_ns=1)


def test_the_support_conversation_reads_in_order() -> None:
    talk = read_conversation(support_trace(0))
    assert [e.kind for e in talk.entries] == [
        "user",
        "retrieval",
        "tool",
        "instructions",
        "prompt",
    ]
    assert talk.answer == "Yes, you have 60 days."
    assert talk.documents[0].updated_at == "2023-02-01"
    assert talk.tools[0].result["status"] == "delivered"


def test_the_answer_is_not_repeated_among_the_steps() -> None:
    talk = read_conversation(
        trace(chat(1, [text("user", "How late is my train?")], [text("assistant", "Ten minutes.")]))
    )
    assert [e.kind for e in talk.entries] == ["user"]


def test_histories_that_every_call_repeats_are_shown_once() -> None:
    first = [text("system", "Be kind."), text("user", "How late is my train?")]
    asked = call("board", '{"train": 7}', "c1")
    told = answered('{"late": 10}', "c1")
    talk = read_conversation(
        trace(
            chat(1, first, [asked]),
            execute(2, "board", {"train": 7}, {"late": 10}, id="c1"),
            chat(3, [*first, asked, told], [text("assistant", "Ten minutes.")]),
        )
    )
    assert [e.kind for e in talk.entries] == ["user", "instructions", "tool"]
    (tool,) = talk.tools
    assert (tool.arguments, tool.result) == ({"train": 7}, {"late": 10})


def test_a_repeated_call_is_shown_as_often_as_it_was_made() -> None:
    """A loop must look like one to the reviewer."""
    talk = read_conversation(
        trace(*(execute(n, "search", {"q": "x"}, "nothing") for n in range(1, 5)))
    )
    assert len(talk.tools) == 4


def test_a_call_without_an_execution_shows_its_answer_from_the_messages() -> None:
    talk = read_conversation(
        trace(
            chat(1, [], [call("board", {"train": 7}, "c1")]), chat(2, [answered("late", "c1")], [])
        )
    )
    (tool,) = talk.tools
    assert (tool.name, tool.result) == ("board", "late")


def test_an_error_of_a_tool_is_shown() -> None:
    failed = execute(1, "refund", {"order": 1}, error="HTTP 500")
    talk = read_conversation(trace(failed))
    assert talk.tools[0].error == "HTTP 500"


def test_arguments_that_are_no_json_are_shown_as_they_are() -> None:
    odd = execute(1, "refund", None, arguments_text='{"order": ')
    assert read_conversation(trace(odd)).tools[0].arguments == '{"order": '


def test_an_empty_trace_has_an_empty_conversation() -> None:
    talk = read_conversation(Trace("t" * 32, ()))
    assert (talk.entries, talk.answer) == ((), "")


def test_nothing_that_could_sway_a_judge_is_in_it() -> None:
    seen = msgspec.json.encode(read_conversation(support_trace(0))).decode()
    for secret in (
        "secret-release",
        "secret-model",
        support_trace(0).trace_id,
        "user-0",
        "span_id",
    ):
        assert secret not in seen


words = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
parts = st.builds(
    Part,
    type=st.sampled_from(["text", "reasoning", "tool_call", "tool_call_response", "blob", "odd"]),
    content=st.none() | words,
    id=st.none() | st.sampled_from(["c1", "c2"]),
    name=st.none() | words,
    arguments=values,
    response=values,
)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool", "odd"]),
    parts=st.lists(parts, max_size=3).map(tuple),
)
spans = st.builds(
    Span,
    trace_id=st.just("t" * 32),
    span_id=words,
    name=words,
    operation=st.sampled_from(["chat", "execute_tool", "retrieval", "invoke_agent", ""]),
    input_messages=st.lists(messages, max_size=3).map(tuple),
    output_messages=st.lists(messages, max_size=3).map(tuple),
    tool=st.none() | st.builds(ToolCall, name=words, arguments=values, result=values),
    query=st.none() | words,
    start_ns=st.integers(0, 100),
)


@given(st.lists(spans, max_size=5), words, words)
def test_any_trace_can_be_read(found: list[Span], request: str, answer: str) -> None:
    talk = read_conversation(Trace("t" * 32, tuple(found), request=request, answer=answer))
    if answer:
        assert talk.answer == answer
    executed = sum(s.operation == "execute_tool" for s in found)
    assert len(talk.tools) >= executed
    if request.strip():
        assert any(e.text == request and e.kind == "user" for e in talk.entries)


@pytest.mark.parametrize(
    ("value", "seen"),
    [("text", "text"), ({"a": 1}, '{\n  "a": 1\n}'), (b"12", "[2 bytes]"), (float, "<class")],
)
def test_values_as_text(value: object, seen: str) -> None:
    assert seen in show(value)


RECORDED = sorted(
    (Path(__file__).parents[1] / "processor" / "dialects" / "fixtures").glob("*.jsonl")
)


@pytest.mark.parametrize("path", RECORDED, ids=[p.stem for p in RECORDED])
def test_every_dialect_reads_as_the_same_conversation(path: Path) -> None:
    """As recorded from the peers' own libraries: one question, one tool call, one answer."""
    seen = 0
    for line in path.read_bytes().splitlines():
        read = read_otlp(from_json(line))
        if not read.request:
            continue
        talk = read_conversation(read)
        seen += 1
        assert talk.entries[0].kind == "user"
        assert talk.request.startswith("Where is my order")
        (tool,) = talk.tools
        assert tool.name == "get_order"
        assert "A-17" in str(tool.arguments) or "B-2" in str(tool.arguments)
        assert tool.result is not None or tool.error
        assert not [e for e in talk.entries if e.kind == "assistant"]
    assert seen or path.stem == "genai-1.36"  # whose words are in its logs
