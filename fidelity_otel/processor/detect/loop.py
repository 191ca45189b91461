"""Loops: the same call with the same result again, the same words from the model again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fidelity_otel.model import Finding, Span
from fidelity_otel.processor.detect.evidence import duration, quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.step import Step, canonical
from fidelity_otel.processor.detect.wording import is_changing

__all__ = ["find"]

_TRANSIENT = ("rate_limited", "timeout")
_TWICE = 2
"""A call that changes something has no reason to be made again; two that only read have none if
each is made twice."""


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:
    """Findings of calls, or of a model's words, that repeat without anything changing."""
    same: dict[tuple[str, str], list[Step]] = {}
    for step in facts.steps:
        same.setdefault((step.name, step.key), []).append(step)
    again: list[list[Step]] = []
    for (name, _), steps in same.items():
        if len(steps) < _TWICE:
            continue
        enough = min(settings.loop_calls, _TWICE) if is_changing(name) else settings.loop_calls
        for run in _unchanging(steps):
            if len(run) >= enough:
                yield _finding(facts, name, run)
            elif len(run) >= _TWICE:
                again.append(run)
    if sum(len(run) - 1 for run in again) >= settings.loop_calls - 1:
        yield _over_again(facts, again)
    yield from _same_words(facts, settings)


def _over_again(facts: Facts, runs: Sequence[Sequence[Step]]) -> Finding:
    """Several calls, each made again without anything changing."""
    steps = sorted((step for run in runs for step in run), key=lambda s: s.index)
    last = steps[-1]
    recovery = _became(facts, last)
    names = ", ".join(dict.fromkeys(s.name for s in steps))
    return Finding(
        mode="loop",
        state=recovery.state,
        span_id=last.span_id,
        evidence=(
            f"{len(runs)} calls were made again with equal arguments and the same result: {names}."
        ),
        span_ids=tuple(dict.fromkeys(s.span_id for s in steps)),
        recovered_by=recovery.by,
        noticed=recovery.noticed,
    )


def _unchanging(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Runs of equal calls with equal results; a result that changes is progress (polling).

    Retries of a rate limit or a time-out are no loop: they have findings of their own.
    """
    run: list[Step] = []
    result: str | None = None
    for step in steps:
        if step.failure in _TRANSIENT:
            continue
        shown = canonical(step.result) if step.failure is None else f"! {step.message}"
        if run and shown != result:
            yield run
            run = []
        result = shown
        run.append(step)
    yield run


def _finding(facts: Facts, name: str, run: Sequence[Step]) -> Finding:
    first, last = run[0], run[-1]
    taken = max(0, last.end_ns - first.start_ns)
    outcome = "the same error" if first.failure else "the same result"
    if first.failure is None and first.result is None:
        outcome = "no recorded change"
    recovery = _became(facts, last)
    return Finding(
        mode="loop",
        state=recovery.state,
        span_id=last.span_id,
        evidence=(
            f"Tool {name} was called {len(run)} times with equal arguments and {outcome}"
            f"{f', taking {duration(taken)}' if taken else ''}: {quoted(first.key)}."
        ),
        span_ids=tuple(dict.fromkeys(s.span_id for s in run)),
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=taken if recovery.state == "recovered" else None,
    )


def _became(facts: Facts, last: Step) -> Recovery:
    """A loop is got over where other work, or an answer that stands, follows it."""
    rest = without_success(facts, last.start_ns)
    if rest.state == "escalated":
        return rest
    for step in facts.steps[last.index + 1 : last.index + 9]:
        if step.failure is None and step.name != last.name:
            return Recovery("recovered", "other_tool", step.start_ns, noticed=None)
    if facts.answer and facts.trace.reported_success:
        return Recovery("recovered", None, facts.trace.end_ns, noticed=None)
    return rest


def _same_words(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:
    if len(facts.chats) < settings.loop_calls:
        return
    said: dict[tuple[str | None, str], list[Span]] = {}
    for chat in facts.chats:
        if chat.output_messages:
            words = " ".join([m.text for m in chat.output_messages]).strip()
            if len(words) > 40:  # noqa: PLR2004 - "OK." may be said thrice
                said.setdefault((chat.agent, words[:2000]), []).append(chat)
    for (_, words), chats in said.items():
        if len(chats) < settings.loop_calls:
            continue
        last = chats[-1]
        moved_on = last is not facts.chats[-1] and bool(facts.answer)
        rest = without_success(facts, last.start_ns)
        recovered = rest.state == "unrecovered" and moved_on and facts.trace.reported_success
        yield Finding(
            mode="loop",
            state="recovered" if recovered else rest.state,
            span_id=last.span_id,
            evidence=f"The model said the same {len(chats)} times: {quoted(words)}.",
            span_ids=tuple(c.span_id for c in chats),
            recovered_by=None if recovered else rest.by,
            noticed=None if recovered else rest.noticed,
        )
