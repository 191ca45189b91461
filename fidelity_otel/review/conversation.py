"""A trace as a person reads it: who said what, which tools were called, what they gave back.

Built from an allow-list: words, tool calls, documents. Nothing of what a blind reviewer must not
see (arm, risk, findings, release, model, ids, other people's verdicts) is ever copied, so nothing
has to be removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from fidelity_otel.model import Document, Message, Span, Trace

__all__ = ["Conversation", "Entry", "Paper", "read_conversation", "show"]

EntryKind = Literal["instructions", "user", "prompt", "assistant", "tool", "retrieval", "note"]


class Paper(msgspec.Struct, frozen=True, omit_defaults=True):
    """A retrieved document as shown: its text and what tells how far to trust it."""

    title: str = ""
    text: str = ""
    source: str = ""
    updated_at: str = ""
    indexed_at: str = ""
    superseded_by: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a conversation.

    `kind` is instructions (to the assistant), user, prompt (what the application made of the
    user's words), assistant, tool, retrieval or note. `arguments` and `result` are as the tool got
    and gave them.
    """

    kind: EntryKind
    text: str = ""
    name: str = ""
    arguments: Any = None
    result: Any = None
    error: str = ""
    documents: tuple[Paper, ...] = ()
    at_ms: int | None = None


class Conversation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole turn: the steps in order, and the answer that the user got."""

    request: str = ""
    answer: str = ""
    entries: tuple[Entry, ...] = ()
    tools: tuple[Entry, ...] = ()
    documents: tuple[Paper, ...] = ()
    losses: tuple[str, ...] = ()


class _Step:
    """A step while its parts come in: a tool's result may arrive with a later message."""

    def __init__(self, kind: EntryKind, *, at_ns: int = 0, call_id: str | None = None) -> None:
        self.kind: EntryKind = kind
        self.text = ""
        self.name = ""
        self.arguments: Any = None
        self.result: Any = None
        self.error = ""
        self.documents: tuple[Paper, ...] = ()
        self.at_ns = at_ns
        self.call_id = call_id
        self.executed = False


class _Reader:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.steps: list[_Step] = []
        self.said: set[tuple[str, str]] = set()

    def read(self) -> list[_Step]:
        if self.trace.request:
            self._say("user", self.trace.request, self.trace.start_ns)
        for span in self.trace.spans:
            if span.operation == "execute_tool":
                self._tool_span(span)
            elif span.operation in {"retrieval", "rerank"}:
                self._retrieval(span)
            elif span.input_messages or span.output_messages:
                for message in span.input_messages:
                    self._message(message, span.start_ns)
                for message in span.output_messages:
                    self._message(message, span.end_ns)
        return self.steps

    def _say(self, kind: EntryKind, text: str, at_ns: int) -> None:
        key = ("assistant" if kind == "assistant" else "in", text.strip())
        if not text.strip() or key in self.said:
            return
        self.said.add(key)
        step = _Step(kind, at_ns=at_ns)
        step.text = text
        self.steps.append(step)

    def _message(self, message: Message, at_ns: int) -> None:
        kinds: dict[str, EntryKind] = {
            "system": "instructions",
            "developer": "instructions",
            "assistant": "assistant",
            "tool": "note",
        }
        kind = kinds.get(message.role, "user")
        if message.role != "tool" and message.text:
            asked = self.trace.request.strip()
            if kind == "user" and asked and asked != message.text.strip() and asked in message.text:
                kind = "prompt"
            self._say(kind, message.text, at_ns)
        for part in message.parts:
            if part.type == "tool_call":
                self._called(part.name or "tool", part.arguments, part.id, at_ns)
            elif part.type == "tool_call_response":
                self._answered(part.id, part.response, at_ns)
            elif message.role == "tool" and part.content:
                self._answered(part.id, part.content, at_ns)
            elif part.type not in {"text", "reasoning"}:
                self._say("note", f"[{part.type}: not shown]", at_ns)

    def _called(self, name: str, arguments: Any, call_id: str | None, at_ns: int) -> None:
        plain = _parsed(arguments)
        if call_id and any(s.call_id == call_id for s in self.steps):
            return
        if not call_id and any(
            s.kind == "tool" and s.name == name and _same(s.arguments, plain) for s in self.steps
        ):
            return
        step = _Step("tool", at_ns=at_ns, call_id=call_id)
        step.name, step.arguments = name, plain
        self.steps.append(step)

    def _answered(self, call_id: str | None, response: Any, at_ns: int) -> None:
        plain = _parsed(response)
        tools = [s for s in self.steps if s.kind == "tool"]
        for step in tools:
            if call_id and step.call_id == call_id:
                if step.result is None and not step.error:
                    step.result = plain
                return
        if any(_same(s.result, plain) for s in tools):
            return
        waiting = [s for s in tools if s.result is None and not s.error and not s.executed]
        if waiting and not call_id:
            waiting[0].result = plain
            return
        step = _Step("tool", at_ns=at_ns, call_id=call_id)
        step.result = plain
        self.steps.append(step)

    def _tool_span(self, span: Span) -> None:
        tool = span.tool
        name = tool.name if tool else span.name
        arguments = _parsed(tool.arguments if tool else span.input)
        if arguments is None and tool and tool.arguments_text:
            arguments = tool.arguments_text
        result = _parsed(tool.result if tool else span.output)
        step = self._expected(name, arguments, tool.id if tool else None)
        if step is None:
            step = _Step("tool", at_ns=span.start_ns, call_id=tool.id if tool else None)
            self.steps.append(step)
        step.executed, step.name, step.at_ns = True, name, span.start_ns
        if not isinstance(step.arguments, dict) and arguments is not None:
            step.arguments = arguments
        step.result = result if result is not None else step.result
        step.error = _error(span)

    def _expected(self, name: str, arguments: Any, call_id: str | None) -> _Step | None:
        """The call of a message that this execution belongs to; a repetition has none."""
        waiting = [s for s in self.steps if s.kind == "tool" and not s.executed]
        if call_id:
            for step in waiting:
                if step.call_id == call_id:
                    return step
        alike = [s for s in waiting if s.name == name and not (call_id and s.call_id)]
        for step in alike:
            if _same(step.arguments, arguments):
                return step
        # Some libraries write an execution's arguments as plain text: it is still the same call.
        plain = [s for s in alike if isinstance(s.arguments, dict) != isinstance(arguments, dict)]
        return plain[0] if plain else None

    def _retrieval(self, span: Span) -> None:
        step = _Step("retrieval", at_ns=span.start_ns)
        step.text = span.query or ""
        step.name = span.tool.name if span.tool else ""
        step.documents = tuple(_paper(d) for d in span.documents or ())
        step.error = _error(span)
        self.steps.append(step)


def read_conversation(trace: Trace) -> Conversation:
    """Read a trace as a conversation.

    Args:
        trace: the canonical trace.

    Returns:
        Its steps in order; the last words of the assistant are in `answer` and not repeated.
    """
    steps = _Reader(trace).read()
    answer = trace.answer or next(
        (s.text for s in reversed(steps) if s.kind == "assistant" and s.text), ""
    )
    entries = [_entry(s, trace.start_ns) for s in steps]
    for index in range(len(entries) - 1, -1, -1):
        if entries[index].kind == "assistant" and entries[index].text.strip() == answer.strip():
            del entries[index]
            break
    return Conversation(
        request=trace.request,
        answer=answer,
        entries=tuple(entries),
        tools=tuple(e for e in entries if e.kind == "tool"),
        documents=_unique(d for e in entries for d in e.documents),
        losses=tuple(sorted({loss for span in trace.spans for loss in span.losses})),
    )


def show(value: Any) -> str:
    """A value as text for people: strings as they are, the rest as indented JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _entry(step: _Step, start_ns: int) -> Entry:
    since = (step.at_ns - start_ns) // 1_000_000 if step.at_ns and start_ns else None
    return Entry(
        kind=step.kind,
        text=step.text,
        name=step.name,
        arguments=step.arguments,
        result=step.result,
        error=step.error,
        documents=step.documents,
        at_ms=since if since is not None and since >= 0 else None,
    )


def _paper(document: Document) -> Paper:
    return Paper(
        title=document.title or document.id or "",
        text=document.content or "",
        source=document.source or "",
        updated_at=document.updated_at or "",
        indexed_at=document.indexed_at or "",
        superseded_by=document.superseded_by or "",
    )


def _unique(papers: Iterable[Paper]) -> tuple[Paper, ...]:
    return tuple(dict.fromkeys(papers))


def _error(span: Span) -> str:
    said = span.tool.error if span.tool and span.tool.error else ""
    if not said and span.failed:
        said = span.status_message or span.error_type or "failed"
    return said


def _parsed(value: Any) -> Any:
    """JSON in a string as what it means; other strings and values as they are."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return False
    try:
        return bool(_parsed(one) == _parsed(other))
    except RecursionError:
        return False
