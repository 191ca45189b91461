"""Finding failure modes in a trace: pure functions, one mode or one tight family a file.

`detect` runs them all; `MODES` says of each what it finds and what it misses; `risk` turns the
findings into the probability that the answer is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Final

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
from fidelity_otel.processor.detect.doubts import Doubt
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
    "Doubt",
    "History",
    "Mode",
    "RiskModel",
    "detect",
    "detect_all",
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

DOUBTED: Final[dict[Detector, int]] = {
    retrieval.find_empty: Doubt.EMPTY.value,
    terminology.find: Doubt.TERMINOLOGY.value,
    output.find_truncated: Doubt.TRUNCATED.value,
    refusals.find_refusal: Doubt.REFUSAL.value,
    endings.find_premature: Doubt.PREMATURE.value,
    endings.find_budget: (Doubt.BUDGET | Doubt.FAILED).value,
    endings.find_abandoned: Doubt.FAILED.value,
    tool_failures.find: Doubt.FAILED.value,
    misread.find: Doubt.FAILED.value,
    asked_again.find: Doubt.ASKED_AGAIN.value,
    grounding.find: Doubt.GROUNDING.value,
    model_swapped.find: Doubt.SWAPPED.value,
}
"""Those of the first that may be doubted; `retrieval.find_stale` and the second may be as well.

Plain numbers, because `&` of flags takes as long as some detectors do.
"""

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
    (found,) = detect_all((trace,), settings, now_ns=now_ns, history=history)
    if isinstance(found, Exception):
        raise found
    return found


def detect_all(
    traces: Iterable[Trace],
    settings: DetectSettings = DEFAULT,
    *,
    now_ns: int | None = None,
    history: History | None = None,
    doubts: Iterable[int | None] = (),
) -> list[tuple[Finding, ...] | Exception]:
    """`detect` for several traces, or for each what a detector raised on it.

    `doubts` are the detectors that have to look at each trace, as `Doubt` has them; of a trace for
    which they are given, all others are known to find nothing, and its shapes to be learned.

    Each detector looks at all traces before the next one does: its code stays in the processor's
    caches, which for some thirty traces saves a third of the time. What is learned from a trace is
    known to those behind it, as if they had come one by one.
    """
    given = chain(doubts, repeat(None))
    cases = [_Case(trace, doubted) for trace, doubted in zip(traces, given, strict=False)]
    whole = [case for case in cases if case.doubts is None]
    some = [case for case in cases if case.doubts]
    for find in FIRST:
        _run(whole, find, settings)
        if some and find in DOUBTED:
            _run(_of(some, DOUBTED[find]), find, settings)
    _run([*whole, *_of(some, Doubt.STALE.value)], retrieval.find_stale, settings, now_ns)
    _run(whole, shapes.find, history)
    for conclude in SECOND:
        for case in (*whole, *_of(some, Doubt.FAILED.value)):
            _run((case,), conclude, settings, case.found)
    return [case.result() for case in cases]


class _Case:
    """One trace while its detectors run. `facts` is None where none is to run any more.

    `error` is what a detector raised, `doubts` which of them have to look, if not all.
    """

    __slots__ = ("doubts", "error", "facts", "found")

    def __init__(self, trace: Trace, doubts: int | None) -> None:
        self.doubts = doubts
        self.found: list[Finding] = []
        self.facts: Facts | None = None
        self.error: Exception | None = None
        if trace.spans:
            try:
                self.facts = Facts(trace)
            except Exception as error:  # noqa: BLE001 - a trace must not cost those beside it
                self.error = error

    def result(self) -> tuple[Finding, ...] | Exception:
        """The findings with what recoveries cost, or what was raised."""
        facts = self.facts
        if self.error is not None or facts is None:
            return self.error or ()
        try:
            return tuple([cost.with_cost(facts, finding) for finding in self.found[:MOST]])
        except Exception as error:  # noqa: BLE001 - see above
            return error


def _of(cases: Iterable[_Case], doubt: int) -> list[_Case]:
    return [case for case in cases if case.doubts and case.doubts & doubt]


def _run(cases: Iterable[_Case], find: Callable[..., Iterator[Finding]], *given: Any) -> None:
    """Add to each case what a detector finds, or note what it raised and leave the trace alone."""
    for case in cases:
        facts = case.facts
        if facts is not None:
            try:
                case.found.extend(find(facts, *given))
            except Exception as error:  # noqa: BLE001 - a trace must not cost those beside it
                case.error, case.facts = error, None
