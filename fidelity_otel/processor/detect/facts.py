"""What the detectors look at, gathered from a trace in one pass and shared between them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, Final

from fidelity_otel import semconv
from fidelity_otel.model import Part, Span, Trace
from fidelity_otel.processor.detect.failure import classify, failure_text, kind_of_status
from fidelity_otel.processor.detect.step import Step
from fidelity_otel.processor.detect.wording import hands_over_tool, said_so

__all__ = ["Facts"]

_MOST_BETWEEN: Final = 1000


class Facts:
    """A trace laid out for detectors.

    `steps` are tool calls (executed spans, and calls that show only in messages), `retrievals`
    retrieval spans, `chats` model calls, each in order of time. Attempt spans below a call of their
    own kind are not calls: they are in `attempts`, by the id of the call. `good_by_name` are the
    steps that succeeded, `good_retrievals` the retrievals that found something, `handovers` the
    steps that gave the case to a person, `answering` the model call that gave the answer.
    `said_so`: the answer admits a failure or hands over. `calm`: no span failed, has events or is
    an attempt, so detectors of such need not look.
    """

    __slots__ = (
        "_said_so",
        "_tokens",
        "answer",
        "answering",
        "attempts",
        "by_id",
        "calm",
        "chats",
        "good_by_name",
        "good_calls",
        "good_retrievals",
        "handovers",
        "has_content",
        "has_tool_spans",
        "retrievals",
        "steps",
        "trace",
    )

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.answer = trace.answer
        self.by_id: dict[str, Span] = {}
        self.attempts: dict[str, list[Span]] = {}
        self.chats: list[Span] = []
        self.retrievals: list[Step] = []
        self.calm = True
        tools: list[Span] = []
        for span in trace.spans:
            self.by_id[span.span_id] = span
            if span.events or span.status == "error" or span.error_type is not None:
                self.calm = False
            if span.attempt is not None and span.parent_id is not None:
                self.calm = False
                parent = self.by_id.get(span.parent_id)
                if parent is not None and parent.operation == span.operation:
                    self.attempts.setdefault(span.parent_id, []).append(span)
                    continue
            operation = span.operation
            if operation == "chat":
                self.chats.append(span)
            elif operation == "execute_tool":
                tools.append(span)
            elif operation == "retrieval":
                self.retrievals.append(_retrieval(span, len(self.retrievals)))
        self.steps = _steps(tools, self.chats)
        self.good_retrievals = [r for r in self.retrievals if r.documents and r.failure is None]
        self.good_calls: dict[tuple[str | None, str], list[Span]] | None = None
        self.good_by_name: dict[str, list[Step]] = {}
        self.handovers: list[Step] = []
        for step in self.steps:
            if step.failure is None and not step.asked_only:
                self.good_by_name.setdefault(step.name, []).append(step)
                if hands_over_tool(step.name):
                    self.handovers.append(step)
        self.has_content = bool(trace.answer) or any(c.output_messages for c in self.chats)
        self.has_tool_spans = bool(tools)
        self.answering = self._answering()
        self._said_so: bool | None = None
        self._tokens: int | None = None

    def _answering(self) -> Span | None:
        """The model call that gave the answer: the last one with words, else the last one."""
        for chat in reversed(self.chats):
            if any(m.text for m in chat.output_messages):
                return chat
        return self.chats[-1] if self.chats else self.trace.root

    @property
    def tokens(self) -> int:
        """Tokens of all model calls; computed once, where a recovery asks for it."""
        if self._tokens is None:
            self._tokens = sum(
                max(0, c.usage.input_tokens or 0) + max(0, c.usage.output_tokens or 0)
                for c in self.chats
                if c.usage is not None
            )
        return self._tokens

    @property
    def said_so(self) -> bool:
        """Whether the answer admits a failure or hands over; asked only where something failed."""
        if self._said_so is None:
            self._said_so = said_so(self.answer)
        return self._said_so

    def chats_between(self, since_ns: int, until_ns: int) -> list[Span]:
        """The model calls that started in a stretch of time."""
        first = bisect_left(self.chats, since_ns, key=lambda c: c.start_ns)
        last = bisect_right(self.chats, until_ns, key=lambda c: c.start_ns)
        return self.chats[first : min(last, first + _MOST_BETWEEN)]

    def calls_beside(self, span: Span) -> list[Span]:
        """The calls of a span's kind below the same parent that went well, in order of start."""
        if self.good_calls is None:
            self.good_calls = {}
            for other in self.trace.spans:
                if other.operation and not other.failed:
                    key = (other.parent_id, other.operation)
                    self.good_calls.setdefault(key, []).append(other)
        return self.good_calls.get((span.parent_id, span.operation), [])


def _retrieval(span: Span, index: int) -> Step:
    step = Step(
        index=index,
        name=span.name,
        arguments=span.query if span.query is not None else span.input,
        result=span.output,
        span=span,
        documents=span.documents,
    )
    if span.failed:
        _mark(step, span, span.status_message or span.error_type or "error")
    return step


def _steps(tools: list[Span], chats: list[Span]) -> list[Step]:
    steps = [_executed(span) for span in tools]
    steps.extend(_only_in_messages(tools, chats))
    steps.sort(key=lambda s: s.start_ns)
    for index, step in enumerate(steps):
        step.index = index
    return steps


def _executed(span: Span) -> Step:
    tool = span.tool
    step = Step(
        index=0,
        name=tool.name if tool else span.name,
        arguments=tool.arguments if tool else span.input,
        arguments_text=tool.arguments_text if tool else None,
        result=tool.result if tool and tool.result is not None else span.output,
        span=span,
        call_id=tool.id if tool else None,
        documents=span.documents,
    )
    if span.failed:
        text = (tool.error if tool else None) or span.status_message or span.error_type or "error"
        _mark(step, span, text)
    elif tool and tool.error:
        _mark(step, span, tool.error)
    else:
        found = failure_text(step.result)
        if found is not None:
            step.failure, step.message = classify(found), found
    return step


def _mark(step: Step, span: Span, message: str) -> None:
    step.message = message
    status = span.attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    kind = kind_of_status(status) if status is not None else None
    kind = kind or kind_of_status(span.error_type)
    if kind is None or kind == "tool_error":
        kind = classify(f"{span.error_type or ''}: {message}")
    step.failure = kind


def _only_in_messages(tools: list[Span], chats: list[Span]) -> list[Step]:
    """Calls that a model asked for and whose results it was shown, without spans of their own."""
    names = {t.tool.name for t in tools if t.tool}
    ids = {t.tool.id for t in tools if t.tool and t.tool.id}
    asked: list[tuple[Part, Span]] = []
    for chat in chats:
        for message in chat.output_messages:
            asked += [
                (part, chat)
                for part in message.parts
                if part.type == "tool_call" and part.id not in ids and part.name not in names
            ]
    if not asked:
        return []
    wanted = {part.id for part, _ in asked}
    given: dict[str | None, Any] = {}
    for chat in chats:
        for message in chat.input_messages:
            for part in message.parts:
                if part.type == "tool_call_response" and part.id in wanted:
                    given.setdefault(part.id, part.response)
    steps = []
    for part, chat in asked:
        text = part.arguments if type(part.arguments) is str else None
        step = Step(
            index=0,
            name=part.name or "tool",
            arguments=part.arguments,
            arguments_text=text,
            result=given.get(part.id) if part.id is not None else None,
            span=chat,
            call_id=part.id,
        )
        step.attempts = 1
        step.asked_only = step.result is None
        step.start_ns = step.end_ns = chat.end_ns
        found = failure_text(step.result)
        if found is not None:
            step.failure, step.message = classify(found), found
        steps.append(step)
    return steps
