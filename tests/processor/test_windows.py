"""When windows are drawn: at their end, or when they are full."""

from __future__ import annotations

from pathlib import Path

import pytest

from fidelity_otel.model import Decision, TraceRecord
from fidelity_otel.processor import windows
from fidelity_otel.processor.sample import Sampler
from fidelity_otel.processor.windows import Windows
from fidelity_otel.settings import TABLE
from fidelity_otel.store import Store, open_store

HOUR = 3600 * 10**9
NOW = 500_000 * HOUR
SETTINGS = {row.name: row.default for row in TABLE}


def record(number: int, window: str) -> TraceRecord:
    trace = f"{number:032x}"
    decision = Decision(trace, "s", window, number << 40, 1.0, 0.2, False, decided_ns=NOW)
    return TraceRecord(
        trace, b"body", decision, workflow="w", start_ns=NOW, end_ns=NOW + 1, reported_success=True
    )


def drawer(store: Store, now_ns: int) -> Windows:
    sampler = Sampler(SETTINGS, "salt")
    return Windows(store, lambda: sampler, SETTINGS, lambda: now_ns)


def test_a_full_window_is_drawn_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "_MOST", 20)
    with open_store(tmp_path) as store:
        store.add_traces([record(k, "w1") for k in range(19)])
        assert drawer(store, NOW + 1).close().windows == 0
        store.add_traces([record(k, "w1") for k in range(19, 25)])
        assert drawer(store, NOW + 1).close().windows == 1
        drawn = [row.pi for row in store.frame()]
        assert all(pi is not None for pi in drawn)
        store.add_traces([record(k, "w1") for k in range(25, 30)])
        assert drawer(store, NOW + 1).close().windows == 0, "what came after waits for the end"
        assert sum(store.undrawn_traces().values()) == 5
        assert drawer(store, NOW + 2 * HOUR).close().windows == 1
        assert store.undrawn_traces() == {}


def test_the_budget_is_shared_by_traces_not_by_windows(tmp_path: Path) -> None:
    """Two windows end together, one ten times the other; a day's fifty reviews are for both."""
    with open_store(tmp_path) as store:
        store.meta_set("sample.drawn_ns", str(NOW - 23 * HOUR))
        store.add_traces([record(k, "w1") for k in range(1000)])
        store.add_traces([record(k, "w2") for k in range(1000, 1100)])
        closed = drawer(store, NOW + HOUR).close()
        assert closed.windows == 2
        assert 40 <= closed.enqueued <= 60
        chosen = [row.window for row in store.frame() if row.selected]
        assert chosen.count("w1") > 5 * chosen.count("w2")
