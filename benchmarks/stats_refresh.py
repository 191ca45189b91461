"""How long the service's report takes when there are millions of traces.

The store holds what it would hold: a fold for every hour of four weeks, and the rows of the traces
that were reviewed. The other rows are left out, because a report does not read them.
"""

from __future__ import annotations

import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard

from fidelity_otel.processor.detect.modes import MODES
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.tally import HOUR_NS, Tally, encode
from fidelity_otel.store import open_store

__all__ = ["Refreshed", "refreshed"]

NOW_NS = 1_794_700_800 * 10**9
HOURS = 28 * 24
WORKFLOWS = 25
STRATA = 2 * WORKFLOWS  # each workflow's flagged traces, and the others
RISKS = np.arange(-20, 25, 5)
CONFIG = {"report.objective": 0.8, "report.benchmark": 0.9}


class Refreshed(NamedTuple):
    """The fastest refresh: its seconds, the process's memory in MB, and what it was of."""

    seconds: float
    memory: float
    traces: int
    verdicts: int
    estimates: int


def refreshed(traces: int = 10_000_000, verdicts: int = 10_000, times: int = 9) -> Refreshed:
    """The fastest of some refreshes of a report over so many traces."""
    rng = np.random.default_rng(29)
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder)) as store:
        _fill(Path(folder) / "store.db", rng, traces, verdicts)
        took = []
        for _ in range(times):
            began = time.perf_counter()
            made = summary(store, now_ns=NOW_NS, settings=CONFIG)
            took.append(time.perf_counter() - began)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    estimates = 2 * (len(made.windows) + len(made.workflows)) + len(made.modes) + len(made.course)
    return Refreshed(min(took), memory, made.activity.traces, made.reviews.judged, estimates)


def _fill(file: Path, rng: np.random.Generator, traces: int, verdicts: int) -> None:
    hours = NOW_NS // HOUR_NS - HOURS + np.arange(HOURS)
    many = rng.multinomial(traces, np.full(HOURS, 1 / HOURS))
    judged = rng.multinomial(verdicts, np.full(HOURS, 1 / HOURS))
    with sqlite3.connect(file) as connection:
        for hour, n, looked in zip(hours, many, judged, strict=True):
            window = f"w{hour}"
            rows = list(_rows(rng, int(hour), int(looked)))
            tally = encode(_tally(rng, int(hour), int(n), rows))
            first, last = int(hour) * HOUR_NS, (int(hour) + 1) * HOUR_NS - 1
            _insert(connection, "windows", {"window": window, "drawn_ns": last, "folded": 1})
            fold = {"window": window, "first_ns": first, "last_ns": last}
            body = zstandard.ZstdCompressor().compress(tally)
            _insert(connection, "folds", fold | {"tally": body})
            for row in rows:
                _looked_at(connection, window, row)


class _Row(NamedTuple):
    trace_id: str
    start_ns: int
    stratum: int
    risk: int
    mode: str | None
    right: bool


def _rows(rng: np.random.Generator, hour: int, count: int) -> Iterator[_Row]:
    for k in range(count):
        mode = str(rng.choice([m.name for m in MODES[:20]])) if rng.random() < 0.3 else None
        stratum = int(rng.integers(WORKFLOWS)) * 2 + (mode is not None)
        start = hour * HOUR_NS + k * 10**9
        right = bool(rng.random() < (0.6 if mode else 0.85))
        name = f"{hour:016x}{k:016x}"
        yield _Row(name, start, stratum, int(rng.choice(RISKS)), mode, right)


def _tally(rng: np.random.Generator, hour: int, count: int, looked: list[_Row]) -> Tally:
    """All traces of an hour, those looked at among them."""
    names = (
        *(f"workflow {k}" for k in range(WORKFLOWS)),
        "r1",
        *(f"stratum {k}" for k in range(STRATA)),
        *(m.name for m in MODES[:20]),
    )
    shape = (STRATA, len(RISKS))
    spread = rng.dirichlet(np.full(shape[0] * shape[1], 0.5))
    units = rng.multinomial(count - len(looked), spread).reshape(shape)
    for row in looked:
        units[row.stratum, int(np.flatnonzero(row.risk == RISKS)[0])] += 1
    stratum, risk = np.nonzero(units)
    flagged = stratum % 2
    cells = np.column_stack(
        [
            np.full(stratum.size, hour),
            stratum // 2,
            np.full(stratum.size, WORKFLOWS),
            WORKFLOWS + 1 + stratum,
            17 + 6 * flagged,
            RISKS[risk],
            units[stratum, risk],
        ]
    )
    bins = np.arange(-50, 150, 4)
    per = np.column_stack([np.full(bins.size, hour), np.zeros(bins.size), bins, bins])
    times = np.concatenate(
        [np.column_stack([per[:, 0], np.full(bins.size, w), bins, np.full(bins.size, 12)])
         for w in range(WORKFLOWS)]
    )  # fmt: skip
    first_mode = WORKFLOWS + 1 + STRATA
    flagged_traces = int(units[1::2].sum())
    share = rng.multinomial(flagged_traces, np.full(20, 1 / 20))
    modes = np.column_stack([np.full(20, hour), first_mode + np.arange(20), np.full(20, 2), share])
    span = (hour * HOUR_NS, (hour + 1) * HOUR_NS - 1)
    return Tally(names, *(m.astype(np.int64) for m in (cells, times, modes)), *span)


def _looked_at(connection: sqlite3.Connection, window: str, row: _Row) -> None:
    trace = {
        "trace_id": row.trace_id,
        "window": window,
        "workflow": f"workflow {row.stratum // 2}",
        "release": "r1",
        "stratum": f"stratum {row.stratum}",
        "start_ns": row.start_ns,
        "end_ns": row.start_ns + 10**9,
        "reported_success": 1,
        "risk": 1 / (1 + np.exp(row.risk / 8)),
        "marks": f"{row.mode}:unrecovered" if row.mode else "",
    }
    _insert(connection, "traces", trace)
    arm = {"trace_id": row.trace_id, "arm": "estimation", "selected": 1, "probability": 0.001}
    _insert(connection, "arms", arm | {"stratum": trace["stratum"]})
    item = {"item_id": row.trace_id, "trace_id": row.trace_id}
    _insert(connection, "items", item | {"phase": "sample"})
    verdict = {"verdict": "right" if row.right else "wrong", "mode": row.mode}
    review = {"id": row.trace_id, **item, "phase": "sample", "reviewer": "ann", **verdict}
    _insert(connection, "reviews", review | {"finished_ns": row.start_ns})


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    names = ", ".join(f'"{name}"' for name in row)
    statement = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'
    connection.execute(statement, list(row.values()))
