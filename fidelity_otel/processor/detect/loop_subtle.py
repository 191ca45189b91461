"""Loops that change a little each time.

Nearly equal arguments, agents that pass work back and forth, contexts that grow while nothing comes
of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from fidelity_otel.model import Finding, Span
from fidelity_otel.processor.detect.evidence import plural, quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.step import Step, canonical

__all__ = ["find_agents", "find_growing", "find_near"]

_FORM: Final = re.compile(r"[\W_]+")
_ROUNDS: Final = 3
_GROWING: Final = 8
_BARREN: Final = 0.75
_SHORTEST: Final = 40


def find_near(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:
    """Findings of calls whose arguments differ in spelling only, and whose results do not."""
    if len(facts.steps) < settings.loop_calls:
        return
    same: dict[tuple[str, str], list[Step]] = {}
    for step in facts.steps:
        if step.failure is None and len(step.key) > 2:  # noqa: PLR2004 - {} has no spelling
            same.setdefault((step.name, _FORM.sub(" ", step.key).casefold()), []).append(step)
    for (name, _), steps in same.items():
        exact = max(_counts(steps).values())
        if len(steps) < settings.loop_calls or exact >= settings.loop_calls:
            continue
        results = {canonical(s.result) for s in steps}
        if len(results) == 1 and steps[0].result is not None:
            last = steps[-1]
            recovery = _became(facts, last.span, after=last.index)
            yield Finding(
                mode="loop",
                state=recovery.state,
                span_id=last.span_id,
                evidence=f"Tool {name} was called {len(steps)} times with arguments that differ in "
                f"spelling only and the same result: {quoted(steps[0].key)}.",
                span_ids=tuple(dict.fromkeys(s.span_id for s in steps)),
                recovered_by=recovery.by,
                noticed=recovery.noticed,
            )


def _counts(steps: Sequence[Step]) -> dict[str, int]:
    out: dict[str, int] = {}
    for step in steps:
        out[step.key] = out.get(step.key, 0) + 1
    return out


def find_agents(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """A finding where two agents pass work back and forth at least three times each (A-B-A-B-A-B).

    Only turns that say much the same as the turn before by the same agent count: two agents that
    talk and get on are a conversation.
    """
    turns = _turns(facts)
    run: list[Span] = []
    for span in turns:
        if len(run) >= 2 and not (span.agent == run[-2].agent and span.agent != run[-1].agent):  # noqa: PLR2004
            run = run[-1:]
        if len(run) == 1 and run[0].agent == span.agent:
            run = []
        if len(run) >= 2 and not _stuck(run[-2], span):  # noqa: PLR2004
            run = run[-1:]
        run.append(span)
        if len(run) >= 2 * _ROUNDS:
            recovery = _became(facts, span, agent=True)
            yield Finding(
                mode="loop",
                state=recovery.state,
                span_id=span.span_id,
                evidence=f"Agents {quoted(run[0].agent or '', 40)} and "
                f"{quoted(run[1].agent or '', 40)} "
                f"answered each other {len(run)} times with much the same words.",
                span_ids=tuple(s.span_id for s in run),
                recovered_by=recovery.by,
                noticed=recovery.noticed,
            )
            return


def _turns(facts: Facts) -> list[Span]:
    agents = [s for s in facts.trace.spans if s.operation == "invoke_agent" and s.agent]
    if len({s.agent for s in agents}) > 1:
        return agents
    return [c for c in facts.chats if c.agent and c.output_messages]


def _stuck(before: Span, now: Span) -> bool:
    one, two = _words(before), _words(now)
    if not one or not two:
        return one == two
    return len(one & two) >= 0.8 * len(one | two)


def _words(span: Span) -> set[str]:
    said = " ".join(m.text for m in span.output_messages)
    if not said and isinstance(span.output, str):
        said = span.output
    return set(_FORM.sub(" ", said[:2000]).casefold().split())


def find_growing(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """A finding where model calls keep growing their context while nearly all tools bring nothing.

    Eight calls or more, each with more input than the last, and three of four steps between them
    failed, were empty or gave what was known.
    """
    grown: list[Span] = []
    for chat in facts.chats:
        size = chat.usage.input_tokens if chat.usage else None
        if size is None:
            continue
        before = grown[-1].usage.input_tokens if grown and grown[-1].usage else None
        if before is not None and size <= before:
            grown = []
        grown.append(chat)
    if len(grown) < _GROWING:
        return
    since = grown[0].start_ns
    steps = [s for s in facts.steps if s.start_ns >= since]
    if len(steps) < _GROWING - 2:
        return
    seen: set[str] = set()
    barren = 0
    for step in steps:
        shown = canonical(step.result)
        if step.failure is not None or shown in ("{}", "[]", "null") or shown in seen:
            barren += 1
        seen.add(shown)
    if barren < _BARREN * len(steps):
        return
    last = grown[-1]
    tokens = last.usage.input_tokens if last.usage else 0
    recovery = _became(facts, last)
    yield Finding(
        mode="loop",
        state=recovery.state,
        span_id=last.span_id,
        evidence=f"The context grew over {plural(len(grown), 'call')} to {tokens} tokens while "
        f"{barren} of {plural(len(steps), 'tool call')} brought nothing new.",
        span_ids=tuple(c.span_id for c in grown),
        recovered_by=recovery.by,
        noticed=recovery.noticed,
    )


def _became(facts: Facts, last: Span, *, after: int | None = None, agent: bool = False) -> Recovery:
    rest = without_success(facts, last.start_ns)
    if rest.state != "unrecovered":
        return rest
    if after is not None:
        for step in facts.steps[after + 1 : after + 9]:
            if step.failure is None:
                return Recovery("recovered", "other_tool", step.start_ns)
    turns = _turns(facts) if agent else []
    if agent and turns and turns[-1] is not last and facts.answer and facts.trace.reported_success:
        return Recovery("recovered", None, turns[-1].end_ns)
    if not agent and facts.answer and facts.trace.reported_success:
        return Recovery("recovered", None, facts.trace.end_ns)
    return rest
