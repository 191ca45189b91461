"""Tool results of an unusual shape: unlike what is declared, or unlike what the tool always gives.

A shape is what kind of value a result is and, for objects, its top-level members and their kinds.
`History` learns them from traffic: a result is odd where at least twenty were seen and nineteen of
twenty look otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from fidelity_otel.model import Finding, Trace
from fidelity_otel.processor.detect.evidence import quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import of_steps
from fidelity_otel.processor.detect.step import Step
from fidelity_otel.processor.detect.tool_failures import elapsed, ending
from fidelity_otel.processor.dialects.values import unwrapped

__all__ = ["History", "find", "shape_of"]

Shape = tuple[str, ...]

_KINDS: Final = {
    str: "text",
    bool: "truth",
    int: "number",
    float: "number",
    list: "list",
    dict: "object",
}
_MOST_MEMBERS: Final = 24
_NAME: Final = 100  # characters of a name that are looked at, and kept
_LONGEST_KNOWN: Final = 1000  # characters of names that are worth remembering
_ENOUGH: Final = 20
_ENOUGH_HERE: Final = 4
_USUAL: Final = 0.95


def shape_of(value: Any) -> Shape:
    """The shape of a result: ("text",), ("list", …kind of its elements), ("object", members…)."""
    value = unwrapped(value, 1)
    if value is None:
        return ("nothing",)
    kind = _KINDS.get(type(value), "other")
    if kind == "list":
        inner = sorted({_KINDS.get(type(v), "nothing") for v in value[:50]})
        return ("list", *inner)
    if kind == "object":
        if len(value) > _MOST_MEMBERS:
            return ("object", "*")
        return _shape_of_object(tuple(map(str, value)), tuple(map(type, value.values())))
    return (kind,)


def _shape_of_object(names: tuple[str, ...], types: tuple[type, ...]) -> Shape:
    """The shape of an object; results of one tool have the same members, over and over."""
    if sum(map(len, names)) > _LONGEST_KNOWN:
        return _new_shape(names, types)
    return _known_shape(names, types)


def _new_shape(names: tuple[str, ...], types: tuple[type, ...]) -> Shape:
    if any(any(c.isdigit() for c in name) for name in names):
        return ("object", "*")  # a table whose members are ids rather than names
    return (
        "object",
        *sorted(
            f"{name[:_NAME]}:{_KINDS.get(kind, 'nothing')}"
            for name, kind in zip(names, types, strict=True)
        ),
    )


_known_shape: Final = lru_cache(maxsize=1024)(_new_shape)


def unlike(usual: Shape, found: Shape) -> bool:
    """Whether a shape differs in a way that code would stumble over.

    A list may be empty, a member may be null or absent if others are there; another kind of value,
    or an object with less than half of the usual members, is a difference.
    """
    if usual == found or usual[0] == "other" or found[0] == "other":
        return False
    if usual[0] != found[0]:
        return True
    if usual[0] == "list":
        return len(found) > 1 and len(usual) > 1 and not set(usual[1:]) & set(found[1:])
    if usual[0] == "object" and "*" not in usual and "*" not in found:
        before = {m.rsplit(":", 1)[0] for m in usual[1:]}
        now = {m.rsplit(":", 1)[0] for m in found[1:]}
        return len(before) > 1 and len(before & now) * 2 < len(before)
    return False


class History:
    """The shapes that each tool's results had; bounded, and never older than the process.

    `learn` is the only thing that changes it, so detection stays a function of trace and history.
    """

    __slots__ = ("_seen",)

    _MOST_TOOLS: Final = 2000
    _MOST_SHAPES: Final = 16

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], dict[Shape, int]] = {}

    def about(self, trace: Trace) -> History:
        """What the shapes of a trace are compared with, and told to."""
        del trace
        return self

    def learn(self, workflow: str, name: str, shapes: Iterable[Shape]) -> None:
        """Count the shapes of some successful results of a tool."""
        key = (workflow[:_NAME], name[:_NAME])
        counts = self._seen.get(key)
        if counts is None:
            if len(self._seen) >= self._MOST_TOOLS:
                return
            counts = self._seen[key] = {}
        for shape in shapes:
            if shape in counts or len(counts) < self._MOST_SHAPES:
                counts[shape] = counts.get(shape, 0) + 1

    def learn_usual(
        self, workflow: str, told: Sequence[tuple[str, Shape, int]], traces: int = 1
    ) -> bool:
        """Count a trace's shapes if each is the one that most of its tool's have; whether so.

        Such a shape is not odd.

        Args:
            workflow: the trace's.
            told: the tool, the shape, and how many of its results have it.
            traces: how many such traces there are: one by one they would be judged the same.
        """
        held: list[dict[Shape, int]] = []
        for name, shape, _ in told:
            counts = self._seen.get((workflow[:_NAME], name[:_NAME]))
            if not counts or max(counts, key=counts.__getitem__) != shape:
                return False
            held.append(counts)
        for counts, (_, shape, times) in zip(held, told, strict=True):
            counts[shape] += times * traces
        return True

    def usual(self, workflow: str, name: str, found: Shape) -> Shape | None:
        """The tool's usual shape where `found` is unlike it; None where it is not, or too early."""
        return odd(self._seen.get((workflow[:_NAME], name[:_NAME]), {}), found, _ENOUGH)


def odd(counts: dict[Shape, int], found: Shape, enough: int) -> Shape | None:
    """The shape that nearly all results have, where `found` is unlike it and there are enough."""
    total = sum(counts.values())
    if total < enough:
        return None
    usual = max(counts, key=counts.__getitem__)
    if not unlike(usual, found):
        return None
    like = sum(n for shape, n in counts.items() if not unlike(usual, shape))
    return usual if like >= _USUAL * total else None


def find(facts: Facts, history: History | None) -> Iterator[Finding]:
    """Findings of results of an unusual shape, by history and by the other calls of the trace.

    Once all are given, the history learns this trace's shapes.
    """
    if history is None and len(facts.steps) <= _ENOUGH_HERE:
        return
    history = history and history.about(facts.trace)
    here: dict[str, list[tuple[Step, Shape]]] = {}
    for step in facts.steps:
        if step.failure is None and step.result is not None:
            here.setdefault(step.name, []).append((step, shape_of(step.result)))
    for name, pairs in here.items():
        counts: dict[Shape, int] = {}
        for _, shape in pairs:
            counts[shape] = counts.get(shape, 0) + 1
        told: dict[Shape, Shape | None] = {}
        for step, shape in pairs:
            if history and shape not in told:
                told[shape] = history.usual(facts.trace.workflow, name, shape)
            usual = told.get(shape)
            if usual is None and counts[shape] == 1 and len(pairs) > _ENOUGH_HERE:
                others = {s: n for s, n in counts.items() if s != shape}
                usual = odd(others, shape, _ENOUGH_HERE)
            if usual is not None:
                yield _finding(facts, step, usual, shape)
                break
    if history is not None:
        for name, pairs in here.items():
            history.learn(facts.trace.workflow, name, (shape for _, shape in pairs))


def _finding(facts: Facts, step: Step, usual: Shape, found: Shape) -> Finding:
    recovery = of_steps(facts, [step])
    return Finding(
        mode="tool_schema_mismatch",
        state=recovery.state,
        span_id=step.span_id,
        evidence=f"Tool {step.name} usually gives {quoted(_shown(usual), 60)}, here "
        f"{quoted(_shown(found), 60)}{ending(recovery, step.end_ns)}.",
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=elapsed(recovery, step.end_ns),
    )


def _shown(shape: Shape) -> str:
    kind, *members = shape
    return f"{kind} of {', '.join(members)}" if members else kind
