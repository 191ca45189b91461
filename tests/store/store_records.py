"""Records, draws and outcomes to put into a store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from fidelity_otel.model import ArmDecision, Decision, Finding, Outcome, OutcomeRef, TraceRecord
from fidelity_otel.store import Store, open_store

SECOND = 10**9
START = 1_793_000_000 * SECOND
STRATUM = "support|r1|quiet"


@lru_cache(1)
def _template() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="fidelity-store-")
    open_store(Path(folder.name)).close()
    return folder


def open_copy(folder: Path) -> Store:
    """An empty store, copied rather than migrated: a test that needs one waits for nothing."""
    shutil.copy(Path(_template().name) / "store.db", folder / "store.db")
    return open_store(folder)


def open_again(store: Store) -> Store:
    """The same store, opened as another process or replica would."""
    return open_store(url=store._db.engine.url.render_as_string(hide_password=False))


def trace_id(number: int) -> str:
    return f"{number + 1:032x}"


def make_record(number: int, **changes: Any) -> TraceRecord:
    """A decided trace; `window` and `risk` are the decision's."""
    decision = Decision(
        trace_id=trace_id(number),
        stratum=changes.pop("stratum", STRATUM),
        window=changes.pop("window", "w1"),
        randomness=number * 7919 + 1,
        size=0.5,
        risk=changes.pop("risk", 0.2),
        flagged=False,
        decided_ns=changes.pop("decided_ns", START),
        reasons=("because",),
    )
    record = TraceRecord(
        trace_id=trace_id(number),
        otlp=b"body of %d " % number * 20,
        decision=decision,
        findings=(Finding("tool_error", "recovered", "ab" * 8, "the tool said no"),),
        workflow="support",
        service="bot",
        release="r1",
        conversation_id=f"c{number // 2}",
        user_id=f"u{number % 3}",
        start_ns=START + number * SECOND,
        end_ns=START + number * SECOND + 5,
        span_count=3,
        request=f"question {number}",
        answer=f"answer {number}",
        response_ids=(f"resp-{number}",),
        keys=(("ticket", f"T-{number}"),),
    )
    return msgspec.structs.replace(record, **changes)


def draw_all(
    store: Store, *, double_share: float = 0.0, choose: Callable[[str], bool] = lambda _: True
) -> int:
    """Draw every open window; returns how many traces went to the queue."""
    enqueued = 0
    for window in store.open_windows(1 << 62):
        arms = {
            c.decision.trace_id: (
                ArmDecision(
                    "estimation",
                    window,
                    c.decision.stratum,
                    choose(c.decision.trace_id),
                    0.5,
                    threshold=0.9,
                ),
                ArmDecision("discovery", window, "tool_error", False, 0.25),
            )
            for c in store.window_candidates(window)
        }
        drawn = store.save_draw(window, arms, now_ns=START, double_share=double_share)
        enqueued += drawn.enqueued
    return enqueued


def make_outcome(outcome_id: str, **changes: Any) -> Outcome:
    ref = changes.pop("ref", OutcomeRef(trace_id=trace_id(0)))
    plain = Outcome(outcome_id, ref, "resolved", 1.0, observed_ns=START + 10**15)
    return msgspec.structs.replace(plain, **changes)
