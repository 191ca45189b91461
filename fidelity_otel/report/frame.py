"""The store's frame as arrays: what a report counts and estimates over.

The store gives one row a trace; here a trace's reviews become one label, its arms one inclusion
probability, its findings one state per mode. Nothing here estimates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fidelity_otel.report.told import (
    Objects,
    Told,
    counts,
    label_of,
    told_of,
    told_together,
    worst_states,
)

__all__ = [
    "LEAST_KEPT",
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

LEAST_KEPT = 2.0**-30
"""No trace counts more: a sampler that keeps less than one in a billion is mistaken."""
_OUTCOME_LOG_ODDS = 2.0
_FINENESS, _LEVELS = 8.0, 100
_NO_ROWS: Mapping[str, list[Any]] = defaultdict(list)
_NAMED = {
    "workflow_code": "workflows",
    "release_code": "releases",
    "stratum": "strata",
    "cluster": "clusters",
}
"""Columns of numbers that stand for names, and where those are."""
_WHOLE = {*_NAMED.values(), "told"}

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Times = NDArray[np.int64]
Codes = NDArray[np.intp]


class FrameSource(Protocol):
    """What a report needs of the store to make its frame."""

    def frame_columns(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> dict[str, list[Any]]:
        """All traces that started in [since_ns, until_ns), one list a column."""
        ...


@dataclass(frozen=True)
class Frame:
    """Traces as parallel arrays of length N, oldest first.

    `workflow_code`, `release_code`, `stratum` and `cluster` are places in `workflows`, `releases`,
    `strata` and `clusters`, and `row` is one in `told`: a part of a frame shares these with it.
    `pi` is the combined inclusion probability, NaN while a trace's window is not drawn; `answered`
    is the probability with which a request became a verdict, where there is one: π, times that of
    it being here at all, times the response rate of the trace's stratum. `label` is
    the reviewers' mean verdict (1 right, ½ partly, 0 wrong), NaN without one. `unsure` traces were
    selected and looked at, and nobody could tell. `prediction` orders traces
    by how likely they are right. `states` maps mode → worst state; `troubled` traces have one,
    `recovered` ones got over all of theirs. `duration` is in seconds, NaN where unknown.

    `seen` is how many traces a row is: more than one where nobody looked at them, none where it
    stands for requests that were never seen. `units` is how many requests it stands for: Σ 1/u over
    its traces, u the probability with which each was kept. Counts are of traces, shares
    and estimates of requests.
    """

    row: Codes
    workflow_code: Codes
    release_code: Codes
    stratum: Codes
    cluster: Codes
    start_ns: Times
    duration: Floats
    success: Flags
    prediction: Floats
    loud: Flags
    troubled: Flags
    recovered: Flags
    pi: Floats
    answered: Floats
    selected: Flags
    label: Floats
    unsure: Flags
    seen: Floats
    units: Floats
    told: Told
    workflows: tuple[str, ...]
    releases: tuple[str, ...]
    strata: tuple[str, ...]
    clusters: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def traces(self) -> int:
        """How many traces the rows are."""
        return round(float(self.seen.sum()))

    def count(self, rows: Flags) -> int:
        """How many traces these rows (bool, length N) are."""
        return round(float(self.seen[rows].sum()))

    @property
    def requests(self) -> float:
        """How many requests they stand for."""
        return float(self.units.sum())

    def requests_of(self, rows: Flags) -> float:
        """How many requests these rows (bool, length N) stand for."""
        return float(self.units[rows].sum())

    @property
    def plain(self) -> Flags:
        """Rows that nobody looked at and nothing is known of later: counting them is enough."""
        said = zip(self.reviews, self.outcomes, self.outcome_labels, strict=True)
        touched = np.array([bool(r or o or labels) for r, o, labels in said], dtype=bool)
        plain: Flags = ~(self.selected | touched)
        return plain

    def take(self, rows: Flags) -> Frame:
        """The traces where `rows` (bool, length N) holds."""
        if rows.all():
            return self
        places = np.flatnonzero(rows)
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Frame(**{n: c if n in _WHOLE else c[places] for n, c in columns.items()})

    def alone(self) -> Frame:
        """The same, without the names and the words of traces that are not in it."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        for code, names in _NAMED.items():
            used, columns[code] = np.unique(columns[code], return_inverse=True)
            columns[names] = tuple(columns[names][k] for k in used)
        columns |= {"told": self.told.take(self.row), "row": np.arange(len(self))}
        return Frame(**columns)

    @cached_property
    def drawn(self) -> Flags:
        """Whether the sample of a trace's window has been drawn."""
        drawn: Flags = ~np.isnan(self.pi)
        return drawn

    @cached_property
    def judged(self) -> Flags:
        """Selected by the design and given a verdict: what an estimate may use."""
        judged: Flags = self.selected & ~np.isnan(self.label)
        return judged

    @cached_property
    def workflow(self) -> Objects:
        """Each trace's workflow by name."""
        return np.array(self.workflows, dtype=object)[self.workflow_code]

    @cached_property
    def release(self) -> Objects:
        """Each trace's release by name."""
        return np.array(self.releases, dtype=object)[self.release_code]

    @cached_property
    def trace_id(self) -> Objects:
        """Each trace's id, empty where a row stands for many."""
        return self.told.trace_id[self.row]

    @cached_property
    def states(self) -> Objects:
        """Each trace's mode → worst state."""
        return self.told.states[self.row]

    @cached_property
    def arms(self) -> Objects:
        """What each arm did with each trace."""
        return self.told.arms[self.row]

    @cached_property
    def reviews(self) -> Objects:
        """Each trace's reviews, oldest first."""
        return self.told.reviews[self.row]

    @cached_property
    def outcomes(self) -> Objects:
        """Each trace's name of an outcome → value."""
        return self.told.outcomes[self.row]

    @cached_property
    def with_outcome(self) -> Codes:
        """The places of the traces that an outcome is known of."""
        return np.flatnonzero(np.fromiter(map(bool, self.outcomes), dtype=bool, count=len(self)))

    @cached_property
    def outcome_labels(self) -> Objects:
        """Each trace's name of an outcome → label."""
        return self.told.outcome_labels[self.row]

    @cached_property
    def outcome_times(self) -> Objects:
        """Each trace's name of an outcome → when it was observed."""
        return self.told.outcome_times[self.row]


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
    told = told_of(columns)
    selected = np.asarray(columns["selected"], dtype=bool).reshape(count)
    label = np.array([label_of(r) if r else np.nan for r in told.reviews], dtype=np.float64)
    unsure = np.isnan(label)
    unsure[unsure] = [any(map(counts, each)) for each in told.reviews[unsure]]
    success = np.asarray(columns["reported_success"], dtype=bool).reshape(count)
    pi = np.array([np.nan if p is None else p for p in columns["pi"]], dtype=np.float64)
    units = 1.0 / _upstream(columns, count)
    strata, stratum = _codes(columns["stratum"])
    workflows, workflow = _codes(columns["workflow"])
    releases, release = _codes(columns["release"])
    clusters, cluster = _codes(_clusters(columns))
    troubled, open_ = told.troubled(), told.open()
    return Frame(
        row=np.arange(count),
        workflow_code=workflow,
        release_code=release,
        stratum=stratum,
        cluster=cluster,
        start_ns=np.asarray(columns["start_ns"], dtype=np.int64),
        duration=_durations(columns, count),
        success=success,
        prediction=_predicted(np.asarray(columns["risk"], dtype=np.float64), columns["outcomes"]),
        loud=~success | open_,
        troubled=troubled,
        recovered=troubled & ~open_,
        pi=pi,
        answered=_answered(pi / units, selected, selected & ~np.isnan(label), stratum),
        selected=selected,
        label=label,
        unsure=unsure,
        seen=np.ones(count),
        units=units,
        told=told,
        workflows=workflows,
        releases=releases,
        strata=strata,
        clusters=clusters,
    )


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames as one, oldest rows first; response rates are those of all together."""
    if len(frames) <= 1:
        return frames[0] if frames else frame_of(_NO_ROWS)
    columns: dict[str, Any] = {
        f.name: np.concatenate([getattr(each, f.name) for each in frames])
        for f in fields(Frame)
        if f.name not in {*_WHOLE, *_NAMED, "row"}
    }
    before = np.cumsum([0, *(len(each.told) for each in frames)])
    columns["row"] = np.concatenate([f.row + n for f, n in zip(frames, before, strict=False)])
    whole: dict[str, Any] = {"told": told_together([each.told for each in frames])}
    for code, names in _NAMED.items():
        number: dict[str, int] = {}
        here = [[number.setdefault(n, len(number)) for n in getattr(f, names)] for f in frames]
        parts = [
            np.array(h, dtype=np.intp)[getattr(f, code)] for h, f in zip(here, frames, strict=True)
        ]
        columns[code], whole[names] = np.concatenate(parts), tuple(number)
    order = np.argsort(columns["start_ns"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    judged = columns["selected"] & ~np.isnan(columns["label"])
    chance = columns["pi"] / columns["units"]
    columns["answered"] = _answered(chance, columns["selected"], judged, columns["stratum"])
    return Frame(**columns, **whole)


def _upstream(columns: Mapping[str, list[Any]], count: int) -> Floats:
    """The probability with which each trace was kept; 1 where nothing is said of it."""
    held = columns.get("upstream")
    if not held:
        return np.ones(count)
    kept = np.asarray(held, dtype=np.float64)
    kept = np.where(kept > 0, kept, 1.0)  # of no probability: nobody could have kept it
    upstream: Floats = np.clip(kept, LEAST_KEPT, 1.0)
    return upstream


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


def _codes(names: Sequence[str]) -> tuple[tuple[str, ...], Codes]:
    """The distinct names, and each one's number."""
    number: dict[str, int] = {}
    codes = [number.setdefault(name, len(number)) for name in names]
    return tuple(number), np.array(codes, dtype=np.intp)


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
