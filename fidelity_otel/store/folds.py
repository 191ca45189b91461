"""Folds: what a drawn window holds, counted once, so that no estimate reads its traces again.

A fold counts all traces of its window. Traces that somebody looked at (selected, reviewed, with an
outcome, of a shadow pair) are read one by one as well, and whoever reads takes them out of the
fold's counts. So only a trace that is stored anew, as a later revision, makes a fold wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    delete,
    func,
    insert,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.sql.selectable import CompoundSelect

from fidelity_otel.semconv import SHADOW_KEYS
from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, chunks, clip, compress, decompress

__all__ = ["Fold", "FoldStore", "WindowState", "fold_of", "looked_at", "unfold", "whole_folds"]


class WindowState(NamedTuple):
    """Of a window that may be folded: how many traces, and of which revisions altogether."""

    window: str
    traces: int
    revisions: int


class Fold(NamedTuple):
    """The counts of a window whose traces started in [first_ns, last_ns]."""

    window: str
    first_ns: int
    last_ns: int
    tally: bytes


class FoldStore(Base):
    """Folds of the store."""

    def windows_to_fold(
        self, *, least: int, before_ns: int, most: int = 100
    ) -> tuple[WindowState, ...]:
        """Drawn windows without a fold, the oldest first.

        Args:
            least: windows of so many traces are folded at once …
            before_ns: … and smaller ones if they were drawn before this time.
            most: at most so many.
        """
        w, t = schema.windows, schema.traces
        query = (
            select(w.c.window)
            .where(w.c.drawn_ns > 0, w.c.folded.is_(False), w.c.candidates > 0)
            .where(or_(w.c.candidates >= least, w.c.drawn_ns < clip(before_ns)))
            .order_by(w.c.drawn_ns, w.c.window)
            .limit(most)
        )
        states = select(t.c.window, func.count(), func.coalesce(func.sum(t.c.revision), 0))
        with self._db.read() as connection:
            names = list(connection.scalars(query))
            rows = connection.execute(states.where(t.c.window.in_(names)).group_by(t.c.window))
            return tuple(WindowState(name, n, int(revisions)) for name, n, revisions in rows)

    def save_fold(self, fold: Fold, read: WindowState) -> bool:
        """Keep a fold, unless the window's traces have changed since they were read.

        Args:
            fold: the counts.
            read: the window as it was when it was counted.
        """
        w, t, f = schema.windows, schema.traces, schema.folds
        now = select(func.count(), func.coalesce(func.sum(t.c.revision), 0))
        with self._db.write() as connection:
            n, revisions = connection.execute(now.where(t.c.window == fold.window)).one()
            if (n, int(revisions)) != (read.traces, read.revisions):
                return False
            row = {**fold._asdict(), "tally": compress(fold.tally)}
            connection.execute(delete(f).where(f.c.window == fold.window))
            connection.execute(insert(f).values(row))
            connection.execute(update(w).where(w.c.window == fold.window).values(folded=True))
            return True


def fold_of(row: Any) -> Fold:
    """The fold in a row of `folds`."""
    return Fold(row.window, row.first_ns, row.last_ns, decompress(row.tally))


def whole_folds(since_ns: int | None, until_ns: int | None) -> Select[Any]:
    """The valid folds all of whose traces started in [since_ns, until_ns)."""
    f, w = schema.folds, schema.windows
    query = select(f).join(w, w.c.window == f.c.window).where(w.c.folded.is_(True))
    if since_ns is not None:
        query = query.where(f.c.first_ns >= clip(since_ns))
    if until_ns is not None:
        query = query.where(f.c.last_ns < clip(until_ns))
    return query.order_by(f.c.first_ns, f.c.window)


def looked_at() -> CompoundSelect[Any]:
    """Ids of the traces that an estimate wants to see one by one."""
    k = schema.keys
    o = schema.outcomes.c.trace_id
    return union(
        select(schema.items.c.trace_id),
        select(schema.reviews.c.trace_id),
        select(o).where(o.is_not(None)),
        select(k.c.trace_id).where(k.c.name.in_(list(SHADOW_KEYS.values()))),
    )


def unfold(connection: Connection, trace_ids: Sequence[str]) -> None:
    """Make the folds invalid that count these traces: they are about to change."""
    t, w = schema.traces, schema.windows
    for part in chunks(trace_ids):
        theirs = select(t.c.window).where(t.c.trace_id.in_(part))
        stale: ColumnElement[bool] = w.c.window.in_(theirs) & w.c.folded.is_(True)
        connection.execute(update(w).where(stale).values(folded=False))
