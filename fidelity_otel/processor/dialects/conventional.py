"""Messages in the GenAI conventions' own shape, read in one step.

Most texts have exactly this shape, and walking them took a quarter of all reading. What differs in
anything, an unknown member or another type, goes the general way and comes out the same.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from fidelity_otel.model import Message, Part
from fidelity_otel.processor import native
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.messages import arguments, finish_reason, flattened, messages

__all__ = ["opened_messages", "opened_texts"]


class _Text(msgspec.Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    content: str


class _Reasoning(msgspec.Struct, tag_field="type", tag="reasoning", forbid_unknown_fields=True):
    content: str


class _Call(msgspec.Struct, tag_field="type", tag="tool_call", forbid_unknown_fields=True):
    name: str
    id: str | None = None
    arguments: Any = None


class _Response(
    msgspec.Struct, tag_field="type", tag="tool_call_response", forbid_unknown_fields=True
):
    id: str | None = None
    name: str | None = None
    response: Any = None


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant", "tool"]
    parts: list[_Text | _Reasoning | _Call | _Response]
    finish_reason: str | None = None
    name: str | None = None


_any = msgspec.json.Decoder().decode
_conventional = msgspec.json.Decoder(list[_Message]).decode
_conventional_texts = msgspec.json.Decoder(list[_Text]).decode


def opened_texts(value: str) -> str | None:
    """The text of an attribute that holds a list of text parts; None where it is anything else."""
    try:
        return "\n".join([each.content for each in _conventional_texts(value) if each.content])
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def opened_messages(value: Any, draft: Draft, *, role: str) -> tuple[Message, ...]:
    """`messages` of an attribute's value, which is mostly a JSON text."""
    if type(value) is str:
        try:
            found: tuple[Message, ...] | None = None
            if native.read is not None:
                found = native.read.messages(
                    value, Message, Part, arguments, flattened, finish_reason, _any
                )
            return tuple(map(_of_conventional, _conventional(value))) if found is None else found
        except (msgspec.DecodeError, RecursionError, ValueError):
            pass
    return messages(draft.json(value), draft, role=role)


def _of_conventional(given: _Message) -> Message:
    found: list[Part] = []
    responses = 0
    for each in given.parts:
        if isinstance(each, _Text):
            found.append(Part("text", each.content))
        elif isinstance(each, _Call):
            found.append(_call_of(each))
        elif isinstance(each, _Reasoning):
            found.append(Part("reasoning", each.content))
        else:
            responses += 1
            response, name = flattened(each.response), each.name or None
            found.append(Part("tool_call_response", None, each.id or None, name, None, response))
    role, reason = given.role, given.finish_reason
    reason = None if reason is None else finish_reason(reason)
    if role == "tool" or (role == "user" and responses and responses == len(found)):
        if not responses:
            raise ValueError("a tool's message without a response: the general way knows what then")
        return Message("tool", tuple(found), None, reason)
    return Message(role, tuple(found), given.name, reason)


def _call_of(given: _Call) -> Part:
    if not given.name:
        raise ValueError("a call without a name: the general way counts it")
    return Part("tool_call", None, given.id or None, given.name, arguments(given.arguments))
