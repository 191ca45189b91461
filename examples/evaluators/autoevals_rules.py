"""Scorers of the autoevals library as rules of a contract (pip install autoevals).

    support.extract:
      rules:
        - name: valid JSON
          python: autoevals_rules:valid_json

Each is a function from a trace to a score from 0 to 1; below ½ breaks the rule. A package would
offer it by name instead, in its pyproject.toml:

    [project.entry-points."fidelity_otel.evaluators"]
    valid_json = "autoevals_rules:valid_json"

Scorers that call a model (Factuality, …) belong in no contract: the service runs it on all traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fidelity_otel.model import Trace


def scored(scorer: Any, expected: Callable[[Trace], Any] | None = None) -> Callable[[Trace], Any]:
    """A scorer as a rule.

    Args:
        scorer: anything with autoevals' `eval(output, expected, **more)`, which gives a `score`.
        expected: what it is compared with, from the trace; nothing by default.

    Returns:
        A function that gives the score, or None (the rule holds) where the scorer gives none.
    """

    def evaluate(trace: Trace) -> Any:
        wanted = expected(trace) if expected else None
        score = scorer.eval(trace.answer, wanted, input=trace.request).score
        return None if score is None else float(score)

    return evaluate


def valid_json(trace: Trace) -> Any:
    """Whether the answer is JSON, as autoevals reads it."""
    from autoevals.json import ValidJSON

    return scored(ValidJSON())(trace)


def last_tool_result_verbatim(trace: Trace) -> Any:
    """How near the answer's text is to what the last tool returned."""
    from autoevals.string import Levenshtein

    def result(of: Trace) -> Any:
        return next((str(s.tool.result) for s in reversed(of.spans) if s.tool), None)

    return scored(Levenshtein(), result)(trace) if result(trace) is not None else None
