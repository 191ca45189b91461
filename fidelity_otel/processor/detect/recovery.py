"""What became of a failure: got over, by what and when; handed over; or neither."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from fidelity_otel.model import FindingState, Span
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.step import Step
from fidelity_otel.processor.detect.wording import is_reading

__all__ = ["Recovery", "of_chat", "of_retrieval", "of_steps", "without_success"]

_TRANSIENT: Final = ("rate_limited", "timeout", "auth")
_MOST_LEAVES: Final = 40
_SHORTEST: Final = 3


class Recovery(NamedTuple):
    """A finding's state, what recovered it, when (ns since the epoch), whether it was noticed."""

    state: FindingState
    by: str | None = None
    at_ns: int | None = None
    noticed: bool | None = None


def leaves(value: Any, found: set[str] | None = None, depth: int = 0) -> set[str]:
    """The scalar values in a call's arguments, as texts; at most a few dozen."""
    found = set() if found is None else found
    if len(found) >= _MOST_LEAVES or depth > 6:  # noqa: PLR2004 - deeper is no argument
        return found
    if isinstance(value, dict):
        for inner in value.values():
            leaves(inner, found, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            leaves(inner, found, depth + 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        found.add(str(value)[:200].lower())
    return found


def of_steps(facts: Facts, failed: Sequence[Step]) -> Recovery:
    """What became of failed calls of one tool.

    A later success of the same call is a retry; with other arguments it is one too where the
    arguments overlap or the error was about them. A reading tool that is given the same value and
    succeeds is another tool.
    """
    last = failed[-1]
    transient = last.failure in _TRANSIENT
    wanted = leaves(last.arguments)
    for step in _after(facts.good_by_name.get(last.name, []), last.index):
        same = step.key == last.key or not wanted
        if same or (not transient and last.failure == "malformed_arguments"):
            return Recovery("recovered", "retry", step.end_ns, noticed=True)
        if not leaves(step.arguments).isdisjoint(wanted):
            return Recovery("recovered", "retry", step.end_ns, noticed=True)
    other = _other_tool(facts, last, wanted)
    if other is not None:
        return Recovery("recovered", "other_tool", other.end_ns, noticed=True)
    return without_success(facts, last.start_ns)


def _after(steps: Sequence[Step], index: int, limit: int = 8) -> Sequence[Step]:
    at = bisect_right(steps, index, key=lambda s: s.index)
    return steps[at : at + limit]


def _other_tool(facts: Facts, last: Step, wanted: set[str]) -> Step | None:
    if not is_reading(last.name):
        return None
    telling = {value for value in wanted if len(value) >= _SHORTEST}
    for step in facts.steps[last.index + 1 : last.index + 9]:
        if step.failure is not None or step.name == last.name or step.result in ([], {}, "", None):
            continue
        if is_reading(step.name) and not telling.isdisjoint(leaves(step.arguments)):
            return step
    return None


def of_chat(facts: Facts, failed: Span) -> Recovery:
    """What became of a failed model call: a later one beside it, with the same or another model."""
    beside = facts.calls_beside(failed)
    at = bisect_left(beside, failed.start_ns, key=lambda s: s.start_ns)
    if at < len(beside):
        other = beside[at]
        model, before = other.model_requested, failed.model_requested
        by = "retry" if model is None or before is None or model == before else "fallback"
        return Recovery("recovered", by, other.end_ns, noticed=True)
    return without_success(facts, failed.start_ns)


def of_retrieval(facts: Facts, failed: Step) -> Recovery:
    """What became of a retrieval that failed or found nothing (usable): a later one that did."""
    for step in _after(facts.good_retrievals, failed.index, 1):
        by = "retry" if step.key == failed.key else "requery"
        return Recovery("recovered", by, step.end_ns, noticed=True)
    return without_success(facts, failed.start_ns)


def without_success(facts: Facts, since_ns: int) -> Recovery:
    """What became of a failure after which nothing succeeded: handed over, said so, or neither."""
    for step in facts.handovers:
        if step.start_ns >= since_ns:
            return Recovery("escalated", "human", step.end_ns, noticed=True)
    if facts.said_so:
        return Recovery("escalated", None, facts.trace.end_ns, noticed=True)
    if not facts.trace.reported_success:
        return Recovery("unrecovered", noticed=True)
    return Recovery("unrecovered", noticed=False if facts.answer else None)
