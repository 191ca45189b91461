"""Messages, documents and plain fields are read natively as Python reads them, whatever they hold."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel.processor import native
from fidelity_otel.processor.dialects.conventional import opened_messages
from fidelity_otel.processor.dialects.documents import opened_documents
from fidelity_otel.processor.dialects.draft import Draft, Rule, fill
from fidelity_otel.processor.dialects.values import integer, text

pytestmark = pytest.mark.skipif(
    not native.available(), reason="the native parts were not built: no C compiler at install"
)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = native.in_use()
    yield
    native.use(before == "native")


def both(step: Callable[[Draft], Any]) -> str:
    """What a step gives and counts, with types; natively and in Python it is the same."""

    def outcome(way: bool) -> str:
        native.use(way)
        draft = Draft()
        return repr((step(draft), draft.fields, draft.unread))

    python = outcome(False)
    assert outcome(True) == python
    return python


def read_natively(value: str) -> bool:
    """Both ways agree on a text, as messages and as documents; whether either was read natively."""
    both(lambda draft: opened_messages(value, draft, role="user"))
    both(lambda draft: opened_documents(value, draft))
    native.use(True)
    return any(
        [
            native.read.messages(value, list_of, list_of, same, same, same, msgspec.json.decode)
            is not None,
            native.read.documents(value, list_of) is not None,
        ]
    )


def list_of(*given: Any) -> list[Any]:
    return list(given)


def same(value: Any) -> Any:
    return value


words = st.text(max_size=12) | st.sampled_from(["", 'a "quoted" \\ one', "naïve 😀\n", "x" * 3000])
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
maybe = st.none() | words
parts = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "reasoning"]), "content": words}),
    st.fixed_dictionaries(
        {"type": st.just("tool_call"), "name": words},
        optional={"id": maybe, "arguments": anything | st.just('{"a": [1]}')},
    ),
    st.fixed_dictionaries(
        {"type": st.just("tool_call_response")},
        optional={"id": maybe, "name": maybe, "response": anything},
    ),
    st.fixed_dictionaries({"type": words}, optional={"content": anything, "other": anything}),
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool", "User", "human"]),
        "parts": st.lists(parts, max_size=4),
    },
    optional={"finish_reason": maybe | st.just("tool_calls"), "name": maybe, "other": anything},
)
numbers = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
documents = st.dictionaries(
    st.sampled_from(
        [
            *("id", "content", "title", "source", "indexed_at", "updated_at", "superseded_by"),
            *("score", "metadata"),
        ]
    ),
    maybe,
).flatmap(
    lambda held: numbers.map(lambda score: {**held, "score": score} if "score" in held else held)
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(messages, max_size=3) | st.lists(documents, max_size=3), st.booleans(), st.booleans()
)
def test_both_read_the_same(value: Any, escaped: bool, spaced: bool) -> None:
    read_natively(json.dumps(value, ensure_ascii=escaped, indent=1 if spaced else None))


PART = '{"type":"text","content":"hi"}'
TALK = '[{"role":"user","parts":[' + PART + "]}]"
CALL = '[{"role":"assistant","parts":[{"type":"tool_call","id":"1","name":"t","arguments":%s}]}]'
SAID = '[{"role":"user","parts":[{"type":"text","content":"%s"}]}]'
FOUND = '[{"id":"a","score":%s}]'
USUAL = {
    "one message": TALK,
    "no message": "[]",
    "spaces": ' [ { "role" : "user" , "parts" : [ ] } ]\n\t\r',
    "members in another order": '[{"parts":[{"content":"hi","type":"text"}],"role":"user"}]',
    "many messages": "[" + ",".join([TALK[1:-1]] * 100) + "]",
    "a call": CALL % '{"a":[1,{"b":"}]"}]}',
    "a call of JSON in a text": CALL % r'"{\"a\":1}"',
    "a call of a number": CALL % "12",
    "results sent back as the user": '[{"role":"user","parts":[{"type":"tool_call_response","response":1}]}]',
    "escapes": SAID % r"\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00\u0000",
    "a finish": '[{"role":"assistant","parts":[],"finish_reason":"tool_calls","name":null}]',
    "a document": FOUND % "0.25",
    "a document's whole score": FOUND % "-3",
    "a document without a score": FOUND % "null",
}  # fmt: skip
ODD = {
    "nothing": "",
    "no list": PART,
    "something behind it": TALK + "x",
    "a comma too many": TALK[:-1] + ",]",
    "a member twice": '[{"role":"user","role":"tool","parts":[]}]',
    "an escaped name": '[{"r\\u006fle":"user","parts":[]}]',
    "no role": '[{"parts":[]}]',
    "no parts": '[{"role":"user"}]',
    "parts of null": '[{"role":"user","parts":null}]',
    "a tool without results": '[{"role":"tool","parts":[' + PART + "]}]",
    "a text of null": '[{"role":"user","parts":[{"type":"text","content":null}]}]',
    "a part of no type": '[{"role":"user","parts":[{"content":"x"}]}]',
    "a call without a name": '[{"role":"user","parts":[{"type":"tool_call","name":""}]}]',
    "arguments that are no JSON": CALL % "{a}",
    "arguments of NaN": CALL % "NaN",
    "arguments that end too soon": CALL % '{"a":1',
    "no arguments": CALL % "",
    "two arguments": CALL % "1 2",
    "deep arguments": CALL % ("[" * 3000 + "]" * 3000),
    "arguments just too deep": CALL % ("[" * 65 + "]" * 65),
    "a document that says nothing": '[{"id":"","score":1}]',
    **{f"text {bad!r}": SAID % bad for bad in (r"\x", r"\u12", r"\ud800", r"\udc00\ud800", "\x01", "\n", "\\")},
    **{
        f"score {bad}": FOUND % bad
        for bad in ("01", "1.", ".5", "-", "1e3", "1E999", "+1", "NaN", "true", '"2"', "[1]", "0.1x", "1" * 400)
    },
    "a lone surrogate": SAID % "\ud800",
}  # fmt: skip


@pytest.mark.parametrize("value", USUAL.values(), ids=USUAL)
def test_what_is_usual_is_read_natively(value: str) -> None:
    assert read_natively(value)


@pytest.mark.parametrize(
    "value", ODD.values(), ids=[name.encode("unicode_escape").decode() for name in ODD]
)
def test_what_is_odd_goes_the_general_way(value: str) -> None:
    assert not read_natively(value)


def test_both_read_the_same_of_damaged_texts() -> None:
    source = random.Random(20261125)
    good = [each[:2000] for each in (*USUAL.values(), *ODD.values())]
    read = 0
    for _ in range(6000):
        value = source.choice(good)
        for _ in range(source.randint(1, 2)):
            at, how = source.randint(0, len(value)), source.randint(0, 2)
            if how == 0:
                value = value[:at] + source.choice(list('"{}[],:\\0 -e.nu\x00ü')) + value[at:]
            elif how == 1:
                value = value[:at] + value[at + source.randint(1, 9) :]
            else:
                end = source.randint(at, len(value))
                value = value[:end] + value[at:end] + value[end:]
        read += read_natively(value)
    assert read > 50  # damage to a text's letters, or to spaces


RULES = (
    Rule("name", "a", text),
    Rule("name", "b", text),
    Rule("count", "a", integer, usage=True),
    Rule("count", "c", integer),
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), anything), st.booleans())
def test_both_fill_the_same(attributes: dict[str, Any], filled: bool) -> None:
    def step(draft: Draft) -> list[tuple[str, Any]]:
        draft.fields.update({"name": "before"} if filled else {})
        fill(draft.fields, RULES, attributes)
        return list(draft.fields.items())

    both(step)


def test_what_a_reader_raises_comes_through() -> None:
    def broken(value: Any) -> None:
        raise LookupError(value)

    native.use(True)
    with pytest.raises(LookupError, match="x"):
        fill({}, (Rule("name", "a", broken),), {"a": "x"})
    with pytest.raises(TypeError):
        native.read.fill({}, [], {}, text)
    with pytest.raises(TypeError):
        native.read.messages(b"[]", *[same] * 6)
    with pytest.raises(TypeError):
        native.read.documents(None, same)
