"""The short ways of reading messages and documents give what the general way gives, always."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fidelity_otel.processor.dialects.conventional import opened_messages, opened_texts
from fidelity_otel.processor.dialects.documents import documents, opened_documents
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.genai import read
from fidelity_otel.processor.dialects.messages import message, messages
from fidelity_otel.processor.rawspan import RawSpan

# Few different values, so that most examples have the conventional shape or nearly so.
words = st.sampled_from(
    ["", "a", "stop", "length", "SAFETY", "x.y", "naïve 😀", "\ud800", '{"a": 1}']
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
mostly_words = words | words | words | anything


def some(fixed: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {key: st.just(value) if isinstance(value, str) else value for key, value in fixed.items()},
        optional=optional,
    )


parts = st.one_of(
    some({"type": "text", "content": mostly_words}),
    some({"type": "reasoning", "content": mostly_words}, id=words),
    some({"type": "tool_call", "name": mostly_words}, id=mostly_words, arguments=anything),
    some(
        {"type": "tool_call_response"},
        id=mostly_words,
        name=mostly_words,
        response=anything | st.just([{"type": "text", "text": "b"}]),
        result=anything,
        is_error=st.booleans(),
    ),
    some({"type": words, "content": anything}, text=anything),
    anything,
)
shapes = some(
    {
        "role": st.sampled_from(["user", "assistant", "tool", "system", "User", "model", ""]),
        "parts": st.lists(parts, max_size=3),
    },
    finish_reason=mostly_words,
    name=mostly_words,
    content=anything,
    tool_calls=anything,
)
texts = st.lists(shapes | shapes | anything, max_size=3).map(json.dumps)
documents_shaped = some(
    {},
    id=mostly_words,
    score=st.floats() | st.integers() | words,
    content=mostly_words,
    title=mostly_words,
    source=mostly_words,
    indexed_at=mostly_words,
    updated_at=mostly_words,
    superseded_by=mostly_words,
    metadata=anything,
    url=words,
)


@settings(max_examples=400, deadline=None)
@example('[{"role": "user", "parts": [{"type": "tool_call_response"}]}]', "user")
@given(texts | shapes.map(json.dumps) | words, st.sampled_from(["user", "assistant"]))
def test_messages_are_the_same_either_way(text: str, role: str) -> None:
    short, general = Draft(), Draft()
    found = opened_messages(text, short, role=role)
    assert found == messages(general.json(text), general, role=role)
    assert short.unread == general.unread


@settings(max_examples=400, deadline=None)
@given(st.lists(documents_shaped | anything, max_size=3).map(json.dumps) | words)
def test_documents_are_the_same_either_way(text: str) -> None:
    short, general = Draft(), Draft()
    found = opened_documents(text, short)
    assert found == documents(general.json(text), general)
    assert short.unread == general.unread


@settings(max_examples=400, deadline=None)
@example(' [{"type": "text", "content": "Be kind."}]')
@example('[{"type": "text", "content": "Be"}, {"type": "text", "content": ""}]')
@given(st.lists(parts | anything, max_size=3).map(json.dumps) | words)
def test_system_instructions_are_the_same_either_way(text: str) -> None:
    short, general = Draft(), Draft()
    read(RawSpan("t", "s", "n", attributes={"gen_ai.system_instructions": text}), short)
    whole = message({"role": "system", "parts": general.value(text)}, general)
    assert short.fields.get("system", "") == (whole.text if whole else "")
    assert short.unread == general.unread


def test_the_conventional_shape_takes_the_short_way(monkeypatch: Any) -> None:
    """Else the test above compares the general way with itself."""
    from fidelity_otel.processor.dialects import conventional
    from fidelity_otel.processor.dialects import documents as documents_module

    def general(*_: Any, **__: Any) -> Any:
        raise AssertionError("the general way was taken")

    monkeypatch.setattr(conventional, "messages", general)
    monkeypatch.setattr(documents_module, "documents", general)
    text = json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": "Where is it?"}]},
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "look"},
                    {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}},
                ],
                "finish_reason": "tool_calls",
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "c1", "response": {"at": "home"}}],
            },
        ]
    )
    read = opened_messages(text, Draft(), role="user")
    assert [m.role for m in read] == ["user", "assistant", "tool"]
    assert read[1].finish_reason == "tool_call"
    assert read[1].parts[1].arguments == {"q": 1}
    assert read[2].parts[0].response == {"at": "home"}
    kept = opened_documents('[{"id": "d1", "score": 1, "content": "x"}]', Draft())
    assert kept is not None
    assert (kept[0].id, kept[0].score, kept[0].content) == ("d1", 1.0, "x")
    assert (
        opened_texts('[{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]')
        == "a\nb"
    )
