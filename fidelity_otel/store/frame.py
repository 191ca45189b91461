"""The frame: all traces, few columns, for estimates. Read in one pass, column by column."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, case, select

from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, chunks, clip
from fidelity_otel.store.decisions import split_marks
from fidelity_otel.store.folds import fold_of, looked_at, whole_folds

__all__ = [
    "ArmMark",
    "FramePart",
    "FrameRow",
    "FrameStore",
    "ReviewMark",
    "between",
    "columns_of",
]


class ArmMark(NamedTuple):
    """One arm of a drawn trace: π, and whether it was selected."""

    arm: str
    probability: float
    selected: bool
    stratum: str


class ReviewMark(NamedTuple):
    """One verdict as the frame carries it, oldest first within a trace."""

    reviewer: str
    verdict: str
    mode: str | None
    hand_picked: bool
    phase: str
    finished_ns: int


class FrameRow(msgspec.Struct, frozen=True):
    """One trace of the frame; `frame_columns` gives the same names as columns.

    `pi` is the probability that the trace was selected by any arm, 1 − ∏(1 − π_a): None while its
    window has not been drawn. `upstream` is the probability with which it is here at all, as in
    `Decision`. `outcomes` maps name → value of the latest not superseded,
    `outcome_times` when it was observed (received, where that is not known), ns.
    """

    trace_id: str
    workflow: str
    service: str
    release: str
    stratum: str
    window: str
    start_ns: int
    end_ns: int
    conversation_id: str | None
    user_id: str | None
    reported_success: bool
    risk: float
    size: float
    flagged: bool
    upstream: float
    modes: tuple[str, ...]
    states: tuple[str, ...]
    arms: tuple[ArmMark, ...]
    pi: float | None
    selected: bool
    reviews: tuple[ReviewMark, ...]
    outcomes: Mapping[str, float | None]
    outcome_labels: Mapping[str, str | None]
    outcome_times: Mapping[str, int]


_PLAIN = (
    "trace_id",
    "workflow",
    "service",
    "release",
    "stratum",
    "window",
    "start_ns",
    "end_ns",
    "end_ns",
    "conversation_id",
    "user_id",
    "reported_success",
    "risk",
    "size",
    "flagged",
    "upstream",
)
_FLAGS = frozenset({"reported_success", "flagged"})  # SQLite says 0 and 1
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class FramePart(NamedTuple):
    """A part of the frame: columns as of `frame_columns`, or the counts of a folded window.

    `counted` says that folds among the parts count these rows as well; `window` is the fold's.
    """

    columns: dict[str, list[Any]]
    counted: bool = False
    tally: bytes = b""
    window: str = ""


class FrameStore(Base):
    """The frame of the store."""

    def frame_columns(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        *,
        workflow: str | None = None,
    ) -> dict[str, list[Any]]:
        """All traces that started in [since_ns, until_ns), oldest first, as columns.

        Returns:
            A list per field of `FrameRow`, all of one length.
        """
        bounds = between(since_ns, until_ns)
        if workflow is not None:
            bounds.append(schema.traces.c.workflow == workflow)
        with self._db.read() as connection:
            marks = _marks(connection, bounds)
            return _columns(_rows(connection, _traces(bounds)), marks)

    def frame_parts(
        self, since_ns: int | None = None, until_ns: int | None = None, *, rows: int = 20_000
    ) -> Iterator[FramePart]:
        """The same frame in parts, however many traces there are: a consistent view of it.

        Windows that are folded, and whose traces all started within the bounds, come as their fold
        and the rows of those of their traces that were looked at; all other traces row by row.

        Args:
            since_ns: traces that started at or after; all where None.
            until_ns: traces that started before.
            rows: at most so many in one part.
        """
        t, w = schema.traces, schema.windows
        bounds = between(since_ns, until_ns)
        with self._db.read() as connection:
            folds = [fold_of(row) for row in connection.execute(whole_folds(since_ns, until_ns))]
            windows = {fold.window for fold in folds}
            for fold in folds:
                yield FramePart({}, tally=fold.tally, window=fold.window)
            if windows:
                seen = [*bounds, t.c.trace_id.in_(looked_at())]
                for columns in _chunks(connection, seen, rows, windows):
                    yield FramePart(columns, counted=True)
            every = connection.scalars(select(w.c.window))
            rest = [name for name in every if name not in windows]
            for names in chunks(rest) if windows else [None]:
                mine = bounds if names is None else [*bounds, t.c.window.in_(names)]
                for columns in _chunks(connection, mine, rows):
                    yield FramePart(columns)

    def window_columns(self, window: str, *, rows: int) -> Iterator[dict[str, list[Any]]]:
        """A window's traces as of `frame_columns`, so many at a time."""
        with self._db.read() as connection:
            yield from _chunks(connection, [schema.traces.c.window == window], rows)

    def frame(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        *,
        workflow: str | None = None,
    ) -> list[FrameRow]:
        """The same as `frame_columns`, a row each: for tests and small frames."""
        columns = self.frame_columns(since_ns, until_ns, workflow=workflow)
        names = FrameRow.__struct_fields__
        return [FrameRow(*row) for row in zip(*(columns[n] for n in names), strict=True)]


class _Marks(NamedTuple):
    """What other tables say of traces, by trace id."""

    arms: dict[str, _Arms]
    reviews: dict[str, tuple[ReviewMark, ...]]
    values: dict[str, dict[str, float | None]]
    labels: dict[str, dict[str, str | None]]
    times: dict[str, dict[str, int]]


def between(since_ns: int | None, until_ns: int | None) -> list[ColumnElement[bool]]:
    """The conditions that a trace started in [since_ns, until_ns)."""
    start = schema.traces.c.start_ns
    bounds: list[ColumnElement[bool]] = []
    if since_ns is not None:
        bounds.append(start >= clip(since_ns))
    if until_ns is not None:
        bounds.append(start < clip(until_ns))
    return bounds


def columns_of(connection: Connection, trace_ids: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of these traces, as of `frame_columns`: few enough for one IN list."""
    bounds = [schema.traces.c.trace_id.in_(trace_ids)]
    return _columns(_rows(connection, _traces(bounds)), _marks(connection, bounds))


def _traces(bounds: Sequence[ColumnElement[bool]]) -> Select[Any]:
    t = schema.traces
    columns = [*(t.c[name] for name in _PLAIN), t.c.marks]
    return select(*columns).where(*bounds).order_by(t.c.start_ns, t.c.trace_id)


def _marks(connection: Connection, bounds: Sequence[ColumnElement[bool]]) -> _Marks:
    """The arms, reviews and outcomes of all traces within the bounds."""
    t, a, r, o = schema.traces, schema.arms, schema.reviews, schema.outcomes

    def within(query: Any, table: Any) -> Any:
        return query.join(t, and_(t.c.trace_id == table.c.trace_id, *bounds)) if bounds else query

    marks = (r.c.reviewer, r.c.verdict, r.c.mode, r.c.hand_picked, r.c.phase, r.c.finished_ns)
    verdicts = select(r.c.trace_id, *marks).order_by(r.c.finished_ns, r.c.id)
    # In order of observation, so that the latest of a name is what stays.
    observed = case((o.c.observed_ns > 0, o.c.observed_ns), else_=o.c.received_ns)
    latest = (
        select(o.c.trace_id, o.c.name, o.c.value, o.c.label, observed)
        .where(o.c.superseded.is_(False), o.c.trace_id.is_not(None))
        .order_by(o.c.observed_ns, o.c.received_ns, o.c.id)
    )
    drawn = select(a.c.trace_id, a.c.arm, a.c.probability, a.c.selected, a.c.stratum)
    arms = _arms(_rows(connection, within(drawn, a)))
    reviews: dict[str, tuple[ReviewMark, ...]] = {}
    for trace_id, reviewer, verdict, mode, by_hand, phase, at in _rows(
        connection, within(verdicts, r)
    ):
        mark = ReviewMark(reviewer, verdict, mode, bool(by_hand), phase, at)
        held = reviews.get(trace_id)
        reviews[trace_id] = (mark,) if held is None else (*held, mark)
    values: defaultdict[str, dict[str, float | None]] = defaultdict(dict)
    labels: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    times: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for trace_id, name, value, label, time in _rows(connection, within(latest, o)):
        values[trace_id][name] = value
        labels[trace_id][name] = label
        times[trace_id][name] = time
    return _Marks(arms, reviews, values, labels, times)


def _chunks(
    connection: Connection,
    bounds: Sequence[ColumnElement[bool]],
    most: int,
    windows: Container[str] | None = None,
) -> Iterator[dict[str, list[Any]]]:
    """Columns of the traces within the bounds (and of these windows), so many at a time."""
    marks = _marks(connection, bounds)
    result: Any = connection.execution_options(stream_results=True).execute(_traces(bounds))
    place = _PLAIN.index("window")
    while rows := result.fetchmany(most):
        mine = rows if windows is None else [row for row in rows if row[place] in windows]
        if mine:
            yield _columns(mine, marks)
    result.close()


def _columns(rows: Sequence[tuple[Any, ...]], marks: _Marks) -> dict[str, list[Any]]:
    plain = list(zip(*rows, strict=True)) if rows else [()] * (len(_PLAIN) + 1)
    frame: dict[str, list[Any]] = {
        name: list(map(bool, column)) if name in _FLAGS else list(column)
        for name, column in zip((*_PLAIN, "marks"), plain, strict=True)
    }
    ids = frame["trace_id"]
    split = [_split(m) for m in frame.pop("marks")]
    frame["modes"] = [s[0] for s in split]
    frame["states"] = [s[1] for s in split]
    undrawn = _Arms((), None, selected=False)
    of_arms = [marks.arms.get(i, undrawn) for i in ids]
    frame["arms"] = [x.arms for x in of_arms]
    frame["pi"] = [x.pi for x in of_arms]
    frame["selected"] = [x.selected for x in of_arms]
    frame["reviews"] = [marks.reviews.get(i, ()) for i in ids]
    for name, told in (
        ("outcomes", marks.values),
        ("outcome_labels", marks.labels),
        ("outcome_times", marks.times),
    ):
        frame[name] = [told.get(i, _NOTHING) for i in ids] if told else [_NOTHING] * len(ids)
    return frame


_split = lru_cache(4096)(split_marks)


class _Arms(NamedTuple):
    """What the draw did with a trace; one object for all traces with which it did the same."""

    arms: tuple[ArmMark, ...]
    pi: float | None
    selected: bool


def _rows(connection: Connection, query: Any) -> list[tuple[Any, ...]]:
    """The driver's own rows, without a Row object each: a frame has 10^5 of them and more."""
    result: Any = connection.execute(query)
    rows: list[tuple[Any, ...]] = result.cursor.fetchall()
    result.close()
    return rows


def _arms(rows: list[tuple[Any, ...]]) -> dict[str, _Arms]:
    found: dict[str, tuple[ArmMark, ...]] = {}
    seen: dict[tuple[Any, ...], tuple[ArmMark, ...]] = {}
    joined: dict[tuple[ArmMark, ...], tuple[ArmMark, ...]] = {}
    for row in rows:
        mark = seen.get(row[1:])
        if mark is None:
            mark = (ArmMark(row[1], row[2], bool(row[3]), row[4]),)
            seen[row[1:]] = mark
        held = found.get(row[0])
        if held is None:
            found[row[0]] = mark
        else:
            # The same order for all, whatever the database's: estimation before discovery.
            both = tuple(sorted((*held, *mark), reverse=True))
            found[row[0]] = joined.setdefault(both, both)
    made = {
        arms: _Arms(arms, _combined(arms), any(a.selected for a in arms))
        for arms in set(found.values())
    }
    return {trace_id: made[arms] for trace_id, arms in found.items()}


def _combined(arms: tuple[ArmMark, ...]) -> float:
    """1 − ∏(1 − π_a): the arms draw independently."""
    missed = 1.0
    for arm in arms:
        missed *= 1.0 - arm.probability
    return 1.0 - missed
