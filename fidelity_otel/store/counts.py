"""Raw counts for metrics: what is stored, by bounded labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select

from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, clip
from fidelity_otel.store.decisions import split_marks

__all__ = ["CountStore", "Counts", "Labels"]

_MOST_LABELS = 2000


class Counts(msgspec.Struct, frozen=True):
    """Counters keyed by their labels, in the order that the names say.

    `findings` counts traces per mode and state, not findings. `outcomes` leaves superseded ones
    out and holds parked ones; `orphans` counts only those.
    """

    traces_by_workflow_success: dict[tuple[str, bool], int]
    findings_by_workflow_mode_state: dict[tuple[str, str, str], int]
    selected_by_arm: dict[str, int]
    reviews_by_verdict_arm: dict[tuple[str, str], int]
    reviews_by_mode: dict[str, int]
    lease_endings: dict[str, int]
    outcomes_by_name_label: dict[tuple[str, str], int]
    orphans: int
    bodies: int
    body_bytes: int


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

    def counts(self, since_ns: int | None = None, until_ns: int | None = None) -> Counts:
        """Count what began, was judged or was received in [since_ns, until_ns)."""
        t, r, o, b = schema.traces, schema.reviews, schema.outcomes, schema.bodies
        a, lease = schema.arms, schema.leases

        def within(column: Any) -> list[ColumnElement[bool]]:
            since = [] if since_ns is None else [column >= clip(since_ns)]
            return since + ([] if until_ns is None else [column < clip(until_ns)])

        with self._db.read() as connection:

            def grouped(*columns: Any, where: list[Any]) -> list[Any]:
                query = select(*columns, func.count()).where(*where).group_by(*columns)
                return list(connection.execute(query))

            traces = grouped(t.c.workflow, t.c.reported_success, where=within(t.c.start_ns))
            findings: Counter[tuple[str, str, str]] = Counter()
            marked = [*within(t.c.start_ns), t.c.marks != ""]
            for workflow, marks, n in grouped(t.c.workflow, t.c.marks, where=marked):
                for mode, state in zip(*split_marks(marks), strict=True):
                    findings[workflow, mode, state] += n
            selected = select(a.c.arm, func.count()).where(a.c.selected).group_by(a.c.arm)
            if since_ns is not None or until_ns is not None:
                selected = selected.join(t, t.c.trace_id == a.c.trace_id).where(
                    *within(t.c.start_ns)
                )
            arms = {row[0]: row[1] for row in connection.execute(selected)}
            judged = within(r.c.finished_ns)
            verdicts = grouped(r.c.verdict, r.c.arm, r.c.hand_picked, where=judged)
            modes = grouped(r.c.mode, where=[*judged, r.c.mode.is_not(None)])
            over = [*within(lease.c.granted_ns), lease.c.ending != ""]
            ended = grouped(lease.c.ending, where=over)
            live = [*within(o.c.received_ns), o.c.superseded.is_(False)]
            outcomes = grouped(o.c.name, func.coalesce(o.c.label, ""), where=live)
            orphans = connection.scalar(
                select(func.count()).where(o.c.trace_id.is_(None), *within(o.c.received_ns))
            )
            bodies, size = connection.execute(
                select(func.count(), func.coalesce(func.sum(b.c.stored_bytes), 0)).where(
                    *within(b.c.start_ns)
                )
            ).one()
        reviews: Counter[tuple[str, str]] = Counter()
        for verdict, arm, hand, n in verdicts:
            reviews[verdict, "hand" if hand else arm] += n
        return Counts(
            traces_by_workflow_success={(w, bool(s)): n for w, s, n in traces},
            findings_by_workflow_mode_state=dict(findings),
            selected_by_arm=arms,
            reviews_by_verdict_arm=dict(reviews),
            reviews_by_mode=dict(_pairs(modes)),
            lease_endings=dict(_pairs(ended)),
            outcomes_by_name_label={(name, label): n for name, label, n in outcomes},
            orphans=orphans or 0,
            bodies=bodies,
            body_bytes=int(size),
        )


def _pairs(rows: list[Any]) -> list[tuple[str, int]]:
    return [(name, n) for name, n in rows]
