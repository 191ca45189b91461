"""The frame: all traces, few columns, for estimates. Read in one pass, column by column."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, and_, select

from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, clip
from fidelity_otel.store.decisions import split_marks

__all__ = ["ArmMark", "FrameRow", "FrameStore", "ReviewMark"]


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
    window has not been drawn. `outcomes` maps name → value of the latest not superseded.
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
    modes: tuple[str, ...]
    states: tuple[str, ...]
    arms: tuple[ArmMark, ...]
    pi: float | None
    selected: bool
    reviews: tuple[ReviewMark, ...]
    outcomes: Mapping[str, float | None]
    outcome_labels: Mapping[str, str | None]


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
)
_FLAGS = frozenset({"reported_success", "flagged"})  # SQLite says 0 and 1
_NOTHING: Mapping[str, Any] = MappingProxyType({})


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
        t, a, r, o = schema.traces, schema.arms, schema.reviews, schema.outcomes
        bounds = []
        if since_ns is not None:
            bounds.append(t.c.start_ns >= clip(since_ns))
        if until_ns is not None:
            bounds.append(t.c.start_ns < clip(until_ns))
        if workflow is not None:
            bounds.append(t.c.workflow == workflow)

        def within(query: Any, table: Any) -> Any:
            if not bounds:
                return query
            return query.join(t, and_(t.c.trace_id == table.c.trace_id, *bounds))

        marks = (r.c.reviewer, r.c.verdict, r.c.mode, r.c.hand_picked, r.c.phase, r.c.finished_ns)
        verdicts = select(r.c.trace_id, *marks).order_by(r.c.finished_ns, r.c.id)
        # In order of observation, so that the latest of a name is what stays.
        latest = (
            select(o.c.trace_id, o.c.name, o.c.value, o.c.label)
            .where(o.c.superseded.is_(False), o.c.trace_id.is_not(None))
            .order_by(o.c.observed_ns, o.c.received_ns, o.c.id)
        )
        columns = [*(t.c[name] for name in _PLAIN), t.c.marks]
        traces = select(*columns).where(*bounds).order_by(t.c.start_ns, t.c.trace_id)
        drawn = select(a.c.trace_id, a.c.arm, a.c.probability, a.c.selected, a.c.stratum)
        with self._db.read() as connection:
            rows = _rows(connection, traces)
            arms = _arms(_rows(connection, within(drawn, a)))
            reviews: dict[str, tuple[ReviewMark, ...]] = {}
            for trace_id, *mark in connection.execute(within(verdicts, r)):
                reviews[trace_id] = (*reviews.get(trace_id, ()), ReviewMark._make(mark))
            values: defaultdict[str, dict[str, float | None]] = defaultdict(dict)
            labels: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
            for trace_id, name, value, label in _rows(connection, within(latest, o)):
                values[trace_id][name] = value
                labels[trace_id][name] = label
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
        of_arms = [arms.get(i, undrawn) for i in ids]
        frame["arms"] = [x.arms for x in of_arms]
        frame["pi"] = [x.pi for x in of_arms]
        frame["selected"] = [x.selected for x in of_arms]
        frame["reviews"] = [reviews.get(i, ()) for i in ids]
        frame["outcomes"] = [values.get(i, _NOTHING) for i in ids]
        frame["outcome_labels"] = [labels.get(i, _NOTHING) for i in ids]
        return frame

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
