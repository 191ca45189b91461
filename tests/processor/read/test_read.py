"""Reading traces: what is asked and answered, roots, keys, old events and new attributes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fidelity_otel import semconv as s
from fidelity_otel.model import Event, Link, Part, Span
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.processor.read import read_trace

TRACE = "ab" * 16


def raw(number: int, name: str = "step", parent: int | None = 1, **given: Any) -> RawSpan:
    fields: dict[str, Any] = {
        "start_ns": number * 10,
        "end_ns": number * 10 + 5,
        "scope_name": "test",
        **given,
    }
    above = None if parent is None else f"{parent:016x}"
    return RawSpan(TRACE, f"{number:016x}", name, above, **fields)


def attributes(**more: Any) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in more.items()}


def workflow(**more: Any) -> RawSpan:
    return raw(
        1,
        "invoke_workflow support.answer",
        None,
        attributes={
            s.GEN_AI_OPERATION_NAME: "invoke_workflow",
            s.GEN_AI_WORKFLOW_NAME: "support.answer",
            s.FIDELITY_INPUT: json.dumps({"question": "Where is my order?", "locale": "en"}),
            s.FIDELITY_OUTPUT: json.dumps("On its way."),
            **more,
        },
    )


def test_a_trace_knows_what_was_asked_and_answered() -> None:
    trace = read_trace(
        [
            workflow(**{s.FIDELITY_KEY_PREFIX + "ticket": "T-42", s.USER_ID: "u1"}),
            raw(2, attributes={s.FIDELITY_KEY_PREFIX + "order": ["A-1", "A-2"]}),
        ],
        revision=3,
        incomplete=("idle",),
    )
    assert trace.workflow == "support.answer"
    assert trace.request == "Where is my order?"
    assert trace.answer == "On its way."
    assert trace.keys == (("ticket", "T-42"), ("order", "A-1"), ("order", "A-2"))
    assert trace.user_id == "u1"
    assert trace.reported_success
    assert (trace.revision, trace.incomplete, trace.unread) == (3, ("idle",), 0)
    assert trace.root is not None
    assert trace.root.operation == "invoke_workflow"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("Where?", "Where?"),
        ({"question": "Where?", "limit": 3}, "Where?"),
        ({"anything": "Where?"}, "Where?"),
        ({"args": ["Where?"], "kwargs": {}}, "Where?"),
        ({"args": [], "kwargs": {"query": "Where?"}}, "Where?"),
        (
            {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Where?"},
                ]
            },
            "Where?",
        ),
        ([{"role": "user", "content": [{"type": "text", "text": "Where?"}]}], "Where?"),
        ({"state": {"messages": [{"type": "human", "content": "Where?"}]}}, "Where?"),
        ({"a": 1, "b": "Where?"}, "Where?"),
    ],
)
def test_the_request_is_found_in_inputs_of_many_shapes(given: Any, asked: str) -> None:
    trace = read_trace([workflow(**{s.FIDELITY_INPUT: json.dumps(given)})])
    assert trace.request == asked


def test_without_inputs_the_model_calls_tell() -> None:
    def chat(number: int, asked: str, said: str, parent: int = 1) -> RawSpan:
        return raw(
            number,
            parent=parent,
            attributes={
                s.GEN_AI_OPERATION_NAME: "chat",
                s.GEN_AI_INPUT_MESSAGES: json.dumps(
                    [{"role": "user", "parts": [{"type": "text", "content": asked}]}]
                ),
                s.GEN_AI_OUTPUT_MESSAGES: json.dumps(
                    [{"role": "assistant", "parts": [{"type": "text", "content": said}]}]
                ),
            },
        )

    tool = raw(3, attributes={s.GEN_AI_OPERATION_NAME: "execute_tool", s.GEN_AI_TOOL_NAME: "ask"})
    trace = read_trace(
        [raw(1, "POST /chat", None), chat(2, "Where?", "There."), tool, chat(4, "x", "inner", 3)]
    )
    assert trace.request == "Where?"
    assert trace.answer == "There."  # what a tool's own model said is not the answer
    assert trace.workflow == "POST /chat"


def test_the_workflow_is_the_roots_else_named_anywhere_else_the_roots_name() -> None:
    named = raw(2, attributes={s.FIDELITY_WORKFLOW: "refund"})
    assert read_trace([raw(1, "POST /chat", None), named]).workflow == "refund"
    assert read_trace([workflow(), named]).workflow == "support.answer"
    assert read_trace([raw(1, "POST /chat", None)]).workflow == "POST /chat"


def test_a_missing_root_is_said_and_its_first_orphan_stands_in() -> None:
    trace = read_trace([raw(5, "late", 99), raw(4, "early", 98)])
    assert trace.root_id is None
    assert trace.workflow == "early"


def test_a_circle_of_parents_is_read() -> None:
    trace = read_trace([raw(2, "a", 3), raw(3, "b", 2), raw(4, "c", 4)])
    assert trace.root_id is None
    assert len(trace.spans) == 3


@pytest.mark.parametrize(
    ("change", "success"),
    [
        ({}, True),
        ({"status_code": 2}, False),
        ({"status_code": 1}, True),
        ({"attributes": {s.HTTP_RESPONSE_STATUS_CODE: 500}}, False),
        ({"attributes": {s.HTTP_RESPONSE_STATUS_CODE: 200}}, True),
        ({"attributes": {s.HTTP_RESPONSE_STATUS_CODE: "broken"}}, True),
        ({"attributes": {s.ERROR_TYPE: "ValueError"}}, False),
    ],
)
def test_reported_success_is_what_the_root_says(change: dict[str, Any], success: bool) -> None:
    below = raw(2, status_code=2)
    assert read_trace([raw(1, "root", None, **change), below]).reported_success is success


def test_each_span_once_and_the_ended_one() -> None:
    trace = read_trace([workflow(), raw(2, end_ns=0), raw(2, end_ns=25), raw(2, end_ns=0)])
    assert [x.end_ns for x in trace.spans if x.span_id.endswith("2")] == [25]


def test_carriers_are_no_part_of_a_trace() -> None:
    assert read_trace([raw(1, s.FIDELITY_OUTCOME_SPAN, None)]).spans == ()


def only(trace_spans: tuple[Span, ...], number: int) -> Span:
    return next(x for x in trace_spans if x.span_id == f"{number:016x}")


def conversation_by_attributes() -> RawSpan:
    return raw(
        2,
        "chat m",
        attributes={
            s.GEN_AI_OPERATION_NAME: "chat",
            s.GEN_AI_PROVIDER_NAME: "openai",
            s.GEN_AI_REQUEST_MODEL: "m",
            s.GEN_AI_RESPONSE_MODEL: "m-1",
            s.GEN_AI_RESPONSE_ID: "r1",
            s.GEN_AI_USAGE_INPUT_TOKENS: 10,
            s.GEN_AI_USAGE_OUTPUT_TOKENS: 3,
            s.GEN_AI_RESPONSE_FINISH_REASONS: ["tool_calls"],
            s.GEN_AI_INPUT_MESSAGES: json.dumps(
                [
                    {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
                    {"role": "user", "parts": [{"type": "text", "content": "Where?"}]},
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "tool_call", "id": "c1", "name": "get", "arguments": {"a": 1}}
                        ],
                    },
                    {
                        "role": "tool",
                        "parts": [{"type": "tool_call_response", "id": "c1", "response": "none"}],
                    },
                ]
            ),
            s.GEN_AI_OUTPUT_MESSAGES: json.dumps(
                [
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "text", "content": "One moment."},
                            {"type": "tool_call", "id": "c2", "name": "get", "arguments": {"a": 2}},
                        ],
                        "finish_reason": "tool_call",
                    }
                ]
            ),
        },
    )


def conversation_by_events() -> RawSpan:
    call = {"id": "c1", "type": "function", "function": {"name": "get", "arguments": '{"a":1}'}}
    answer = {
        "role": "assistant",
        "content": "One moment.",
        "tool_calls": [
            {"id": "c2", "type": "function", "function": {"name": "get", "arguments": '{"a": 2}'}}
        ],
    }
    return raw(
        2,
        "chat m",
        attributes={
            s.GEN_AI_OPERATION_NAME: "chat",
            s.GEN_AI_SYSTEM: "openai",
            s.GEN_AI_REQUEST_MODEL: "m",
            s.GEN_AI_RESPONSE_MODEL: "m-1",
            s.GEN_AI_RESPONSE_ID: "r1",
            "gen_ai.usage.prompt_tokens": 10,
            "gen_ai.usage.completion_tokens": 3,
        },
        events=(
            Event("gen_ai.system.message", 1, {"content": "Be kind."}),
            Event("gen_ai.user.message", 2, {"content": "Where?"}),
            Event("gen_ai.assistant.message", 3, {"tool_calls": json.dumps([call])}),
            Event("gen_ai.tool.message", 4, {"content": "none", "id": "c1"}),
            Event(
                "gen_ai.choice",
                5,
                {"index": 0, "finish_reason": "tool_calls", "message": json.dumps(answer)},
            ),
        ),
    )


def test_events_of_1_36_and_attributes_since_give_the_same_span() -> None:
    new = only(read_trace([workflow(), conversation_by_attributes()]).spans, 2)
    old = only(read_trace([workflow(), conversation_by_events()]).spans, 2)
    for field in (
        "operation",
        "provider",
        "model_requested",
        "model_used",
        "response_id",
        "usage",
        "finish_reasons",
        "input_messages",
        "output_messages",
    ):
        assert getattr(new, field) == getattr(old, field), field
    assert new.output_messages[0].parts[1] == Part(
        type="tool_call", id="c2", name="get", arguments={"a": 2}
    )
    assert new.finish_reasons == ("tool_call",)


def test_attempts_are_counted_from_events() -> None:
    failed = Event(s.FIDELITY_ATTEMPT_EVENT, 1, {s.HTTP_RESPONSE_STATUS_CODE: 500})
    span = raw(2, attributes={s.GEN_AI_OPERATION_NAME: "chat"}, events=(failed, failed))
    assert only(read_trace([workflow(), span]).spans, 2).attempts == 3
    told = raw(2, attributes={s.FIDELITY_ATTEMPTS: 2, s.FIDELITY_RECOVERY: "recovered"})
    read = only(read_trace([workflow(), told]).spans, 2)
    assert (read.attempts, read.recovery) == (2, "recovered")


def test_documents_are_read_and_an_empty_list_is_not_none() -> None:
    documents = [
        {
            "id": "d1",
            "score": 0.5,
            s.DOCUMENT_CONTENT: "Within 30 days.",
            s.DOCUMENT_TITLE: "Returns",
            s.DOCUMENT_UPDATED_AT: "2024-01-01",
            s.DOCUMENT_SUPERSEDED_BY: "d2",
            "shelf": 7,
        }
    ]

    def read(value: Any) -> Span:
        given = {s.GEN_AI_OPERATION_NAME: "retrieval", s.GEN_AI_RETRIEVAL_DOCUMENTS: value}
        return only(read_trace([workflow(), raw(2, attributes=given)]).spans, 2)

    found = read(json.dumps(documents)).documents
    assert found is not None
    assert found[0].id == "d1"
    assert found[0].content == "Within 30 days."
    assert found[0].superseded_by == "d2"
    assert found[0].metadata == {"shelf": 7}
    assert read("[]").documents == ()
    assert read("broken").documents is None


def test_what_cannot_be_read_is_counted() -> None:
    broken = raw(
        2, attributes={s.GEN_AI_OPERATION_NAME: "chat", s.GEN_AI_INPUT_MESSAGES: "[{not json"}
    )
    odd = raw(
        3,
        attributes={
            s.GEN_AI_OPERATION_NAME: "chat",
            s.GEN_AI_INPUT_MESSAGES: json.dumps(
                [{"role": "user", "parts": [{"type": "hologram", "rays": 3}]}]
            ),
        },
    )
    assert read_trace([workflow(), broken]).unread == 1
    assert read_trace([workflow(), odd]).unread == 1


def test_a_tool_call_of_broken_arguments_keeps_their_text() -> None:
    given = {
        s.GEN_AI_OPERATION_NAME: "execute_tool",
        s.GEN_AI_TOOL_NAME: "get",
        s.GEN_AI_TOOL_CALL_ARGUMENTS: '{"id": "A-',
        s.GEN_AI_TOOL_CALL_RESULT: "Error: expecting value",
    }
    tool = only(read_trace([workflow(), raw(2, attributes=given)]).spans, 2).tool
    assert tool is not None
    assert tool.arguments_text == '{"id": "A-'
    assert tool.error is None


def test_one_call_recorded_twice_is_one_span_and_its_tokens_count_once() -> None:
    usage = {s.GEN_AI_USAGE_INPUT_TOKENS: 10, s.GEN_AI_USAGE_OUTPUT_TOKENS: 5}
    outer = raw(
        2,
        attributes={s.GEN_AI_OPERATION_NAME: "chat", s.GEN_AI_REQUEST_MODEL: "m", **usage},
        scope_name="framework",
        end_ns=90,
    )
    http = raw(3, "POST", 2, end_ns=80)
    inner = raw(
        4,
        parent=3,
        attributes={s.GEN_AI_OPERATION_NAME: "chat", s.GEN_AI_RESPONSE_ID: "r1", **usage},
        scope_name="client",
        end_ns=70,
    )
    below = raw(5, "connect", 4)
    trace = read_trace([workflow(), outer, http, inner, below])
    chats = [x for x in trace.spans if x.operation == "chat"]
    assert len(chats) == 1
    assert chats[0].response_id == "r1"
    assert chats[0].merged == (inner.span_id,)
    assert only(trace.spans, 5).parent_id == outer.span_id
    assert sum(x.usage.input_tokens or 0 for x in trace.spans if x.usage) == 10


def test_two_calls_below_one_are_steps_not_duplicates() -> None:
    outer = raw(2, attributes={s.GEN_AI_OPERATION_NAME: "chat", s.GEN_AI_USAGE_INPUT_TOKENS: 20})
    inner = [
        raw(
            n,
            parent=2,
            scope_name="client",
            attributes={s.GEN_AI_OPERATION_NAME: "chat", s.GEN_AI_USAGE_INPUT_TOKENS: 10},
        )
        for n in (3, 4)
    ]
    trace = read_trace([workflow(), outer, *inner])
    assert len([x for x in trace.spans if x.operation == "chat"]) == 3
    assert sum(x.usage.input_tokens or 0 for x in trace.spans if x.usage) == 20


def test_siblings_with_the_same_response_id_from_two_scopes_merge() -> None:
    given = {s.GEN_AI_OPERATION_NAME: "chat", s.GEN_AI_RESPONSE_ID: "r1"}
    native = raw(2, attributes=given, scope_name="native")
    patched = raw(3, attributes=given, scope_name="patch")
    again = raw(4, attributes=given, scope_name="native")  # a cached answer is another call
    trace = read_trace([workflow(), native, patched, again])
    assert [x.span_id[-1] for x in trace.spans if x.operation == "chat"] == ["2", "4"]


def test_links_and_events_stay_as_received() -> None:
    link = Link("cd" * 16, "ef" * 8, {"a": 1})
    event = Event("note", 7, {"b": [1, "x"]})
    span = only(read_trace([workflow(), raw(2, links=(link,), events=(event,))]).spans, 2)
    assert span.links == (link,)
    assert span.events == (event,)
