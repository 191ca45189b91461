"""What is told of traces one by one, as objects: kept once, however a frame is divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidelity_otel.model import FindingState

__all__ = [
    "NOTHING_TOLD",
    "Objects",
    "Told",
    "counts",
    "label_of",
    "told_of",
    "told_together",
    "worst_states",
]

Objects = NDArray[np.object_]

VALUE_OF = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
"""What a verdict counts; `cannot_tell` is not in it: it is non-response."""

_SAMPLE_PHASES = ("", "sample")
_ADJUDICATION = "adjudication"
_SEVERITY: dict[str, int] = {"recovered": 0, "escalated": 1, "unrecovered": 2}


@dataclass(frozen=True, slots=True)
class Told:
    """Parallel arrays of objects, one each a trace; equal ones may be the same object.

    `states` maps mode → worst state, `outcomes` name → value; `outcome_labels` and `outcome_times`
    go with the latter. `arms` and `reviews` are marks as the store gives them.
    """

    trace_id: Objects
    states: Objects
    arms: Objects
    reviews: Objects
    outcomes: Objects
    outcome_labels: Objects
    outcome_times: Objects

    def __len__(self) -> int:
        return len(self.trace_id)

    def take(self, places: NDArray[np.intp]) -> Told:
        """What is told of these traces."""
        return Told(*(getattr(self, f.name)[places] for f in fields(self)))

    def troubled(self) -> NDArray[np.bool_]:
        """Whether a mode was found, shape (traces,)."""
        return np.array([bool(states) for states in self.states], dtype=bool)

    def open(self) -> NDArray[np.bool_]:
        """Whether one was found that the trace did not get over, shape (traces,)."""
        found = [bool(s) and any(v != "recovered" for v in s.values()) for s in self.states]
        return np.array(found, dtype=bool)


def told_of(columns: Mapping[str, Sequence[Any]]) -> Told:
    """What the store's columns tell, one entry a trace."""
    known: dict[tuple[Any, Any], dict[str, FindingState]] = {}
    states = []
    for key in zip(columns["modes"], columns["states"], strict=True):
        worst = known.get(key)
        if worst is None:
            worst = known[key] = worst_states(*key)
        states.append(worst)
    names = [f.name for f in fields(Told) if f.name != "states"]
    return Told(states=_objects(states), **{name: _objects(columns[name]) for name in names})


def told_together(parts: Sequence[Told]) -> Told:
    """One after the other."""
    return Told(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Told)))


def label_of(reviews: Sequence[Any]) -> float:
    """One label in [0, 1] from a trace's reviews, NaN where nobody could tell.

    Verdicts of the sample are averaged; where two disagreed and a third person decided, that
    decision counts. Hand-picked traces and later rechecks give no label: the first were not chosen
    by chance, the second answer another question.

    Args:
        reviews: marks with `verdict`, `hand_picked` and `phase`.
    """
    decided, values = float("nan"), []
    for review in reviews:
        value = _value(review)
        if value is None:
            continue
        if review.phase == _ADJUDICATION:
            decided = value
        elif counts(review):
            values.append(value)
    if isnan(decided) and values:
        return sum(values) / len(values)
    return decided


def counts(review: Any) -> bool:
    """Whether a review is one of the sample's first looks."""
    return not review.hand_picked and review.phase in _SAMPLE_PHASES


def _value(review: Any) -> float | None:
    return None if review.hand_picked else VALUE_OF.get(review.verdict)


def worst_states(modes: Sequence[str], states: Sequence[str]) -> dict[str, FindingState]:
    """Mode → its worst state in a trace: unrecovered before escalated before recovered."""
    worst: dict[str, Any] = {}
    for mode, state in zip(modes, states, strict=True):
        held = worst.get(mode)
        if held is None or _SEVERITY.get(state, 2) > _SEVERITY.get(held, 2):
            worst[mode] = state
    return worst


def _objects(values: Sequence[Any]) -> Objects:
    """An array of objects, one each: numpy would otherwise unpack tuples into columns."""
    array: Objects = np.empty(len(values), dtype=object)
    array[:] = values
    return array


_NOTHING: tuple[Any, ...] = ("", {}, (), (), {}, {}, {})
NOTHING_TOLD = Told(*(_objects([each]) for each in _NOTHING))
"""Of one row that stands for traces nobody looked at."""
