"""Hostile traces never raise: any type in any attribute, circles, depth, megabytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fidelity_otel import semconv
from fidelity_otel.model import Event, Link
from fidelity_otel.processor.detect import detect, risk
from fidelity_otel.processor.outcomes import outcomes_of
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.processor.read import read_trace

TRACE = "ab" * 16
NAMES = sorted(
    {
        value
        for name, value in vars(semconv).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
)
OPERATIONS = ["chat", "execute_tool", "retrieval", "invoke_agent", "invoke_workflow", "embeddings"]

words = st.sampled_from(
    [
        "role",
        "parts",
        "content",
        "type",
        "text",
        "tool_call",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "response",
        "error",
        "message",
        "user",
        "assistant",
        "tool",
        "documents",
        "metadata",
        "score",
        "kwargs",
        "args",
        "status",
        "code",
        "node",
        "messages",
        "data",
    ]
) | st.text(max_size=6)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | words
    | st.binary(max_size=6)
)
nested = st.recursive(
    plain, lambda v: st.lists(v, max_size=3) | st.dictionaries(words, v, max_size=4), max_leaves=8
)


def _as_json(value: Any) -> str:
    return json.dumps(value, default=repr)


json_texts = nested.map(_as_json) | nested.map(_as_json).map(_as_json)
values = nested | json_texts | json_texts.map(lambda text: text[: len(text) // 2])
attributes = st.dictionaries(st.sampled_from(NAMES) | words, values, max_size=8)
ids = st.integers(0, 6).map(lambda n: f"{n:016x}")
events = st.builds(
    Event,
    name=st.sampled_from(
        [
            "gen_ai.choice",
            "gen_ai.user.message",
            "gen_ai.tool.message",
            "exception",
            "fidelity.attempt",
            "gen_ai.evaluation.result",
            "gen_ai.content.prompt",
            "x",
        ]
    ),
    time_ns=st.integers(0, 2**64 - 1),
    attributes=attributes,
)


@st.composite
def raws(draw: st.DrawFn) -> RawSpan:
    given_attributes = draw(attributes)
    if draw(st.booleans()):
        given_attributes["gen_ai.operation.name"] = draw(st.sampled_from(OPERATIONS))
    return RawSpan(
        trace_id=TRACE,
        span_id=draw(ids),
        name=draw(st.sampled_from(["fidelity.outcome", "chat", "", "execute_tool x"])),
        parent_id=draw(st.none() | ids),
        start_ns=draw(st.integers(0, 2**64 - 1)),
        end_ns=draw(st.integers(0, 2**64 - 1)),
        status_code=draw(st.integers(-1, 5)),
        status_message=draw(st.text(max_size=5)),
        attributes=given_attributes,
        events=tuple(draw(st.lists(events, max_size=2))),
        links=tuple(draw(st.lists(st.builds(Link, st.text(max_size=4), ids), max_size=2))),
        resource=draw(attributes),
        scope_name=draw(st.sampled_from(["a", "b", ""])),
    )


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(raws(), max_size=6))
def test_any_trace_is_read_detected_and_can_be_written_out(spans: list[RawSpan]) -> None:
    trace = read_trace(spans)
    findings = detect(trace)
    assert 0 < risk(trace, findings) < 1
    assert len({x.span_id for x in trace.spans}) == len(trace.spans)
    known = {x.span_id for x in spans}
    for finding in findings:
        assert finding.span_id in known
    assert msgspec.json.encode(findings)
    assert msgspec.json.decode(msgspec.json.encode(outcomes_of(spans))) is not None
    for span in trace.spans:  # every field is of its declared type
        told = {
            name: getattr(span, name)
            for name in span.__struct_fields__
            if name not in ("attributes", "resource", "events", "links", "input", "output", "tool")
            and name not in ("input_messages", "output_messages", "documents", "tool_definitions")
        }
        msgspec.convert(told, _Checked)


class _Checked(msgspec.Struct):
    trace_id: str
    span_id: str
    name: str
    usage: object
    start_ns: int
    end_ns: int
    losses: tuple[str, ...]
    finish_reasons: tuple[str, ...]
    operation: str = ""
    status: str = ""
    status_message: str = ""
    error_type: str | None = None
    model_requested: str | None = None
    model_used: str | None = None
    response_id: str | None = None
    query: str | None = None
    system: str | None = None
    attempt: int | None = None
    attempts: int | None = None
    conversation_id: str | None = None
    user_id: str | None = None
    release: str | None = None
    service: str = ""


def chat(**more: Any) -> RawSpan:
    return RawSpan(TRACE, "1" * 16, "chat", attributes={"gen_ai.operation.name": "chat", **more})


@pytest.mark.parametrize(
    "name", ["gen_ai.input.messages", "gen_ai.output.messages", "fidelity.input"]
)
@pytest.mark.parametrize(
    "value",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        "x" * 10_000_000,
        json.dumps([{"role": "user", "content": "y" * 10_000_000}]),
        json.dumps(json.dumps(json.dumps([{"role": "user", "content": "hi"}]))),
        '["\\ud800"]',
        '[{"role": "user", "parts": [NaN, Infinity]}]',
        "[" + "9" * 5000 + "]",
        "\x00",
    ],
    ids=[
        "deep list",
        "deep map",
        "10 MB",
        "10 MB message",
        "json in json",
        "surrogate",
        "nan",
        "giant int",
        "nul",
    ],
)
def test_hostile_texts(name: str, value: str) -> None:
    spans = [chat(**{name: value})]
    trace = read_trace(spans)
    msgspec.json.encode(trace.spans[0].input_messages)
    detect(trace)


def test_a_megabyte_of_result_is_not_searched_through() -> None:
    tool = RawSpan(
        TRACE,
        "1" * 16,
        "execute_tool t",
        attributes={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "t" * 1_000_000,
            "gen_ai.tool.call.result": "error " * 2_000_000,
        },
    )
    for finding in detect(read_trace([tool])):
        assert len(finding.evidence) < 1000
