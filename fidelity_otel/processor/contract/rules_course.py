"""Rules about the course: which tools, in what order, with what arguments, within what limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from fidelity_otel.processor.contract.breach import Check, Subject
from fidelity_otel.processor.contract.given import GivenError, amount, mapping, texts, whole
from fidelity_otel.processor.contract.rules_answer import validator
from fidelity_otel.processor.detect.step import Step

__all__ = ["limits", "tools"]


def tools(given: Any) -> Check:
    """Which tools are called.

    `required` and `forbidden` names; `order`: each of these only after the one before it has been
    called; `arguments`: a JSON Schema by tool; `at_most`: calls by tool.
    """
    options = mapping(given, "required", "forbidden", "order", "arguments", "at_most")
    required = texts(options["required"]) if "required" in options else []
    forbidden = set(texts(options["forbidden"])) if "forbidden" in options else set()
    order = texts(options["order"]) if "order" in options else []
    schemas = {t: validator(s) for t, s in mapping(options.get("arguments", {})).items()}
    most = {t: whole(n, t) for t, n in mapping(options.get("at_most", {})).items()}
    if not options:
        raise GivenError("required, forbidden, order, arguments or at_most is wanted")

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        steps = [s for s in subject.facts.steps if not s.asked_only]
        count = Counter(s.name for s in steps)
        for name in required:
            if not count[name]:
                yield f"the tool {name} was not called", ""
        for step in steps:
            if step.name in forbidden:
                yield f"the tool {step.name} was called", step.span.span_id
            for said in schemas[step.name](step.arguments) if step.name in schemas else ():
                yield f"arguments of {step.name}: {said}", step.span.span_id
        yield from _out_of_order(steps, order)
        for name, n in most.items():
            if count[name] > n:
                yield f"{name} was called {count[name]} times, not at most {n}", ""

    return check


def _out_of_order(steps: list[Step], order: list[str]) -> Iterator[tuple[str, str]]:
    first: dict[str, int] = {}
    for place, step in enumerate(steps):
        first.setdefault(step.name, place)
    for before, after in pairwise(order):
        if after in first and first.get(before, len(steps)) > first[after]:
            yield f"{after} was called without {before} before it", steps[first[after]].span.span_id


def limits(given: Any) -> Check:
    """What a request may take: `seconds`, `tokens`, `cost_usd`, `model_calls`, `tool_calls`."""
    names = ("seconds", "tokens", "cost_usd", "model_calls", "tool_calls")
    most = {name: amount(v, name) for name, v in mapping(given, *names).items()}
    if not most:
        raise GivenError(f"at least one of {', '.join(names)} is wanted")

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        took = spent(subject)
        for name, limit in most.items():
            if took[name] > limit:
                yield f"{name.replace('_', ' ')}: {took[name]:g}, not at most {limit:g}", ""

    return check


def spent(subject: Subject) -> dict[str, float]:
    """What a request took, by the names of `limits`."""
    trace = subject.trace
    usage = [s.usage for s in trace.spans if s.usage is not None]
    return {
        "seconds": max(trace.end_ns - trace.start_ns, 0) / 1e9,
        "tokens": float(sum((u.input_tokens or 0) + (u.output_tokens or 0) for u in usage)),
        "cost_usd": float(sum(u.cost_usd or 0.0 for u in usage)),
        "model_calls": float(len(subject.facts.chats)),
        "tool_calls": float(sum(not s.asked_only for s in subject.facts.steps)),
    }
