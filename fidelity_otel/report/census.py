"""All traces of a report: rows where somebody looked, counts of all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fidelity_otel.report.frame import Flags, Floats, Frame, Times, frame_of, joined
from fidelity_otel.report.tally import HOUR_NS, Tally, decode, encode, hourly_of, summed, tally_of
from fidelity_otel.store.folds import Fold, WindowState

__all__ = ["Census", "CensusSource", "FoldSource", "fold_windows", "read_census"]

MOST_ROWS = 20_000
"""More traces than this are not kept one by one, but where somebody looked."""
FOLD_AT_ONCE = 1000
_DAY_NS = 86_400 * 10**9


class Part(Protocol):
    """As `store.FramePart`."""

    @property
    def columns(self) -> dict[str, list[Any]]:
        """As of `frame_columns`."""
        ...

    @property
    def counted(self) -> bool:
        """Whether the counts among the parts hold these rows as well."""
        ...

    @property
    def tally(self) -> bytes:
        """The counts of a window; empty where there are rows."""
        ...

    @property
    def window(self) -> str:
        """Which window's counts they are."""
        ...


class CensusSource(Protocol):
    """What a census needs of the store."""

    def frame_parts(
        self, since_ns: int | None = None, until_ns: int | None = None, *, rows: int = ...
    ) -> Iterator[Part]:
        """All traces that started in [since_ns, until_ns), in parts."""
        ...


class FoldSource(Protocol):
    """What folding needs of the store."""

    def windows_to_fold(self, *, least: int, before_ns: int) -> Sequence[WindowState]:
        """Drawn windows without a fold."""
        ...

    def window_columns(self, window: str, *, rows: int) -> Iterator[dict[str, list[Any]]]:
        """A window's traces, so many at a time."""
        ...

    def save_fold(self, fold: Fold, read: WindowState) -> bool:
        """Keep a window's counts, unless it has changed since."""
        ...


@dataclass(frozen=True, slots=True)
class Census:
    """All traces: `looked` row by row, the others counted in `tally`."""

    looked: Frame
    tally: Tally

    @property
    def first_ns(self) -> int | None:
        """When the first trace began; None without traces."""
        return self._end(np.min, min, self.tally.first_ns)

    @property
    def last_ns(self) -> int | None:
        """When the last trace began."""
        return self._end(np.max, max, self.tally.last_ns)

    def _end(self, of_rows: Any, of_both: Any, counted: int) -> int | None:
        ends = [int(of_rows(self.looked.start_ns))] if len(self.looked) else []
        if len(self.tally):
            ends.append(counted)
        return of_both(ends) if ends else None

    def frame(self, edges: Sequence[int]) -> Frame:
        """All traces as rows of a frame; counts are told apart at the edges (ns, whole hours)."""
        if not len(self.tally):
            return self.looked
        return joined([self.looked, self.tally.rows(edges)])

    def durations(self) -> Mapping[str, tuple[Floats, Floats]]:
        """Workflow → durations of the counted traces in seconds, and the requests of each."""
        return self.tally.durations() if len(self.tally) else {}

    def hourly(self) -> list[tuple[str | None, Times, Floats, Floats]]:
        """Per workflow, and under None for all: hours (ns), their requests, the quiet ones."""
        parts = [self.tally.hourly(), hourly_of(self.looked)]
        names = sorted({name for part in parts for name in part})
        made: list[tuple[str | None, Times, Floats, Floats]] = []
        for name in (None, *names):
            mine = [
                each for part in parts for key, each in part.items() if name is None or key == name
            ]
            if not mine:
                continue
            hour, requests, quiet = (np.concatenate(column) for column in zip(*mine, strict=True))
            hours, place = np.unique(hour, return_inverse=True)
            many = np.bincount(place, requests).astype(np.float64)
            good = np.bincount(place, quiet).astype(np.float64)
            made.append((name, hours * HOUR_NS, many, good))
        return made

    def found(self) -> tuple[Counter[tuple[str, str]], dict[tuple[str, str], float]]:
        """(mode, worst state) → counted traces; and → requests that they stand for beside that."""
        return self.tally.found()


def read_census(
    source: CensusSource,
    since_ns: int | None = None,
    *,
    keep: Container[str] = (),
    most: int = MOST_ROWS,
) -> Census:
    """Read all traces that started at or after a time; memory does not grow with their number.

    Args:
        source: the store.
        since_ns: the first start time; all where None.
        keep: ids of traces that are wanted as rows in any case.
        most: so many traces are kept as rows whatever is known of them.
    """
    looked: list[Frame] = []
    waiting: list[Frame] = []
    tallies: list[Tally] = []
    without: list[Tally] = []
    thinned: set[str] = set()
    many = False
    for part in source.frame_parts(since_ns, rows=most):
        if part.tally:
            tallies.append(decode(part.tally))
            if tallies[-1].thinned:
                thinned.add(part.window)
            continue
        frame = frame_of(part.columns)
        if part.counted:
            looked.append(frame)
            known = _as_known(part.columns, thinned)
            without.append(_as_folded(known, frame if known is part.columns else None))
            continue
        waiting.append(frame)
        many = many or sum(map(len, waiting)) > most
        if many:
            tallies += [tally_of(each.take(_plain(each, keep))) for each in waiting]
            looked += [each.take(~_plain(each, keep)).alone() for each in waiting]
            waiting.clear()
    return Census(joined([*looked, *waiting]), summed(tallies, without))


def _as_known(columns: dict[str, list[Any]], thinned: Container[str]) -> dict[str, list[Any]]:
    """Rows with the head sampling that their windows' folds know of.

    A fold from before it was counted knows of none; nothing is taken out that is not in it.
    """
    upstream, windows = columns["upstream"], columns["window"]
    known = [p if w in thinned else 1.0 for p, w in zip(upstream, windows, strict=True)]
    return columns if known == upstream else {**columns, "upstream": known}


def _as_folded(columns: dict[str, list[Any]], frame: Frame | None = None) -> Tally:
    """The counts of rows as a fold holds them, whatever was told of the traces before or since.

    Outcomes move a prediction, and come after a window was folded as well as before. A fold knows
    of none, so that rows are taken out of it where they were counted.

    Args:
        columns: the rows.
        frame: made of them, if there is one.
    """
    if frame is None or any(columns["outcomes"]):
        frame = frame_of({**columns, "outcomes": [{}] * len(columns["trace_id"])})
    return tally_of(frame)


def _plain(frame: Frame, keep: Container[str]) -> Flags:
    wanted = np.array([trace in keep for trace in frame.trace_id], dtype=bool)
    plain: Flags = frame.plain & ~wanted
    return plain


def fold_windows(store: FoldSource, *, now_ns: int) -> int:
    """Count what drawn windows hold, once: large ones at once, small ones after a day.

    Args:
        store: where they are, and where the counts go.
        now_ns: the time.

    Returns:
        How many windows were folded.
    """
    folded = 0
    for state in store.windows_to_fold(least=FOLD_AT_ONCE, before_ns=now_ns - _DAY_NS):
        parts = store.window_columns(state.window, rows=MOST_ROWS)
        tally = summed([_as_folded(columns) for columns in parts]).compact()
        counted = Fold(state.window, tally.first_ns, tally.last_ns, encode(tally))
        folded += store.save_fold(counted, state)
    return folded
