"""Finding failure modes in a trace: pure functions, one mode or one tight family a file.

`detect` runs them all; `MODES` says of each what it finds and what it misses; `risk` turns the
findings into the probability that the answer is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from fidelity_otel.model import Finding, Trace
from fidelity_otel.processor.detect import (
    asked_again,
    calls,
    cost,
    endings,
    grounding,
    loop,
    loop_subtle,
    misread,
    model_failures,
    model_swapped,
    output,
    refusals,
    retrieval,
    shapes,
    swallowed,
    terminology,
    tool_failures,
)
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.mode import Mode
from fidelity_otel.processor.detect.modes import BY_NAME, MODES
from fidelity_otel.processor.detect.risk import RiskModel, risk
from fidelity_otel.processor.detect.settings import DEFAULT, DetectSettings
from fidelity_otel.processor.detect.shapes import History

__all__ = [
    "BY_NAME",
    "DEFAULT",
    "MODES",
    "DetectSettings",
    "History",
    "Mode",
    "RiskModel",
    "detect",
    "risk",
]

Detector = Callable[[Facts, DetectSettings], Iterator[Finding]]
Second = Callable[[Facts, DetectSettings, Sequence[Finding]], Iterator[Finding]]

FIRST: Final[tuple[Detector, ...]] = (
    loop.find,
    loop_subtle.find_near,
    loop_subtle.find_agents,
    loop_subtle.find_growing,
    tool_failures.find,
    model_failures.find,
    calls.find,
    retrieval.find_empty,
    terminology.find,
    output.find_empty,
    output.find_truncated,
    refusals.find_refusal,
    refusals.find_filtered,
    endings.find_premature,
    endings.find_budget,
    endings.find_abandoned,
    model_swapped.find,
    asked_again.find,
    misread.find,
    grounding.find,
)
"""Detectors that look at the trace alone."""

SECOND: Final[tuple[Second, ...]] = (swallowed.find,)
"""Detectors that also look at what the first ones found."""

MOST: Final = 1000
"""More findings than this in one trace tell nobody anything more."""


def detect(
    trace: Trace,
    settings: DetectSettings = DEFAULT,
    *,
    now_ns: int | None = None,
    history: History | None = None,
) -> tuple[Finding, ...]:
    """Find the failure modes in a trace.

    Args:
        trace: as `read_trace` gives it; any trace, however broken, is fine.
        settings: thresholds.
        now_ns: the time at which a document's age is counted; by default that of its retrieval.
        history: the shapes that tools' results had in earlier traces; this trace's are added to it.

    Returns:
        Findings, those of first detectors first, each detector's in order of time; at most `MOST`.
    """
    if not trace.spans:
        return ()
    facts = Facts(trace)
    found: list[Finding] = []
    for find in FIRST:
        found.extend(find(facts, settings))
    found.extend(retrieval.find_stale(facts, settings, now_ns))
    found.extend(shapes.find(facts, history))
    for conclude in SECOND:
        found.extend(conclude(facts, settings, found))
    if history is not None:
        steps = (
            (s.name, s.result) for s in facts.steps if s.failure is None and s.result is not None
        )
        history.learn(trace.workflow, steps)
    return tuple(cost.with_cost(facts, finding) for finding in found[:MOST])
