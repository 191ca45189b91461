"""Decisions: which traces of a window may be drawn, and the draw itself, made once.

A window is open until its draw is saved. The draw, the queue's new items and the window's closing
are one transaction, so a crash leaves either all of it or nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, bindparam, func, select, update

from fidelity_otel.model import Arm, ArmDecision, Decision
from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, clean, finite, insert_new
from fidelity_otel.store.items import SAMPLE, enqueue

__all__ = [
    "DecisionStore",
    "Drawn",
    "StratumHistory",
    "Threshold",
    "WindowCandidate",
    "arm_of",
    "decision_of",
    "place_in_windows",
    "split_marks",
]

_strings = msgspec.json.Decoder(tuple[str, ...])
_LATE = "+late"
_WINDOW = select(schema.windows.c.drawn_ns, schema.windows.c.first_ns).where(
    schema.windows.c.window == bindparam("name")
)


class WindowCandidate(msgspec.Struct, frozen=True):
    """A trace that waits for its window's draw: its decision without arms, and its modes."""

    decision: Decision
    modes: tuple[str, ...] = ()
    workflow: str = ""
    release: str = ""


class Threshold(msgspec.Struct, frozen=True):
    """τ of one arm and stratum in a drawn window, which merges exactly with other replicas'."""

    window: str
    arm: Arm
    stratum: str
    threshold: float
    selected: int
    candidates: int


class Drawn(msgspec.Struct, frozen=True):
    """What saving a draw did: `saved` is false where the window had been drawn before."""

    saved: bool
    enqueued: int = 0
    candidates: int = 0
    stragglers: int = 0


class StratumHistory(msgspec.Struct, frozen=True):
    """What reviews have said about a stratum so far: raw counts, for the allocation of reviews."""

    traces: int = 0
    reviewed: int = 0
    wrong: int = 0
    partly: int = 0


_OF_CANDIDATES = (
    "trace_id",
    "stratum",
    "window",
    "randomness",
    "size",
    "risk",
    "flagged",
    "retention",
    "upstream",
    "reasons",
    "decision_revision",
    "decided_ns",
    "marks",
    "workflow",
    "release",
)
"""What a draw wants to know: not what was asked and answered."""


class DecisionStore(Base):
    """Windows and draws of the store."""

    def open_windows(self, before_ns: int) -> list[str]:
        """Windows without a draw whose first trace was decided before this time, oldest first.

        Windows divide the time of decision, so with the start of the current window as `before_ns`
        these are the windows that have ended.
        """
        w = schema.windows
        query = (
            select(w.c.window)
            .where(w.c.drawn_ns == 0, w.c.first_ns < before_ns)
            .order_by(w.c.first_ns, w.c.window)
        )
        with self._db.read() as connection:
            return list(connection.scalars(query))

    def undrawn_traces(self) -> dict[str, int]:
        """Window → how many traces it holds, of those without a draw that hold any."""
        w, t = schema.windows, schema.traces
        query = (
            select(w.c.window, func.count())
            .join(t, t.c.window == w.c.window)
            .where(w.c.drawn_ns == 0)
            .group_by(w.c.window)
            .order_by(w.c.window)
        )
        with self._db.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def window_candidates(self, window: str) -> list[WindowCandidate]:
        """All traces of a window that no draw has decided on, in order of their ids."""
        t, a = schema.traces, schema.arms
        query = (
            select(*(t.c[name] for name in _OF_CANDIDATES))
            .where(t.c.window == window)
            .where(~select(a.c.trace_id).where(a.c.trace_id == t.c.trace_id).exists())
            .order_by(t.c.trace_id)
        )
        with self._db.read() as connection:
            return [
                WindowCandidate(
                    decision_of(row), split_marks(row["marks"])[0], row["workflow"], row["release"]
                )
                for row in connection.execute(query).mappings()
            ]

    def save_draw(
        self,
        window: str,
        arms: Mapping[str, Sequence[ArmDecision]],
        *,
        now_ns: int,
        double_share: float = 0.15,
    ) -> Drawn:
        """Save a window's draw and put what it selected into the review queue, once.

        A window that was drawn before (by another replica, or before a crash) is left as it is.
        Traces that came into the window since its candidates were read are moved to a window of
        stragglers, which is open.

        Args:
            window: the window drawn.
            arms: per trace the arms' decisions, selected or not.
            now_ns: the time of the draw.
            double_share: share of the items that two people judge, by an independent hash.
        """
        with self._db.write() as connection:
            t, w = schema.traces, schema.windows
            if connection.scalar(select(w.c.drawn_ns).where(w.c.window == window)):
                return Drawn(saved=False)
            here = {
                row.trace_id: row.workflow
                for row in connection.execute(
                    select(t.c.trace_id, t.c.workflow).where(t.c.window == window)
                )
            }
            decided = [(i, arms[i]) for i in sorted(here) if i in arms]
            rows = [_arm_row(i, a) for i, each in decided for a in each]
            insert_new(connection, schema.arms, rows)
            insert_new(connection, schema.draws, _thresholds(window, [a for _, a in decided]))
            insert_new(connection, w, [{"window": window}])
            connection.execute(
                update(w)
                .where(w.c.window == window)
                .values(drawn_ns=max(now_ns, 1), candidates=len(decided))
            )
            stragglers = [
                {"trace_id": i, "window": window, "decided_ns": now_ns}
                for i in here
                if i not in arms
            ]
            _move(connection, stragglers)
            chosen = {i: _label(each) for i, each in decided if any(a.selected for a in each)}
            rows = [
                {
                    "item_id": self._mark("item", trace_id, SAMPLE),
                    "trace_id": trace_id,
                    "phase": SAMPLE,
                    "workflow": here[trace_id],
                    "arm": label,
                    "shuffle": self._lot("shuffle", trace_id, SAMPLE),
                    "needed": 2 if self._share("double", trace_id) < double_share else 1,
                    "enqueued_ns": now_ns,
                }
                for trace_id, label in chosen.items()
            ]
            enqueue(connection, rows)
            detail = {"window": window, "selected": len(rows), "candidates": len(decided)}
            self._log(connection, "draw", now_ns, detail=detail)
            return Drawn(True, len(rows), len(decided), len(stragglers))

    def _share(self, purpose: str, trace_id: str) -> float:
        return self._lot(purpose, trace_id) / (1 << 31)

    def thresholds(self, window: str | None = None) -> list[Threshold]:
        """The draws' thresholds, of one window or of all."""
        d = schema.draws
        query = select(d).order_by(d.c.window, d.c.arm, d.c.stratum)
        if window is not None:
            query = query.where(d.c.window == window)
        with self._db.read() as connection:
            return [Threshold(**row) for row in connection.execute(query).mappings()]

    def stratum_history(self, since_ns: int = 0) -> dict[str, StratumHistory]:
        """Traces and sampled verdicts per stratum, of traces that started at or after a time."""
        t, r = schema.traces, schema.reviews
        traces = select(t.c.stratum, func.count()).where(t.c.start_ns >= since_ns)
        judged = (
            select(t.c.stratum, r.c.verdict, func.count())
            .join(r, r.c.trace_id == t.c.trace_id)
            .where(t.c.start_ns >= since_ns, r.c.phase == SAMPLE)
        )
        with self._db.read() as connection:
            frame = {row[0]: row[1] for row in connection.execute(traces.group_by(t.c.stratum))}
            verdicts: Counter[tuple[str, str]] = Counter()
            for stratum, verdict, n in connection.execute(
                judged.group_by(t.c.stratum, r.c.verdict)
            ):
                verdicts[stratum, verdict] = n
        return {
            stratum: StratumHistory(
                n,
                sum(verdicts[stratum, v] for v in ("right", "wrong", "partly")),
                verdicts[stratum, "wrong"],
                verdicts[stratum, "partly"],
            )
            for stratum, n in frame.items()
        }


def _move(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Send traces of a drawn window to a window of stragglers."""
    if not rows:
        return
    place_in_windows(connection, rows)
    t = schema.traces
    connection.execute(
        update(t).where(t.c.trace_id == bindparam("b_id")).values(window=bindparam("b_window")),
        [{"b_id": row["trace_id"], "b_window": row["window"]} for row in rows],
    )


def place_in_windows(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Open the windows of new rows, and send rows of drawn windows to a window of stragglers.

    Sets `window` in the rows.
    """
    firsts: dict[str, int] = {}
    for row in rows:
        seen = firsts.get(row["window"], row["decided_ns"])
        firsts[row["window"]] = min(seen, row["decided_ns"])
    open_names = {name: _open_window(connection, name, first) for name, first in firsts.items()}
    for row in rows:
        row["window"] = open_names[row["window"]]


def _open_window(connection: Connection, window: str, first_ns: int) -> str:
    """The name of the window, or of one for its stragglers, that is open from `first_ns` at least.

    It is mostly open already: then it is looked at and nothing is written.
    """
    w = schema.windows
    name, turn = window, 0
    while (held := connection.execute(_WINDOW, {"name": name}).first()) and held.drawn_ns:
        turn += 1
        name = f"{window.partition(_LATE)[0]}{_LATE}{turn}"
    if held is None:
        insert_new(connection, w, [{"window": name, "first_ns": first_ns}])
    elif held.first_ns > first_ns:
        connection.execute(update(w).where(w.c.window == name).values(first_ns=first_ns))
    return name


def split_marks(marks: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modes, and their states, of a trace's marks "mode:state mode:state"."""
    pairs = [mark.rpartition(":") for mark in marks.split()]
    return tuple(p[0] for p in pairs), tuple(p[2] for p in pairs)


def _label(arms: Sequence[ArmDecision]) -> str:
    return "+".join(sorted({a.arm for a in arms if a.selected}, reverse=True))


def _arm_row(trace_id: str, arm: ArmDecision) -> dict[str, Any]:
    return {
        "trace_id": trace_id,
        "arm": arm.arm,
        "window": clean(arm.window),
        "stratum": clean(arm.stratum),
        "selected": arm.selected,
        "probability": arm.probability,
        "size": finite(arm.size, 1.0),
        "threshold": finite(arm.threshold, 0.0),
        "reason": clean(arm.reason),
    }


def _thresholds(window: str, arms: Sequence[Sequence[ArmDecision]]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for arm in (a for each in arms for a in each):
        empty: dict[str, Any] = {"window": window, "arm": arm.arm, "stratum": clean(arm.stratum)}
        empty |= {"threshold": finite(arm.threshold, 0.0), "selected": 0, "candidates": 0}
        row = rows.setdefault((arm.arm, arm.stratum), empty)
        row["selected"] += int(arm.selected)
        row["candidates"] += 1
    return list(rows.values())


def decision_of(row: RowMapping, arms: tuple[ArmDecision, ...] = ()) -> Decision:
    """The decision in a row of `traces`."""
    return Decision(
        trace_id=row["trace_id"],
        stratum=row["stratum"],
        window=row["window"],
        randomness=row["randomness"],
        size=row["size"],
        risk=row["risk"],
        flagged=row["flagged"],
        arms=arms,
        retention=row["retention"],
        upstream=row["upstream"],
        reasons=_strings.decode(row["reasons"]),
        revision=row["decision_revision"],
        decided_ns=row["decided_ns"],
    )


def arm_of(row: RowMapping) -> ArmDecision:
    """The arm's decision in a row of `arms`."""
    return ArmDecision(
        arm=row["arm"],
        window=row["window"],
        stratum=row["stratum"],
        selected=row["selected"],
        probability=row["probability"],
        size=row["size"],
        threshold=row["threshold"],
        reason=row["reason"],
    )
