"""Whole spans are read natively as Python reads them, whatever they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel import semconv
from fidelity_otel.model import Event, Link, Span
from fidelity_otel.processor import native
from fidelity_otel.processor.dialects import KNOWN, plan
from fidelity_otel.processor.dialects.span import _MAKERS, read_spans
from fidelity_otel.processor.rawspan import RawSpan

pytestmark = pytest.mark.skipif(
    not native.available(), reason="the native parts were not built: no C compiler at install"
)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = native.in_use()
    yield
    native.use(before == "native")


def read_natively(raw: RawSpan) -> bool:
    """Both ways give the same span and count, with types; whether the native reader took it."""
    native.use(False)
    python = repr(read_spans((raw,)))
    native.use(True)
    assert repr(read_spans((raw,))) == python
    return native.read.span(raw, KNOWN, _MAKERS) is not None


def raw_of(attributes: dict[str, Any], **more: Any) -> RawSpan:
    return RawSpan(
        **{
            "trace_id": "a" * 32,
            "span_id": "b" * 16,
            "name": "n",
            "attributes": attributes,
            "scope_name": "scope",
            "resource": {semconv.SERVICE_NAME: "shop", semconv.SERVICE_VERSION: "7"},
            **more,
        }
    )


SAID = [{"role": "user", "parts": [{"type": "text", "content": "Where is it?"}]}]
ANSWERED = [
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "look"},
            {"type": "tool_call", "id": "c1", "name": "find", "arguments": '{"q": [1]}'},
            {"type": "tool_call_response", "id": "c1", "response": [{"type": "text", "text": "x"}]},
        ],
        "finish_reason": "tool_calls",
    },
    {"role": "assistant", "parts": [], "finish_reason": "Weird.Reason"},
]
CHAT: dict[str, Any] = {
    semconv.GEN_AI_OPERATION_NAME: "chat",
    semconv.GEN_AI_PROVIDER_NAME: "openai",
    semconv.GEN_AI_REQUEST_MODEL: "gpt",
    semconv.GEN_AI_RESPONSE_MODEL: "gpt-1",
    semconv.GEN_AI_RESPONSE_FINISH_REASONS: ["stop", "SAFETY", "", "own"],
    semconv.GEN_AI_USAGE_INPUT_TOKENS: 7,
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS: 0,
    "gen_ai.usage.prompt_tokens": 9,
    semconv.GEN_AI_SYSTEM_INSTRUCTIONS: json.dumps(
        [{"type": "text", "content": text} for text in ("Be", "", "kind.")]
    ),
    semconv.GEN_AI_INPUT_MESSAGES: json.dumps(SAID),
    semconv.GEN_AI_OUTPUT_MESSAGES: json.dumps(ANSWERED),
    semconv.GEN_AI_TOOL_DEFINITIONS: '[{"name": "find"}, 3]',
    "app.other": 3.5,
}
TOOL: dict[str, Any] = {
    semconv.GEN_AI_OPERATION_NAME: "execute_tool",
    semconv.GEN_AI_TOOL_NAME: "find",
    semconv.GEN_AI_TOOL_CALL_ID: "c1",
    semconv.GEN_AI_TOOL_CALL_ARGUMENTS: '{"q": "ü"}',
    semconv.GEN_AI_TOOL_CALL_RESULT: '[{"type": "text", "text": "found"}]',
}
OWN: dict[str, Any] = {
    semconv.FIDELITY_WORKFLOW: "answer",
    semconv.FIDELITY_RELEASE: "8",
    semconv.FIDELITY_INPUT: '{"question": 1}',
    semconv.FIDELITY_OUTPUT: "",
    semconv.FIDELITY_ATTEMPTS: 2,
    semconv.FIDELITY_ATTEMPT: 1,
    semconv.FIDELITY_RECOVERY: "recovered",
    semconv.FIDELITY_KEY_PREFIX + "order": "A-1",
}
FOUND: dict[str, Any] = {
    semconv.GEN_AI_OPERATION_NAME: "retrieval",
    semconv.GEN_AI_RETRIEVAL_QUERY_TEXT: "where",
    semconv.GEN_AI_RETRIEVAL_DOCUMENTS: '[{"id": "d", "score": 1, "content": "x"}]',
    semconv.USER_ID: "u",
    semconv.SESSION_ID: "s",
}
UNNAMED: dict[str, Any] = {
    key: value for key, value in TOOL.items() if key != semconv.GEN_AI_TOOL_NAME
}
USUAL: dict[str, RawSpan] = {
    "a model call": raw_of(CHAT, parent_id="c" * 16, start_ns=3, end_ns=9, status_code=1),
    "a tool": raw_of(TOOL),
    "a failed tool": raw_of(TOOL, status_code=2, status_message="timed out"),
    "a tool that failed without a word": raw_of(TOOL, status_code=2),
    "a tool with an error's type": raw_of({**TOOL, semconv.ERROR_TYPE: "TimeoutError"}),
    "a tool without a name": raw_of(UNNAMED, name="execute_tool find"),
    "a tool without any name": raw_of(UNNAMED, name="execute_tool "),
    "a tool of no operation": raw_of({semconv.GEN_AI_TOOL_NAME: "find"}),
    "a call's id without a tool": raw_of({semconv.GEN_AI_TOOL_CALL_ID: "c1"}),
    "a result of null": raw_of({**TOOL, semconv.GEN_AI_TOOL_CALL_RESULT: "null"}),
    "a result that is empty": raw_of({**TOOL, semconv.GEN_AI_TOOL_CALL_RESULT: ""}),
    "a result in words": raw_of({**TOOL, semconv.GEN_AI_TOOL_CALL_RESULT: "it is here"}),
    "a result in a wrapper": raw_of(
        {**TOOL, semconv.GEN_AI_TOOL_CALL_RESULT: {"type": "json", "value": 3}}
    ),
    "a retrieval": raw_of(FOUND),
    "a retrieval of nothing": raw_of({**FOUND, semconv.GEN_AI_RETRIEVAL_DOCUMENTS: "[]"}),
    "our own names": raw_of(OWN),
    "all at once": raw_of({**OWN, **CHAT, **FOUND, **TOOL}),
    "the other way round": raw_of(dict(reversed({**OWN, **CHAT, **FOUND, **TOOL}.items()))),
    "no dialect": raw_of({"http.route": "/"}, links=(Link("a", "b"),)),
    "nothing": raw_of({}, resource={}),
    "values that are absent": raw_of(dict.fromkeys({**OWN, **CHAT, **TOOL})),
    "an answer of null": raw_of({semconv.FIDELITY_OUTPUT: "null"}),
}
ODD: dict[str, RawSpan] = {
    "a failed call's event": raw_of(CHAT, events=(Event("exception"),), status_code=2),
    "another dialect": raw_of({**CHAT, "openinference.span.kind": "LLM"}),
    "losses": raw_of({**OWN, semconv.FIDELITY_LOSSES: ["truncated"]}),
    "resends": raw_of({semconv.HTTP_REQUEST_RESEND_COUNT: 2}),
    "an unknown operation": raw_of({semconv.GEN_AI_OPERATION_NAME: "Chat"}),
    "a model that is a number": raw_of({semconv.GEN_AI_REQUEST_MODEL: 4}),
    "tokens in a text": raw_of({semconv.GEN_AI_USAGE_INPUT_TOKENS: "12"}),
    "tokens of true": raw_of({semconv.GEN_AI_USAGE_INPUT_TOKENS: True}),
    "tokens beyond 64 bits": raw_of({semconv.GEN_AI_USAGE_INPUT_TOKENS: 2**63}),
    "messages that are no JSON": raw_of({**CHAT, semconv.GEN_AI_INPUT_MESSAGES: "[{"}),
    "messages of another shape": raw_of({**CHAT, semconv.GEN_AI_INPUT_MESSAGES: '["a"]'}),
    "arguments that are no JSON": raw_of({**TOOL, semconv.GEN_AI_TOOL_CALL_ARGUMENTS: "{a"}),
    "a result of NaN": raw_of({**TOOL, semconv.GEN_AI_TOOL_CALL_RESULT: "[NaN]"}),
    "an input that is no JSON": raw_of({semconv.FIDELITY_INPUT: "[1"}),
    "instructions in words": raw_of({semconv.GEN_AI_SYSTEM_INSTRUCTIONS: "Be kind."}),
    "instructions of parts": raw_of(
        {semconv.GEN_AI_SYSTEM_INSTRUCTIONS: '[{"type": "reasoning", "content": "a"}]'}
    ),
    "definitions that are no list": raw_of({semconv.GEN_AI_TOOL_DEFINITIONS: '{"name": "x"}'}),
    "one finish reason": raw_of({semconv.GEN_AI_RESPONSE_FINISH_REASONS: "stop"}),
    "a service that is a number": raw_of(CHAT, resource={semconv.SERVICE_NAME: 3}),
    "more attributes than are planned for": raw_of({f"a.{i}": i for i in range(300)}),
}


@pytest.mark.parametrize("raw", USUAL.values(), ids=USUAL)
def test_what_is_usual_is_read_natively(raw: RawSpan) -> None:
    assert read_natively(raw)


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_what_is_odd_goes_the_general_way(raw: RawSpan) -> None:
    assert not read_natively(raw)


words = st.sampled_from(
    ["", "a", "chat", "execute_tool", "stop", '{"a": 1}', "[]", '"x"', "[1", "7"]
)
values = (
    st.none()
    | words
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False)
    | st.lists(words, max_size=2)
    | st.dictionaries(words, words, max_size=2)
)
known = {**OWN, **CHAT, **FOUND, **TOOL, semconv.ERROR_TYPE: "E", semconv.FIDELITY_LOSSES: ["x"]}
attributes = st.lists(
    st.sampled_from(sorted(known)).flatmap(
        lambda name: st.tuples(st.just(name), st.just(known[name]) | st.just(known[name]) | values)
    ),
    max_size=9,
).map(dict)


@settings(max_examples=600, deadline=None)
@given(attributes, st.integers(-1, 3), st.sampled_from(["", "execute_tool x"]), values, values)
def test_both_read_the_same(
    attributes: dict[str, Any], status: int, text: str, service: Any, release: Any
) -> None:
    resource = {semconv.SERVICE_NAME: service, semconv.SERVICE_VERSION: release}
    raw = raw_of(attributes, status_code=status, status_message=text, name=text, resource=resource)
    read_natively(raw)
    read_natively(raw_of(attributes))


def test_the_steps_and_fields_are_those_of_the_plans() -> None:
    native.use(True)
    assert native.read.STEPS == plan.STEPS
    assert native.read.FIELDS == plan.FIELDS == Span.__struct_fields__


def test_a_plan_that_asks_for_what_is_not_there_is_declined() -> None:
    native.use(True)
    raw = raw_of({"a": "x"})
    read_spans((raw,))
    reading = KNOWN[("a",)]
    for broken in (b"\0\xff\0", b"\0\x08\x01", b"\xff\x08\0", bytes((2, 40, 0))):
        assert native.read.span(raw, {("a",): reading._replace(plan=broken)}, _MAKERS) is None
    assert native.read.span(raw, {("a",): reading._replace(plan=None)}, _MAKERS) is None
    assert native.read.span(raw, {("a",): (1,)}, _MAKERS) is None
    assert native.read.span(object(), KNOWN, _MAKERS) is None


def test_what_a_maker_raises_comes_through() -> None:
    def broken(*_: Any) -> None:
        raise LookupError("x")

    native.use(True)
    raw = USUAL["all at once"]
    read_spans((raw,))
    for place, maker in enumerate(_MAKERS):
        if callable(maker):
            makers = (*_MAKERS[:place], broken, *_MAKERS[place + 1 :])
            with pytest.raises(LookupError, match="x"):
                native.read.span(raw, KNOWN, makers)
    with pytest.raises(TypeError):
        native.read.span(raw, KNOWN, _MAKERS[1:])
    with pytest.raises(TypeError):
        native.read.span(raw, [], _MAKERS)
    assert native.read.span(msgspec.structs.replace(raw, name="m"), KNOWN, _MAKERS).name == "m"
