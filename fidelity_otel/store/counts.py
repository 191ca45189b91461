"""Raw counts for metrics: what is stored, by bounded labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select, true

from fidelity_otel.store import schema
from fidelity_otel.store.base import Base
from fidelity_otel.store.decisions import split_marks

__all__ = ["CountStore", "Counts", "Labels"]

_MOST_LABELS = 2000


class Counts(msgspec.Struct, frozen=True):
    """Counters keyed by their labels, in the order that the names say.

    `outcomes` leaves superseded ones out and holds parked ones. All of it is small beside the
    traces, which are not counted here: the service looks every minute.
    """

    reviews_by_verdict_arm: dict[tuple[str, str], int]
    lease_endings: dict[str, int]
    outcomes_by_name_label: dict[tuple[str, str], int]


class Labels(msgspec.Struct, frozen=True):
    """What occurs in the store."""

    workflows: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()


class CountStore(Base):
    """Counts of the store."""

    def labels(self) -> Labels:
        """The workflows and failure modes that occur, by name, for filters."""
        t = schema.traces
        with self._db.read() as connection:
            workflows = connection.scalars(select(t.c.workflow).distinct().limit(_MOST_LABELS))
            marks = connection.scalars(select(t.c.marks).distinct().limit(_MOST_LABELS))
            modes = {mode for each in marks for mode in split_marks(each)[0]}
            return Labels(tuple(sorted(workflows)), tuple(sorted(modes)))

    def counts(self) -> Counts:
        """Count verdicts, the ends of leases, and outcomes."""
        r, o, lease = schema.reviews, schema.outcomes, schema.leases
        with self._db.read() as connection:

            def grouped(*columns: Any, where: ColumnElement[bool]) -> list[Any]:
                query = select(*columns, func.count()).where(where).group_by(*columns)
                return list(connection.execute(query))

            verdicts = grouped(r.c.verdict, r.c.arm, r.c.hand_picked, where=true())
            ended = grouped(lease.c.ending, where=lease.c.ending != "")
            label = func.coalesce(o.c.label, "")
            outcomes = grouped(o.c.name, label, where=o.c.superseded.is_(False))
        reviews: Counter[tuple[str, str]] = Counter()
        for verdict, arm, hand, n in verdicts:
            reviews[verdict, "hand" if hand else arm] += n
        return Counts(
            reviews_by_verdict_arm=dict(reviews),
            lease_endings={row[0]: row[1] for row in ended},
            outcomes_by_name_label={(name, said): n for name, said, n in outcomes},
        )
