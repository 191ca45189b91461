"""A made-up frame with a known truth, and a store that serves it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fidelity_otel.store import FramePart

DAY_NS = 86_400 * 10**9
NOW_NS = 1_794_700_800 * 10**9  # 15 Nov 2026, 00:00 UTC


class Arm(NamedTuple):
    arm: str
    probability: float
    selected: bool
    stratum: str


class Mark(NamedTuple):
    reviewer: str
    verdict: str
    mode: str | None = None
    hand_picked: bool = False
    phase: str = "sample"
    finished_ns: int = 0


class Row(NamedTuple):
    trace_id: str
    workflow: str = "support.answer"
    service: str = "support"
    release: str = "r1"
    stratum: str = "s"
    window: str = "w"
    start_ns: int = NOW_NS - DAY_NS
    end_ns: int = NOW_NS - DAY_NS + 10**9
    conversation_id: str | None = None
    user_id: str | None = None
    reported_success: bool = True
    risk: float = 0.2
    size: float = 1.0
    flagged: bool = False
    upstream: float = 1.0
    modes: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    arms: tuple[Arm, ...] = ()
    pi: float | None = None
    selected: bool = False
    reviews: tuple[Mark, ...] = ()
    outcomes: dict[str, float | None] = {}
    outcome_labels: dict[str, str | None] = {}
    outcome_times: dict[str, int] = {}


@dataclass
class FakeStore:
    """Serves rows as the real store does."""

    rows: list[Row]
    meta: dict[str, str] = field(default_factory=dict)
    orphans: int = 0
    shadows: list[tuple[str, str, str]] = field(default_factory=list)

    def frame_columns(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> dict[str, list[Any]]:
        kept = [
            r
            for r in self.rows
            if (since_ns is None or r.start_ns >= since_ns)
            and (until_ns is None or r.start_ns < until_ns)
        ]
        return {name: [getattr(r, name) for r in kept] for name in Row._fields}

    def frame_parts(
        self, since_ns: int | None = None, until_ns: int | None = None, *, rows: int = 20_000
    ) -> Iterator[FramePart]:
        columns = self.frame_columns(since_ns, until_ns)
        for start in range(0, len(columns["trace_id"]), rows):
            part = {name: column[start : start + rows] for name, column in columns.items()}
            yield FramePart(part)

    def shadow_marks(self) -> list[tuple[str, str, str]]:
        return self.shadows

    def orphan_count(self) -> int:
        return self.orphans

    def meta_get(self, name: str, default: str | None = None) -> str | None:
        return self.meta.get(name, default)


class World(NamedTuple):
    """A store, and the truth that nobody in it knows."""

    store: FakeStore
    fidelity: float
    silent: float


def looked_at_again(made: World, seed: int = 2, pairs: int = 60) -> World:
    """The same world with second looks after a day and a week, and a shadow candidate."""
    draw = random.Random(seed)
    rows = [_again(draw, row) for row in made.store.rows]
    marks: list[tuple[str, str, str]] = []
    judged = [row for row in rows if row.reviews and row.workflow == "support.answer"]
    for k, row in enumerate(judged[:pairs]):
        verdict = "right" if draw.random() < 0.9 else "wrong"
        name, workflow = f"c{k:031x}", f"{row.workflow}~new"
        mark = Mark("ben", verdict)
        rows.append(row._replace(trace_id=name, workflow=workflow, reviews=(mark,), outcomes={}))
        marks += [(row.trace_id, "incumbent", f"p{k}"), (name, "candidate", f"p{k}")]
    store = FakeStore(rows, made.store.meta, made.store.orphans, marks)
    return made._replace(store=store)


def _again(draw: random.Random, row: Row) -> Row:
    if [r.verdict for r in row.reviews] != ["right"] or draw.random() < 0.5:
        return row
    day = Mark("ben", "right", phase="recheck-1")
    week = Mark("ben", "right" if draw.random() < 0.8 else "wrong", phase="recheck-7")
    return row._replace(reviews=(*row.reviews, day, week))


WORKFLOWS = {"support.answer": 0.80, "refund.decide": 0.62, "order.lookup": 0.93}


def world(seed: int = 1, traces: int = 1200, budget: float = 0.2, days: float = 13.5) -> World:
    """Three workflows over some days; risky traces are sampled more often than others."""
    draw = random.Random(seed)
    rows: list[Row] = []
    right = silent = 0.0
    for k in range(traces):
        workflow = draw.choices(list(WORKFLOWS), weights=[5, 2, 3])[0]
        start = int(NOW_NS - days * DAY_NS * (1 - k / traces))
        modes: list[str] = []
        states: list[str] = []
        if draw.random() < 0.12:
            modes.append("rate_limited")
            states.append("recovered" if draw.random() < 0.9 else "unrecovered")
        stale = draw.random() < (0.22 if workflow != "order.lookup" else 0.03)
        if stale:
            modes.append("retrieval_stale")
            states.append("unrecovered" if draw.random() < 0.1 else "recovered")
        if draw.random() < 0.04:
            modes.append("tool_error")
            states.append(draw.choice(["recovered", "unrecovered", "escalated"]))
        chance = WORKFLOWS[workflow] - (0.35 if stale else -0.04)
        chance -= 0.10 if k / traces > 0.7 and workflow == "refund.decide" else 0
        truth = 1.0 if draw.random() < chance else draw.choice([0.0, 0.0, 0.0, 0.5])
        success = draw.random() < (0.985 if truth else 0.95)
        loud = not success or any(s != "recovered" for s in states)
        right += truth
        silent += 0 if loud else 1 - truth
        risk = min(0.95, max(0.03, 0.1 + 0.45 * stale + draw.gauss(0, 0.05)))
        pi = min(1.0, budget * (0.6 + 1.5 * risk))
        discovery = 0.05 if modes else 0.0
        drawn = k < traces * 0.98
        picks = (draw.random() < pi, draw.random() < discovery)
        stratum = f"{workflow}|{'flagged' if modes else 'plain'}"
        arms = (
            Arm("estimation", pi, picks[0], stratum),
            *((Arm("discovery", discovery, picks[1], "mode"),) if modes else ()),
        )
        selected = drawn and any(a.selected for a in arms)
        rows.append(
            Row(
                trace_id=f"{k:032x}",
                workflow=workflow,
                release="2026.44" if k < traces * 0.55 else "2026.45",
                stratum=stratum,
                start_ns=start,
                end_ns=start + int(1e9 * draw.lognormvariate(0.6, 0.6)),
                conversation_id=f"c{k // 2}" if draw.random() < 0.3 else None,
                reported_success=success,
                risk=risk,
                flagged=bool(modes),
                modes=tuple(modes),
                states=tuple(states),
                arms=arms if drawn else (),
                pi=1 - (1 - pi) * (1 - discovery) if drawn else None,
                selected=selected,
                reviews=_reviews(draw, truth, stale) if selected else (),
                **_outcomes(draw, truth),
            )
        )
    return World(FakeStore(rows), right / traces, silent / traces)


def _reviews(draw: random.Random, truth: float, stale: bool) -> tuple[Mark, ...]:
    if draw.random() < 0.06:
        return ()
    if draw.random() < 0.03:
        return (Mark("ann", "cannot_tell"),)
    verdict = {1.0: "right", 0.5: "partly", 0.0: "wrong"}[truth]
    mode = None if truth == 1 else "retrieval_stale" if stale else "ungrounded"
    first = Mark("ann", verdict, mode)
    if draw.random() < 0.15:
        second = verdict if draw.random() < 0.9 else "partly"
        return (first, Mark("ben", second, mode))
    return (first,)


def _outcomes(draw: random.Random, truth: float) -> dict[str, Any]:
    if draw.random() > 0.4:
        return {}
    value = 0.0 if truth < 0.5 and draw.random() < 0.7 else 1.0
    return {
        "outcomes": {"resolved": value},
        "outcome_labels": {"resolved": "closed" if value else "reopened"},
    }
