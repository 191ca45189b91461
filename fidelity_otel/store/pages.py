"""A span of time read page by page, so that no document's memory grows with traffic.

What is counted of all traces is counted by the database; rows are read of those traces only that
have a finding, or that somebody looked at, and so many at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Integer, case, func, literal_column, select, union

from fidelity_otel.model import Finding
from fidelity_otel.store import schema
from fidelity_otel.store.base import CHUNK, Base
from fidelity_otel.store.decisions import split_marks
from fidelity_otel.store.frame import between, columns_of
from fidelity_otel.store.records import findings_of

__all__ = ["FoundTrace", "PageStore", "Pages", "Traffic"]


class Traffic(NamedTuple):
    """One workflow's traces in one half of its time, split in the middle of [first_ns, last_ns].

    `requests` is Σ 1/p and `squares` Σ 1/p² over them, where p is the probability with which a head
    sampler before us kept a trace: both are `traces` where there was none.
    """

    workflow: str
    first_ns: int
    last_ns: int
    late: bool
    traces: int
    requests: float
    squares: float

    @property
    def middle_ns(self) -> int:
        """Where its time is split: a trace that started later is in the late half."""
        return self.first_ns + (self.last_ns - self.first_ns) // 2


class FoundTrace(NamedTuple):
    """A trace with findings; `modes` and `states` outlast them where a trace was erased.

    `upstream` is the probability with which it is here at all, as in `Decision`.
    """

    trace_id: str
    workflow: str
    start_ns: int
    upstream: float
    modes: tuple[str, ...]
    states: tuple[str, ...]
    findings: tuple[Finding, ...]


class PageStore(Base):
    """Pages of the store."""

    @contextmanager
    def pages(
        self, since_ns: int | None = None, until_ns: int | None = None, *, rows: int = CHUNK
    ) -> Generator[Pages]:
        """One consistent view of the traces that started in [since_ns, until_ns), to be paged.

        Args:
            since_ns: traces that started at or after; all where None.
            until_ns: traces that started before.
            rows: at most so many in one page.
        """
        with self._db.read() as connection:
            yield Pages(connection, between(since_ns, until_ns), rows)


class Pages:
    """One view of a span of time. What it gives is oldest first."""

    def __init__(
        self, connection: Connection, bounds: Sequence[ColumnElement[bool]], rows: int
    ) -> None:
        self._connection = connection
        self._bounds = tuple(bounds)
        self._rows = rows

    def traffic(self) -> list[Traffic]:
        """How many traces there are, by workflow and half: two entries a workflow, or one."""
        t = schema.traces
        first, last = func.min(t.c.start_ns), func.max(t.c.start_ns)
        spans = select(t.c.workflow, first.label("first"), last.label("last"))
        span = spans.where(*self._bounds).group_by(t.c.workflow).subquery()
        middle = span.c.first + (span.c.last - span.c.first) // literal_column("2")
        late = case(
            (t.c.start_ns > middle, literal_column("1", Integer)),
            else_=literal_column("0", Integer),
        )
        stands = literal_column("1.0") / t.c.upstream
        query = (
            select(
                t.c.workflow,
                func.min(span.c.first),
                func.max(span.c.last),
                late,
                func.count(),
                func.sum(stands),
                func.sum(stands * stands),
            )
            .join(span, span.c.workflow == t.c.workflow)
            .where(*self._bounds)
            .group_by(t.c.workflow, late)
            .order_by(t.c.workflow, late)
        )
        return [
            Traffic(row[0], row[1], row[2], bool(row[3]), row[4], float(row[5]), float(row[6]))
            for row in self._connection.execute(query)
        ]

    def found(self) -> Iterator[list[FoundTrace]]:
        """The traces with findings, or that had some before they were erased."""
        t = schema.traces
        columns = (t.c.start_ns, t.c.trace_id, t.c.workflow, t.c.upstream, t.c.marks, t.c.findings)
        for page in self._paged(columns, t.c.marks != ""):
            yield [
                FoundTrace(
                    row.trace_id,
                    row.workflow,
                    row.start_ns,
                    row.upstream,
                    *split_marks(row.marks),
                    findings_of(row.findings),
                )
                for row in page
            ]

    def looked_at(self) -> Iterator[dict[str, list[Any]]]:
        """The traces drawn, picked or reviewed: `frame_columns` of them."""
        t = schema.traces
        theirs = union(select(schema.items.c.trace_id), select(schema.reviews.c.trace_id))
        columns = (t.c.start_ns, t.c.trace_id)
        for page in self._paged(columns, t.c.trace_id.in_(theirs)):
            yield columns_of(self._connection, [row.trace_id for row in page])

    def _paged(
        self, columns: Sequence[ColumnElement[Any]], which: ColumnElement[bool]
    ) -> Iterator[Sequence[Any]]:
        """Pages by the key (start_ns, trace_id): each is a query of its own and none is skipped."""
        t = schema.traces
        query = select(*columns).where(*self._bounds, which)
        query = query.order_by(t.c.start_ns, t.c.trace_id).limit(self._rows)
        page = self._connection.execute(query).all()
        while page:
            yield page
            start, trace_id = page[-1].start_ns, page[-1].trace_id
            beyond = (t.c.start_ns > start) | (t.c.trace_id > trace_id)
            page = self._connection.execute(query.where(t.c.start_ns >= start, beyond)).all()
