"""What a trace is about: its root, workflow, what was asked and what was answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fidelity_otel import semconv
from fidelity_otel.model import Message, Span
from fidelity_otel.processor.dialects.values import compact, integer, text

__all__ = ["answer_of", "keys_of", "reported_success", "request_of", "top_of", "workflow_of"]

_ASKING: Final = (
    "question",
    "query",
    "user_input",
    "user_message",
    "user_prompt",
    "message",
    "prompt",
    "input",
    "text",
    "request",
    "content",
)
_ANSWERING: Final = (
    "answer",
    "output",
    "response",
    "final_output",
    "final_answer",
    "reply",
    "result",
    "message",
    "content",
    "text",
    "completion",
)
_OWN: Final = semconv.FIDELITY_KEY_PREFIX.partition(".")[0]  # the name of our own dialect
_LONGEST: Final = 200_000
_SERVER_ERROR: Final = 400


def top_of(spans: Sequence[Span]) -> tuple[Span | None, str | None]:
    """The span that stands for the whole trace, and its id where it is a true root.

    A true root has no parent. Of several, the first that is a workflow or agent wins; without any,
    the first span whose parent is missing stands in. Spans in a circle have neither: the first.
    """
    if not spans:
        return None, None
    roots = [s for s in spans if s.parent_id is None and s.name != semconv.FIDELITY_OUTCOME_SPAN]
    if roots:
        best = next((s for s in roots if s.operation in ("invoke_workflow", "invoke_agent")), None)
        best = best or next((s for s in roots if s.operation), None) or roots[0]
        return best, best.span_id
    ids = {s.span_id for s in spans}
    orphans = [s for s in spans if s.parent_id not in ids]
    return (orphans or spans)[0], None


def workflow_of(top: Span, spans: Sequence[Span]) -> str:
    """The workflow's name: the top's own, else the first that a span names, else the top's name."""
    named = top.workflow or next((s.workflow for s in spans if s.workflow), None)
    return named or top.name


def reported_success(top: Span) -> bool:
    """Whether the system said of itself that the request went well."""
    if top.failed:
        return False
    status = top.attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    code = integer(status) if status is not None else None
    return code is None or code < _SERVER_ERROR


def keys_of(spans: Iterable[Span]) -> tuple[tuple[str, str], ...]:
    """The business keys bound on any span, each once, in order of appearance.

    A trace of a shadow pair also has the pair's id as a key, named by its role.
    """
    prefix = semconv.FIDELITY_KEY_PREFIX
    found: dict[tuple[str, str], None] = {}
    for span in spans:
        if _OWN not in span.dialect:  # no name of ours, so no key: most spans of most traces
            continue
        for name in [name for name in span.attributes if name.startswith(prefix)]:
            value = span.attributes[name]
            for one in value if isinstance(value, list) else [value]:
                shown = text(one)
                if shown is not None and len(name) > len(prefix):
                    found[(name[len(prefix) :], shown)] = None
        pair = text(span.attributes.get(semconv.FIDELITY_SHADOW_PAIR))
        role = semconv.SHADOW_KEYS.get(str(span.attributes.get(semconv.FIDELITY_SHADOW_ROLE)))
        if pair and role:
            found[(role, pair)] = None
    return tuple(found)


def request_of(top: Span, spans: Sequence[Span]) -> str:
    """What the user asked: the top's input, else the last user message of the first model call."""
    found = _last(top.input_messages, "user") or _said(top.input, _ASKING, "user")
    if found:
        return found[:_LONGEST]
    for span in spans:
        if span.operation in ("chat", "invoke_agent", "invoke_workflow"):
            found = _last(span.input_messages, "user") or _said(span.input, _ASKING, "user")
            if found:
                return found[:_LONGEST]
    return ""


def answer_of(top: Span, spans: Sequence[Span]) -> str:
    """What the user got: the top's output, else the last text of a model call not inside a tool."""
    found = _said(top.output, _ANSWERING, "assistant") or _last(top.output_messages, "assistant")
    if found or top.output is not None:
        return found[:_LONGEST]
    inside = _inside_tools(spans)
    calls = [s for s in spans if s.operation in ("chat", "invoke_agent", "invoke_workflow")]
    calls.sort(key=lambda s: (s.span_id not in inside, s.end_ns), reverse=True)
    for span in calls:
        found = _last(span.output_messages, "assistant")
        found = found or _said(span.output, _ANSWERING, "assistant")
        if found:
            return found[:_LONGEST]
    return ""


def _inside_tools(spans: Sequence[Span]) -> set[str]:
    """Ids of spans below a tool execution (a model that a tool asks does not answer the user)."""
    tools = {s.span_id for s in spans if s.operation in ("execute_tool", "guardrail", "evaluation")}
    if not tools:
        return set()
    parent = {s.span_id: s.parent_id for s in spans}
    inside: dict[str, bool] = {}
    for span in spans:
        way: list[str] = []
        at: str | None = span.span_id
        below = False
        while at is not None and at not in inside:
            inside[at] = False  # a circle of parents ends here
            way.append(at)
            if at in tools:
                below = True
                break
            at = parent.get(at)
        if not below and at is not None:
            below = inside.get(at, False)
        for one in way:
            inside[one] = below
    return {span_id for span_id, below in inside.items() if below}


def _last(messages: Sequence[Message], role: str) -> str:
    for found in reversed(messages):
        if found.role == role:
            shown = found.text
            if shown:
                return shown
    return ""


def _said(value: Any, names: tuple[str, ...], role: str, depth: int = 4) -> str:
    """The text in an input or output of unknown shape: itself, the tellingly named or only one."""
    if isinstance(value, str):
        return value
    if value is None or depth == 0:
        return ""
    if isinstance(value, list):
        return _said_in_list(value, names, role, depth)
    if not isinstance(value, dict):
        return compact(value)
    if isinstance(value.get("messages"), list):
        found = _said_in_list(value["messages"], names, role, depth)
        if found:
            return found
    for name in names:
        if value.get(name) not in (None, "", [], {}):
            found = _said(value[name], names, role, depth - 1)
            if found:
                return found
    inner = [v for k, v in value.items() if k not in ("self", "cls")]
    if len(inner) == 1:
        return _said(inner[0], names, role, depth - 1)
    if set(value) == {"args", "kwargs"}:
        args, kwargs = value["args"], value["kwargs"]
        return _said(kwargs or args, names, role, depth - 1)
    only = [v for v in inner if isinstance(v, str) and v]
    return only[0] if len(only) == 1 else compact(value) if inner else ""


def _said_in_list(value: list[Any], names: tuple[str, ...], role: str, depth: int) -> str:
    roles = {role, {"user": "human", "assistant": "ai"}.get(role, role)}
    for entry in reversed(value):
        if isinstance(entry, dict) and (entry.get("role") or entry.get("type")) in roles:
            found = _said(
                {k: v for k, v in entry.items() if k in names or k == "parts"},
                (*names, "parts"),
                role,
                depth - 1,
            )
            if found:
                return found
    texts = [
        t
        for e in value
        if isinstance(t := (e.get("text", e.get("content")) if isinstance(e, dict) else e), str)
    ]
    if texts and len(texts) == len(value):
        return "\n".join(texts)
    return _said(value[0], names, role, depth - 1) if len(value) == 1 else compact(value)
