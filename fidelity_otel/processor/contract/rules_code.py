"""Rules in code: a CEL expression, or a Python function."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, Final

from fidelity_otel.processor.contract.breach import Check, RuleFailed, Subject
from fidelity_otel.processor.contract.given import GivenError
from fidelity_otel.processor.contract.rules_course import spent

__all__ = ["EVALUATORS", "cel", "condition", "python"]

EVALUATORS: Final = "fidelity_otel.evaluators"
"""Entry-point group in which packages offer evaluators by name."""


def condition(expression: Any) -> Callable[[Subject], bool]:
    """A CEL expression over `variables`, true or false of a trace.

    Raises:
        GivenError: it is not CEL.
    """
    if not isinstance(expression, str):
        raise GivenError(f"a CEL expression is wanted, not {expression!r}")
    try:
        from celpy import Environment
        from celpy.adapter import json_to_cel
        from celpy.celparser import CELParseError
        from celpy.celtypes import BoolType
        from celpy.evaluation import CELEvalError
    except ImportError:
        raise GivenError("CEL needs a package: pip install 'fidelity-otel[contracts]'") from None
    environment = Environment()
    try:
        program = environment.program(environment.compile(expression))
    except CELParseError as error:
        raise GivenError(f"it is not CEL: {str(error).strip().splitlines()[0]}") from None

    def holds(subject: Subject) -> bool:
        try:
            given = {name: json_to_cel(value) for name, value in variables(subject).items()}
            got: Any = program.evaluate(given)
        except CELEvalError as error:
            raise RuleFailed(f"{expression}: {error.args[0]}") from None
        if not isinstance(got, bool | BoolType):
            raise RuleFailed(f"{expression} gives {got!r}, neither true nor false")
        return bool(got)

    return holds


def variables(subject: Subject) -> dict[str, Any]:
    """What expressions can use."""
    trace = subject.trace
    return {
        "request": trace.request,
        "answer": trace.answer,
        "workflow": trace.workflow,
        "release": trace.release,
        "success": trace.reported_success,
        "tools": [
            {
                "name": s.name,
                "arguments": _plain(s.arguments),
                "result": _plain(s.result),
                "error": s.message or "",
            }
            for s in subject.facts.steps
            if not s.asked_only
        ],
        "documents": [
            {"id": d.id or "", "title": d.title or "", "content": d.content or ""}
            for span in trace.spans
            for d in span.documents or ()
        ],
        **spent(subject),
    }


def _plain(value: Any) -> Any:
    """A value that CEL can hold: no nulls as keys, no large integers."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return float(value)
    return value if isinstance(value, str | int | float | bool) else ""


def cel(given: Any) -> Check:
    """A CEL expression that must be true."""
    holds = condition(given)

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        if not holds(subject):
            yield f"not true: {given}", ""

    return check


def python(given: Any) -> Check:
    """A function of the trace: `module:function`, or an evaluator's name from `EVALUATORS`.

    It says that the rule holds by True or None, that it is broken by False, by a text that says
    what is wrong, or by a number below ½.
    """
    function = _function(given)

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        try:
            said = function(subject.trace)
        except Exception as error:  # the user's own code
            raise RuleFailed(f"{given}: {type(error).__name__}: {error}") from error
        if isinstance(said, str) and said:
            yield said, ""
        elif said is False:
            yield f"{given} says no", ""
        elif isinstance(said, int | float) and said is not True and said < 0.5:  # noqa: PLR2004
            yield f"{given} gives {said:.2f}", ""

    return check


def _function(given: Any) -> Callable[[Any], Any]:
    if not isinstance(given, str):
        raise GivenError(f"module:function is wanted, not {given!r}")
    if ":" not in given:
        found = {e.name: e for e in entry_points(group=EVALUATORS)}
        if given not in found:
            known = ", ".join(sorted(found)) or "none is installed"
            raise GivenError(f"no evaluator {given!r}; known: {known}; or write module:function")
        loaded = found[given].load()
    else:
        module, _, name = given.partition(":")
        try:
            loaded = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, SyntaxError) as error:
            raise GivenError(f"{given} cannot be imported: {error}") from None
    if not callable(loaded):
        raise GivenError(f"{given} is not a function")
    return loaded  # type: ignore[no-any-return]
