"""The risk fitted from a store's own reviews: which count, with what weight, and whether it moved."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fidelity_otel.model import ArmDecision, Decision, Finding, Review, TraceRecord
from fidelity_otel.processor.detect.risk import PRIOR, RiskModel, risk
from fidelity_otel.processor.risk_model import (
    fit_from_reviews,
    keep_model,
    kept_model,
    reviewed_rows,
)
from fidelity_otel.processor.wire import from_json

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from report_store import judged, run


def body(trace_id: str) -> bytes:
    span = {
        "traceId": trace_id,
        "spanId": "cd" * 8,
        "name": "root",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
    }
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    return from_json(json.dumps(request).encode())


class Reviews:
    """As much of a store as a fit needs."""

    def __init__(self, count: int, *, blame: bool = True) -> None:
        self.meta: dict[str, str] = {}
        self.kept: list[Review] = []
        self.records: dict[str, TraceRecord] = {}
        for number in range(count):
            self.add(number, wrong=number % 3 == 0, found=blame == (number % 3 == 0))

    def add(self, number: int, *, wrong: bool, found: bool, at: int = 5, **more: Any) -> str:
        trace_id = f"{number + 1:032x}"
        arm = ArmDecision("estimation", "w", "s", True, 0.25)
        also = ArmDecision("discovery", "w", "s", False, 0.5)
        finding = Finding("retrieval_empty", "unrecovered", "cd" * 8, "Nothing.")
        self.records[trace_id] = TraceRecord(
            trace_id,
            body(trace_id),
            Decision(trace_id, "s", "w", 1, 1.0, 0.2, found, arms=(arm, also)),
            findings=(finding,) if found else (),
        )
        verdict = "wrong" if wrong else "right"
        self.kept.append(
            Review(f"r{len(self.kept)}", trace_id, "ann", verdict, finished_ns=at, **more)
        )
        return trace_id

    def reviews(self, since_ns: int = 0) -> list[Review]:
        return [r for r in self.kept if r.finished_ns >= since_ns]

    def trace(self, trace_id: str) -> Any:
        record = self.records.get(trace_id)
        return SimpleNamespace(record=record) if record else None

    def meta_get(self, name: str) -> str | None:
        return self.meta.get(name)

    def meta_set(self, name: str, value: str) -> None:
        self.meta[name] = value


def test_it_learns_from_the_reviews_of_the_store() -> None:
    store: Any = Reviews(150)
    fitted = fit_from_reviews(store, now_ns=7)
    assert fitted.reviews == 150
    assert fitted.model.auc is not None
    assert fitted.model.auc > 0.95
    assert fitted.model.weights["retrieval_empty:unrecovered"] > 1
    assert fitted.model.fitted_ns == 7
    keep_model(store, fitted.model)
    assert kept_model(store) == fitted.model


def test_both_arms_count_in_the_weight() -> None:
    store: Any = Reviews(1)
    ((row,), pruned) = reviewed_rows(store)
    assert row.weight == pytest.approx(1 / (1 - 0.75 * 0.5))
    assert row.wrong == 1.0
    assert pruned == 0


def test_a_trace_weighs_as_much_as_the_requests_that_it_stands_for() -> None:
    store: Any = Reviews(3)
    ids = list(store.records)
    for trace_id, upstream in zip(ids, (0.1, 1.0, 0.0), strict=True):
        record = store.records[trace_id]
        decision = msgspec.structs.replace(record.decision, upstream=upstream)
        store.records[trace_id] = msgspec.structs.replace(record, decision=decision)
    alone = 1 / (1 - 0.75 * 0.5)
    assert [row.weight for row in reviewed_rows(store)[0]] == pytest.approx(
        [10 * alone, alone, alone]
    )


def test_hand_picked_traces_and_rechecks_give_no_row() -> None:
    store: Any = Reviews(0)
    store.add(1, wrong=True, found=True, hand_picked=True)
    store.add(2, wrong=True, found=True, phase="recheck-7")
    store.records[store.add(3, wrong=True, found=True)] = TraceRecord(
        f"{4:032x}", b"", Decision(f"{4:032x}", "s", "w", 1, 1.0, 0.2, flagged=False)
    )
    assert reviewed_rows(store) == ([], 1)


def test_a_model_that_no_longer_fits_is_told() -> None:
    store: Any = Reviews(150)
    keep_model(store, fit_from_reviews(store, now_ns=7).model)
    for number in range(150, 210):  # since then it is the quiet ones that are wrong
        store.add(number, wrong=number % 3 != 0, found=number % 3 == 0, at=9)
    fitted = fit_from_reviews(store, now_ns=10)
    assert fitted.drift is not None
    assert fitted.drift.n == 60
    assert fitted.drifted
    for number in range(210, 260):
        store.add(number, wrong=number % 3 == 0, found=number % 3 == 0, at=12)
    store.kept = [r for r in store.kept if r.finished_ns != 9]
    assert not fit_from_reviews(store, now_ns=13).drifted


def test_an_unreadable_model_is_the_prior() -> None:
    store: Any = Reviews(0)
    store.meta["risk.model"] = '{"intercept": "high"}'
    assert kept_model(store) is PRIOR


def test_a_fit_that_keeps_the_prior_gives_the_priors_numbers() -> None:
    from fidelity_otel.processor.read import read_otlp

    trace = read_otlp(body("ab" * 16))
    found = tuple(
        Finding("tool_error", state, "cd" * 8, "x.")  # type: ignore[arg-type]
        for state in ("recovered", "unrecovered")
    )
    assert risk(trace, found, RiskModel(n=12, fitted_ns=3)) == risk(trace, found)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged(tmp_path_factory.mktemp("risk"))[0]


def test_the_command_fits_and_keeps(data: Path) -> None:
    out, _ = run("risk", "fit", "--format", "json", "--dry-run", data=data)
    told = json.loads(out)
    assert told["reviews"] == 20
    assert told["pruned"] == 0
    out, _ = run("risk", "fit", data=data)
    assert "20 reviewed traces" in out
    assert "the weights before any review stay" in out


def test_the_command_explains(data: Path) -> None:
    out, _ = run("risk", "explain", f"{1:032x}", "--format", "json", data=data)
    told = json.loads(out)
    assert told["risk"] == pytest.approx(told["decided_with"], abs=1e-4)
    assert told["fitted_on"] == 0
    out, _ = run("risk", "explain", f"{1:032x}", data=data)
    assert "before any review" in out
    _, err = run("risk", "explain", "f" * 32, data=data, code=1)
    assert "is not stored" in err
