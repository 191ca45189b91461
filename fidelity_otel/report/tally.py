"""Traces that nobody looked at, as counts: all that an estimate needs of them.

A million traces are a few thousand counts: per hour, workflow, release, stratum, what they reported
and what was predicted. Counts add up over windows, and what was counted can be taken out again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fidelity_otel.errors import StoreError
from fidelity_otel.report.frame import Codes, Flags, Floats, Frame, level_of, prediction_at
from fidelity_otel.report.told import NOTHING_TOLD

__all__ = ["HOUR_NS", "NOTHING", "Tally", "decode", "encode", "hourly_of", "summed", "tally_of"]

HOUR_NS = 3600 * 10**9
Matrix = NDArray[np.int64]

_SUCCESS, _LOUD, _TROUBLED, _RECOVERED, _DRAWN = 1, 2, 4, 8, 16
_STATES = ("recovered", "escalated", "unrecovered")
_CELL, _TIME, _MODE = 7, 4, 4  # columns of each matrix; the last one counts
_FINENESS = np.log(1.02)  # a duration is known to a hundredth
_VERSION, _WITH_UNSEEN = 1, 2  # the second where a head sampler dropped something
_COUNTED = (("cells", _CELL), ("times", _TIME), ("modes", _MODE))
_WIDTHS = {
    _VERSION: _COUNTED,
    _WITH_UNSEEN: (*_COUNTED, *((f"unseen_{name}", width) for name, width in _COUNTED)),
}
_PART = 1.0 / (1 << 16)  # unseen requests are counted in these: their sums are exact
_DENSE = 4  # so many places a row are counted through rather than sorted


def _none(columns: int) -> Matrix:
    return np.zeros((0, columns), dtype=np.int64)


_NAMED = ((1, 2, 3), (1,), (1,)) * 2
"""The columns of each matrix that are places in `names`."""
_NO_UNSEEN: tuple[Matrix, ...] = (_none(_CELL), _none(_TIME), _none(_MODE))


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts, a row of each matrix a group of traces; the last column is how many.

    Rows may be alike, and counts below zero where something was taken out, until `compact`.
    `cells`: hour since the epoch, workflow, release, stratum, flags, level of the prediction.
    `times`: hour, workflow, bin of the duration. `modes`: hour, mode, state. Workflow, release,
    stratum and mode are places in `names`.

    `unseen` are three matrices like these, of the requests that traces stand for beside their own
    because a head sampler dropped those: 1/u − 1 of each, in parts of 2^-16.
    """

    names: tuple[str, ...]
    cells: Matrix
    times: Matrix
    modes: Matrix
    first_ns: int
    last_ns: int
    unseen: tuple[Matrix, ...] = _NO_UNSEEN

    def __len__(self) -> int:
        return int(self.cells[:, -1].sum())

    @property
    def thinned(self) -> bool:
        """Whether a head sampler had dropped requests that these traces stand for."""
        return len(self.unseen[0]) > 0

    def compact(self) -> Tally:
        """The same counts, a row for each group that has any."""
        cells, times, modes, *unseen = map(_grouped, self.matrices())
        return Tally(self.names, cells, times, modes, self.first_ns, self.last_ns, tuple(unseen))

    def matrices(self) -> tuple[Matrix, ...]:
        """Cells, times and modes, of traces and then of unseen requests."""
        return (self.cells, self.times, self.modes, *self.unseen)

    def hourly(self) -> dict[str, tuple[Matrix, Floats, Floats]]:
        """Workflow → hours since the epoch, requests of each, and the quiet ones among them.

        Quiet is one that reported success and has no finding but recovered ones.
        """
        cells: Matrix = self.cells
        units: Matrix | Floats = self.cells[:, -1]
        if self.thinned:
            cells = _stacked([cells, self.unseen[0]])
            units = np.r_[units, self.unseen[0][:, -1] * _PART].astype(np.float64)
        hour, workflow, *_, flags, _, _ = cells.T
        return _by_hour(hour, workflow, units, (flags & _LOUD) == 0, self.names)

    def rows(self, edges: Sequence[int]) -> Frame:
        """The counts as rows of a frame, those between two edges together.

        Args:
            edges: times in ns at which counts must be told apart, whole hours.
        """
        hours = np.array(sorted({edge // HOUR_NS for edge in edges}), dtype=np.int64)
        cells = _between(self.cells, hours)
        seen = cells[:, -1].astype(np.float64)
        if not self.thinned:
            return self._frame(cells, seen, seen)
        unseen = _between(self.unseen[0], hours)
        none, more = np.zeros(len(unseen)), unseen[:, -1] * _PART
        return self._frame(_stacked([cells, unseen]), np.r_[seen, none], np.r_[seen, more])

    def _frame(self, cells: Matrix, seen: Floats, units: Floats) -> Frame:
        count = len(cells)
        flags = cells[:, 4]
        success, loud = (flags & _SUCCESS) > 0, (flags & _LOUD) > 0
        used, stratum = np.unique(cells[:, 3], return_inverse=True)
        return Frame(
            row=np.zeros(count, dtype=np.intp),
            workflow_code=cells[:, 1].astype(np.intp),
            release_code=cells[:, 2].astype(np.intp),
            stratum=stratum.astype(np.intp),
            cluster=np.zeros(count, dtype=np.intp),
            start_ns=cells[:, 0] * HOUR_NS,
            duration=np.full(count, np.nan),
            success=success,
            prediction=prediction_at(cells[:, 5]),
            loud=loud,
            troubled=(flags & _TROUBLED) > 0,
            recovered=(flags & _RECOVERED) > 0,
            pi=np.where((flags & _DRAWN) > 0, 0.0, np.nan),
            answered=np.full(count, np.nan),
            selected=np.zeros(count, dtype=bool),
            label=np.full(count, np.nan),
            unsure=np.zeros(count, dtype=bool),
            seen=seen,
            units=units,
            told=NOTHING_TOLD,
            workflows=self.names,
            releases=self.names,
            strata=tuple(self.names[k] for k in used),
            clusters=("",),
        )

    def durations(self) -> dict[str, tuple[Floats, Floats]]:
        """Workflow → durations in seconds (to a hundredth of themselves), and requests of each."""
        found: dict[str, tuple[Floats, Floats]] = {}
        each, more = (_grouped(m[:, 1:]) for m in (self.times, self.unseen[1]))
        both = np.concatenate([each, more])
        units = np.r_[each[:, 2].astype(np.float64), more[:, 2] * _PART]
        for workflow in np.unique(each[:, 0]):
            mine = both[:, 0] == workflow
            found[self.names[workflow]] = (np.exp(both[mine, 1] * _FINENESS), units[mine])
        return found

    def found(self) -> tuple[Counter[tuple[str, str]], dict[tuple[str, str], float]]:
        """(mode, worst state) → traces; and → requests that they stand for beside their own."""
        traces, unseen = (
            {(self.names[m], _STATES[s]): int(n) for m, s, n in _grouped(matrix[:, 1:])}
            for matrix in (self.modes, self.unseen[2])
        )
        return Counter(traces), {key: n * _PART for key, n in unseen.items()}


def _between(cells: Matrix, hours: Matrix) -> Matrix:
    """Cells between two of these hours as one, at the first of their own."""
    cells = cells.copy(order="K")
    place = np.searchsorted(hours, cells[:, 0], side="right")
    first = np.full(len(hours) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, place, cells[:, 0])
    cells[:, 0] = first[place]
    return _grouped(cells)


def _sums(place: Matrix, values: Matrix | Floats, size: int) -> Floats:
    return np.bincount(place, values, minlength=size).astype(np.float64)


def hourly_of(frame: Frame) -> dict[str, tuple[Matrix, Floats, Floats]]:
    """The same as a tally's `hourly`, of a frame."""
    hour = frame.start_ns // HOUR_NS
    return _by_hour(hour, frame.workflow_code, frame.units, ~frame.loud, frame.workflows)


def _by_hour(
    hour: Matrix, workflow: Codes, units: Matrix | Floats, quiet: Flags, names: Sequence[str]
) -> dict[str, tuple[Matrix, Floats, Floats]]:
    if not len(hour):
        return {}
    # Only hours that occur: one wrong clock would make the span between first and last huge.
    hours = np.unique(hour[np.flatnonzero(np.diff(hour, prepend=hour[0] - 1))])
    column = np.searchsorted(hours, hour)
    width = len(hours)
    place = workflow * width + column
    size = (int(workflow.max()) + 1) * width
    traces: Floats = _sums(place, units, size).reshape(-1, width)
    good: Floats = _sums(place[quiet], units[quiet], size).reshape(-1, width)
    made: dict[str, tuple[Matrix, Floats, Floats]] = {}
    codes: list[int] = np.unique(workflow).tolist()
    for code in codes:
        at = np.flatnonzero(traces[code])
        made[names[code]] = (hours[at], traces[code, at], good[code, at])
    return made


NOTHING = Tally((), _none(_CELL), _none(_TIME), _none(_MODE), 0, 0)
"""No traces."""


def tally_of(frame: Frame) -> Tally:
    """Count the traces of a frame, each once."""
    if not len(frame):
        return NOTHING
    names: dict[str, int] = {}

    def place(values: Iterable[Any]) -> Matrix:
        return np.array([names.setdefault(v, len(names)) for v in values], dtype=np.int64)

    one = np.ones(len(frame), dtype=np.int64)
    workflow = place(frame.workflows)[frame.workflow_code]
    hour = frame.start_ns // HOUR_NS
    stratum = place(frame.strata)[frame.stratum]
    release = place(frame.releases)[frame.release_code]
    flags = sum(
        flag * holds.astype(np.int64)
        for flag, holds in (
            (_SUCCESS, frame.success),
            (_LOUD, frame.loud),
            (_TROUBLED, frame.troubled),
            (_RECOVERED, frame.recovered),
            (_DRAWN, frame.drawn),
        )
    )
    level = level_of(frame.prediction)
    cells = np.column_stack([hour, workflow, release, stratum, flags, level, one])
    known = np.flatnonzero(np.isfinite(frame.duration))
    bins = np.round(np.log(np.maximum(frame.duration[known], 1e-9)) / _FINENESS).astype(np.int64)
    times = np.column_stack([hour[known], workflow[known], bins, one[known]])
    found = [
        (row, names.setdefault(mode, len(names)), _STATES.index(state))
        for row, states in enumerate(frame.states)
        for mode, state in states.items()
    ]
    at, mode, state = np.array(found, dtype=np.int64).reshape(-1, 3).T
    modes = np.column_stack([hour[at], mode, state, one[at]])
    unseen = _NO_UNSEEN
    if (frame.units > 1.0).any():
        more = np.round((frame.units - 1.0) / _PART).astype(np.int64)
        parts = ((cells, more), (times, more[known]), (modes, more[at]))
        unseen = tuple(_grouped(np.column_stack([m[:, :-1], part])) for m, part in parts)
    return Tally(
        tuple(names),
        _grouped(cells),
        _grouped(times),
        _grouped(modes),
        int(frame.start_ns.min()),
        int(frame.start_ns.max()),
        unseen,
    )


def summed(tallies: Sequence[Tally], without: Sequence[Tally] = ()) -> Tally:
    """The counts of all together, less those of `without`."""
    names: dict[str, int] = {}
    places: dict[tuple[str, ...], Matrix] = {}
    parts: list[tuple[Matrix, ...]] = []
    for sign, each in [*((1, t) for t in tallies), *((-1, t) for t in without)]:
        here = places.get(each.names)
        if here is None:
            here = np.array([names.setdefault(n, len(names)) for n in each.names], dtype=np.int64)
            places[each.names] = here
        matrices = each.matrices()
        if sign < 0 or (here != np.arange(here.size)).any():  # else all is in its place already
            matrices = tuple(matrix.copy() for matrix in matrices)
            for matrix, columns in zip(matrices, _NAMED, strict=True):
                for column in columns:
                    matrix[:, column] = here[matrix[:, column]]
                matrix[:, -1] *= sign
        parts.append(matrices)
    if not parts:
        return NOTHING
    cells, times, modes, *unseen = (_stacked(each) for each in zip(*parts, strict=True))
    whole = [t for t in tallies if len(t.cells)]
    return Tally(
        tuple(names),
        cells,
        times,
        modes,
        min((t.first_ns for t in whole), default=0),
        max((t.last_ns for t in whole), default=0),
        tuple(unseen),
    )


def _stacked(parts: Sequence[Matrix]) -> Matrix:
    """Below each other, column by column in memory: that is how they are read."""
    return np.concatenate([part.T for part in parts], axis=1).T


def _grouped(rows: Matrix) -> Matrix:
    """Rows that are alike but for the last column as one, that column summed; none of zero."""
    if not len(rows):
        return rows
    key, size = _packed(rows[:, :-1])
    if size <= _DENSE * len(rows):
        units = _sums(key, rows[:, -1], size)
        some = np.zeros(size, dtype=np.intp)
        some[key] = np.arange(len(rows))  # any row of a group will do: they are alike
        groups = np.flatnonzero(units > 0)
        made = rows[some[groups]]
        made[:, -1] = units[groups]
        return made
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0])
    made = rows[order[starts]]
    made[:, -1] = np.add.reduceat(rows[order, -1], starts)
    return made[made[:, -1] > 0]


def _packed(columns: Matrix) -> tuple[Matrix, int]:
    """One number a row, equal where the rows are, and a bound that all are below."""
    key = np.zeros(len(columns), dtype=np.int64)
    size = 1
    for column in columns.T:
        low, high = int(column.min()), int(column.max())
        width = high - low + 1
        if size * width >= 1 << 62:  # too many to count through: number those that occur
            key = np.unique(key, return_inverse=True)[1].astype(np.int64)
            size = int(key.max()) + 1
        if width > 1:
            key *= width
            key += column - low
        size *= width
    return key, size


def encode(tally: Tally) -> bytes:
    """As bytes, for the store; `decode` gives it back, in this version and later ones.

    Only what earlier versions would misread is of a version that they refuse.
    """
    version = _WITH_UNSEEN if tally.thinned else _VERSION
    matrices = {
        name: matrix.astype("<i8").tobytes()
        for (name, _), matrix in zip(_WIDTHS[version], tally.matrices(), strict=False)
    }
    span = {"first_ns": tally.first_ns, "last_ns": tally.last_ns}
    return msgspec.msgpack.encode({"v": version, "names": tally.names, **span, **matrices})


def decode(body: bytes) -> Tally:
    """The tally that `encode` was given.

    Raises:
        StoreError: the bytes are of a version that is not known here, or damaged.
    """
    try:
        held: Mapping[str, Any] = msgspec.msgpack.decode(body)
        if held["v"] not in _WIDTHS:
            raise StoreError(f"a fold of version {held['v']}: this fidelity-otel is too old for it")
        cells, times, modes, *unseen = (
            np.frombuffer(held[name], dtype="<i8").astype(np.int64, copy=False).reshape(-1, width)
            for name, width in _WIDTHS[held["v"]]
        )
    except (KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
        raise StoreError(f"a fold cannot be read: {error}") from error
    span = (held["first_ns"], held["last_ns"])
    return Tally(tuple(held["names"]), cells, times, modes, *span, tuple(unseen) or _NO_UNSEEN)
