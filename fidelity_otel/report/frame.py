"""The store's frame as arrays: what a report counts and estimates over.

The store gives one row a trace; here a trace's reviews become one label, its arms one inclusion
probability, its findings one state per mode. Nothing here estimates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fidelity_otel.model import FindingState

__all__ = [
    "Frame",
    "FrameSource",
    "frame_of",
    "joined",
    "label_of",
    "level_of",
    "prediction_at",
    "read_frame",
    "worst_states",
]

VALUE_OF = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
"""What a verdict counts; `cannot_tell` is not in it: it is non-response."""

_SEVERITY: dict[str, int] = {"recovered": 0, "escalated": 1, "unrecovered": 2}
_SAMPLE_PHASES = ("", "sample")
_ADJUDICATION = "adjudication"
_OUTCOME_LOG_ODDS = 2.0
_FINENESS, _LEVELS = 8.0, 100
_NO_ROWS: Mapping[str, list[Any]] = defaultdict(list)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Objects = NDArray[np.object_]
Times = NDArray[np.int64]
Codes = NDArray[np.intp]


class FrameSource(Protocol):
    """What a report needs of the store to make its frame."""

    def frame_columns(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> dict[str, list[Any]]:
        """All traces that started in [since_ns, until_ns), one list a column."""
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """Traces as parallel arrays of length N, oldest first.

    `pi` is the combined inclusion probability, NaN while a trace's window is not drawn; `answered`
    is π times the response rate of the trace's stratum, where there is a verdict. `stratum` and
    `cluster` are numbers, equal where the names are; `strata` names the former. `label` is
    the reviewers' mean verdict (1 right, ½ partly, 0 wrong), NaN without one. `unsure` traces were
    selected and looked at, and nobody could tell. `prediction` orders traces
    by how likely they are right. `states` maps mode → worst state; `troubled` traces have one,
    `recovered` ones got over all of theirs. `duration` is in seconds, NaN where unknown. `units` is
    how many traces a row stands for: more than one where nobody looked at them.
    """

    trace_id: Objects
    workflow: Objects
    release: Objects
    stratum: Codes
    cluster: Codes
    start_ns: Times
    duration: Floats
    success: Flags
    prediction: Floats
    loud: Flags
    states: Objects
    troubled: Flags
    recovered: Flags
    pi: Floats
    answered: Floats
    selected: Flags
    arms: Objects
    label: Floats
    unsure: Flags
    reviews: Objects
    outcomes: Objects
    outcome_labels: Objects
    outcome_times: Objects
    units: Floats
    strata: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.trace_id)

    @property
    def traces(self) -> int:
        """How many traces the rows stand for."""
        return round(float(self.units.sum()))

    def count(self, rows: Flags) -> int:
        """How many traces these rows (bool, length N) stand for."""
        return round(float(self.units[rows].sum()))

    @property
    def plain(self) -> Flags:
        """Rows that nobody looked at and nothing is known of later: counting them is enough."""
        touched = [bool(r) or bool(o) for r, o in zip(self.reviews, self.outcomes, strict=True)]
        told = [bool(labels) for labels in self.outcome_labels]
        plain: Flags = ~(self.selected | np.array(touched, dtype=bool) | np.array(told, dtype=bool))
        return plain

    def take(self, rows: Flags) -> Frame:
        """The traces where `rows` (bool, length N) holds."""
        if rows.all():
            return self
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Frame(**{n: c if n == "strata" else c[rows] for n, c in columns.items()})

    @property
    def drawn(self) -> Flags:
        """Whether the sample of a trace's window has been drawn."""
        drawn: Flags = ~np.isnan(self.pi)
        return drawn

    @property
    def judged(self) -> Flags:
        """Selected by the design and given a verdict: what an estimate may use."""
        judged: Flags = self.selected & ~np.isnan(self.label)
        return judged


def read_frame(
    source: FrameSource, since_ns: int | None = None, until_ns: int | None = None
) -> Frame:
    """Read the frame of a span of time, a row a trace.

    Args:
        source: the store.
        since_ns: traces that started at or after; all where None.
        until_ns: traces that started before.
    """
    return frame_of(source.frame_columns(since_ns, until_ns))


def frame_of(columns: Mapping[str, list[Any]]) -> Frame:
    """The frame in columns as the store gives them, one entry a trace."""
    count = len(columns["trace_id"])
    states = [worst_states(m, s) for m, s in zip(columns["modes"], columns["states"], strict=True)]
    reviews: list[tuple[Any, ...]] = columns["reviews"]
    selected = np.asarray(columns["selected"], dtype=bool)
    label = np.array([label_of(r) if r else np.nan for r in reviews], dtype=np.float64)
    seen = np.array([any(_counts(r) for r in each) for each in reviews], dtype=bool)
    success = np.asarray(columns["reported_success"], dtype=bool)
    pi = np.array([np.nan if p is None else p for p in columns["pi"]], dtype=np.float64)
    judged = selected.reshape(count) & ~np.isnan(label.reshape(count))
    strata, stratum = _codes(columns["stratum"])
    troubled = np.array([bool(s) for s in states], dtype=bool).reshape(count)
    open_ = np.array([any(v != "recovered" for v in s.values()) for s in states], dtype=bool)
    return Frame(
        trace_id=_objects(columns["trace_id"]),
        workflow=_objects(columns["workflow"]),
        release=_objects(columns["release"]),
        stratum=stratum,
        cluster=np.array([_number(name) for name in _clusters(columns)], dtype=np.int64),
        start_ns=np.asarray(columns["start_ns"], dtype=np.int64),
        duration=_durations(columns, count),
        success=success.reshape(count),
        prediction=_predicted(np.asarray(columns["risk"], dtype=np.float64), columns["outcomes"]),
        loud=~success.reshape(count) | open_.reshape(count),
        states=_objects(states),
        troubled=troubled,
        recovered=troubled & ~open_.reshape(count),
        pi=pi,
        answered=_answered(pi, selected.reshape(count), judged, stratum),
        selected=selected.reshape(count),
        arms=_objects(columns["arms"]),
        label=label.reshape(count),
        unsure=(seen & np.isnan(label)).reshape(count),
        reviews=_objects(reviews),
        outcomes=_objects(columns["outcomes"]),
        outcome_labels=_objects(columns["outcome_labels"]),
        outcome_times=_objects(columns["outcome_times"]),
        units=np.ones(count),
        strata=strata,
    )


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames as one, oldest rows first; response rates are those of all together."""
    if len(frames) <= 1:
        return frames[0] if frames else frame_of(_NO_ROWS)
    number: dict[str, int] = {}
    strata = [
        np.array([number.setdefault(n, len(number)) for n in f.strata], dtype=np.intp)[f.stratum]
        if f.strata
        else f.stratum
        for f in frames
    ]
    columns = {
        f.name: np.concatenate([getattr(each, f.name) for each in frames])
        for f in fields(Frame)
        if f.name not in {"strata", "stratum"}
    }
    columns["stratum"] = np.concatenate(strata)
    order = np.argsort(columns["start_ns"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    judged = columns["selected"] & ~np.isnan(columns["label"])
    columns["answered"] = _answered(columns["pi"], columns["selected"], judged, columns["stratum"])
    return Frame(**columns, strata=tuple(number))


def label_of(reviews: Sequence[Any]) -> float:
    """One label in [0, 1] from a trace's reviews, NaN where nobody could tell.

    Verdicts of the sample are averaged; where two disagreed and a third person decided, that
    decision counts. Hand-picked traces and later rechecks give no label: the first were not chosen
    by chance, the second answer another question.

    Args:
        reviews: marks with `verdict`, `hand_picked` and `phase`.
    """
    decided = [v for r in reviews if r.phase == _ADJUDICATION and (v := _value(r)) is not None]
    if decided:
        return decided[-1]
    values = [v for r in reviews if _counts(r) and (v := _value(r)) is not None]
    return sum(values) / len(values) if values else float("nan")


def _counts(review: Any) -> bool:
    return not review.hand_picked and review.phase in _SAMPLE_PHASES


def _value(review: Any) -> float | None:
    return None if review.hand_picked else VALUE_OF.get(review.verdict)


def _answered(pi: Floats, selected: Flags, judged: Flags, stratum: Codes) -> Floats:
    """π times the response rate of the stratum where there is a verdict, NaN elsewhere.

    A trace that was selected and has no verdict (skipped, timed out, nobody could tell, still
    waiting) is non-response; those with a verdict stand for it within its stratum.
    """
    answered: Floats = np.full(len(pi), np.nan)
    if judged.any():
        from fidelity_otel.stats.response import respond

        asked = selected & (pi > 0)
        answered[asked] = respond(pi[asked], judged[asked], stratum[asked]).pi
    return answered


def _predicted(risk: Floats, outcomes: Sequence[Mapping[str, float | None]]) -> Floats:
    """Predicted right share: the detectors' 1 − risk, its odds moved by late outcomes.

    Outcomes are noisy signs: they order the traces, and the estimator finds out on reviewed traces
    what that order is worth. Only the order matters, since predictions are calibrated there.
    """
    said = np.zeros(len(risk))
    for place, values in enumerate(outcomes):
        known = [v for v in values.values() if v is not None] if values else ()
        if known:
            said[place] = sum(known) / len(known) - 0.5
    right = np.clip(1.0 - risk, 1e-6, 1 - 1e-6)
    odds = right / (1.0 - right) * np.exp(2 * _OUTCOME_LOG_ODDS * np.clip(said, -0.5, 0.5))
    return prediction_at(level_of(odds / (1.0 + odds)))


def level_of(prediction: Floats) -> NDArray[np.int64]:
    """The level of a predicted share: log-odds in eighths, −100 to 100.

    Levels keep traces countable. Estimates stay unbiased however coarse a prediction is.
    """
    within = np.clip(np.nan_to_num(prediction, nan=0.5), 1e-9, 1 - 1e-9)
    steps = np.round(_FINENESS * np.log(within / (1.0 - within)))
    levels: NDArray[np.int64] = np.clip(steps, -_LEVELS, _LEVELS).astype(np.int64)
    return levels


def prediction_at(level: NDArray[np.int64]) -> Floats:
    """The predicted share of a level."""
    share: Floats = 1.0 / (1.0 + np.exp(-level / _FINENESS))
    return share


def worst_states(modes: Sequence[str], states: Sequence[str]) -> dict[str, FindingState]:
    """Mode → its worst state in a trace: unrecovered before escalated before recovered."""
    worst: dict[str, Any] = {}
    for mode, state in zip(modes, states, strict=True):
        held = worst.get(mode)
        if held is None or _SEVERITY.get(state, 2) > _SEVERITY.get(held, 2):
            worst[mode] = state
    return worst


def _codes(names: Sequence[str]) -> tuple[tuple[str, ...], Codes]:
    """The distinct names, and each one's number."""
    number: dict[str, int] = {}
    codes = [number.setdefault(name, len(number)) for name in names]
    return tuple(number), np.array(codes, dtype=np.intp)


def _number(name: str) -> int:
    """A number for a name, the same in every frame."""
    digest = blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _clusters(columns: Mapping[str, list[Any]]) -> list[str]:
    """Traces of one conversation, or else of one user, are not independent of each other."""
    users = columns.get("user_id") or [None] * len(columns["trace_id"])
    return [
        f"c:{conversation}" if conversation else f"u:{user}" if user else f"t:{trace}"
        for conversation, user, trace in zip(
            columns["conversation_id"], users, columns["trace_id"], strict=True
        )
    ]


def _durations(columns: Mapping[str, list[Any]], count: int) -> Floats:
    ends = columns.get("end_ns")
    if not ends:
        return np.full(count, np.nan)
    span = np.asarray(ends, dtype=np.float64) - np.asarray(columns["start_ns"], dtype=np.float64)
    seconds: Floats = np.where(span >= 0, span / 1e9, np.nan)
    return seconds


def _objects(values: Sequence[Any]) -> Objects:
    """An array of objects, one each: numpy would otherwise unpack tuples into columns."""
    array: Objects = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        array[place] = value
    return array
