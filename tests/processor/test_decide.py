"""Deciding: what a bug, a refusing store or an unreadable body may cost, and what it may not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from memory import MemoryStore, pipeline
from otlp import request, span

from fidelity_otel.errors import StoreBusy, StoreError
from fidelity_otel.model import Finding, Trace, TraceRecord
from fidelity_otel.processor import detect as detection
from fidelity_otel.processor import wire
from fidelity_otel.processor.decide import Decider
from fidelity_otel.processor.detect import DetectSettings
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.pipeline import Input, Pipeline
from fidelity_otel.processor.tally import Tally


class Deciding:
    def __init__(self, folder: Path, made: Pipeline | None = None, store: Any = None) -> None:
        self.tally = Tally()
        self.store = store or MemoryStore()
        self.decider = Decider(
            made or pipeline(self.tally),
            self.store,
            tally=self.tally,
            clock=lambda: 42,
            refused=folder / "refused",
            stored=lambda record, _: self.told.append(record.trace_id),
        )
        self.told: list[str] = []

    def run(self, *inputs: tuple[int, bytes], reason: str = "root") -> None:
        self.decider.run([Input(f"{t:032x}", [body], reason) for t, body in inputs])


def test_a_failing_detector_costs_its_findings_only(tmp_path: Path) -> None:
    tally = Tally()
    made = pipeline(tally)

    def broken(_traces: Sequence[Trace], *_: Any) -> Any:
        raise ZeroDivisionError

    made._detect = broken
    there = Deciding(tmp_path, made)
    there.run((1, request(span(1, 1, parent=None))))
    assert there.store.records[f"{1:032x}"].findings == ()
    assert tally.get("detection_failed") == 1


def test_a_detector_that_fails_on_one_trace_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(facts: Facts, _settings: DetectSettings) -> Iterator[Finding]:
        if facts.trace.trace_id == f"{2:032x}":
            raise ZeroDivisionError
        yield Finding("loop", "unrecovered", facts.trace.spans[0].span_id, "seen")

    monkeypatch.setattr(detection, "FIRST", (picky, *detection.FIRST))
    tally = Tally()
    made = pipeline(tally)
    made._detect = lambda traces, *_: detection.detect_all(traces)
    there = Deciding(tmp_path, made)
    there.run(*[(n, request(span(n, 1, parent=None))) for n in (1, 2, 3)])
    found = {t: [f.mode for f in r.findings] for t, r in there.store.records.items()}
    assert found == {f"{1:032x}": ["loop"], f"{2:032x}": [], f"{3:032x}": ["loop"]}
    assert tally.get("detection_failed") == 1


@pytest.mark.parametrize("count", [1, 31, 32, 33, 70])
def test_every_trace_of_a_batch_gets_its_own_decision(tmp_path: Path, count: int) -> None:
    there = Deciding(tmp_path)
    large = "x" * 100_000  # some are so large that few of them are worked on together
    bodies = [
        request(span(n, 1, parent=None, name=f"step {n}", text=large[: n % 7 * 20_000]))
        for n in range(1, count + 1)
    ]
    bodies[count // 2] = b"\xff"
    there.run(*[(n, body) for n, body in enumerate(bodies, 1)])
    assert len(there.store.records) == count - 1
    assert all(
        record.workflow == f"step {int(trace_id, 16)}"
        and record.otlp == bodies[int(trace_id, 16) - 1]
        for trace_id, record in there.store.records.items()
    )


def test_an_unreadable_body_costs_itself_only(tmp_path: Path) -> None:
    there = Deciding(tmp_path)
    there.run((1, b"\xff"), (2, request(span(2, 1, parent=None))))
    assert list(there.store.records) == [f"{2:032x}"]
    assert there.tally.get("traces_ended", "failed") == 1


def test_a_busy_store_is_tried_again_with_nothing_changed(tmp_path: Path) -> None:
    there = Deciding(tmp_path)
    there.store.busy = 1
    body = request(span(1, 1, parent=None))
    with pytest.raises(StoreBusy):
        there.run((1, body))
    assert there.told == []
    assert not there.tally.all()
    there.run((1, body))
    assert there.told == [f"{1:032x}"]
    assert there.tally.get("traces_ended", "decided") == there.tally.get("traces_decided") == 1
    there.run((1, body))
    assert there.tally.get("traces_ended", "duplicate") == 1


class Picky(MemoryStore):
    """Takes everything but one trace."""

    def add_traces(self, records: Iterable[TraceRecord]) -> Any:
        records = list(records)
        if any(r.trace_id.endswith("3") for r in records):
            raise StoreError("a value that no column takes")
        return super().add_traces(records)


def test_a_trace_that_the_store_refuses_is_kept_aside_and_the_rest_stored(tmp_path: Path) -> None:
    there = Deciding(tmp_path, store=Picky())
    bodies = [(n, request(span(n, 1, parent=None))) for n in range(1, 6)]
    there.run(*bodies)
    assert len(there.store.records) == 4
    aside = tmp_path / "refused" / f"{3:032x}.otlp"
    assert wire.decode(aside.read_bytes())[0].trace_id == f"{3:032x}"
    assert there.tally.get("traces_ended", "refused") == 1


class Down(MemoryStore):
    def add_traces(self, records: Iterable[TraceRecord]) -> Any:
        raise StoreError("the disk is gone")


def test_a_store_that_is_down_loses_nothing(tmp_path: Path) -> None:
    there = Deciding(tmp_path, store=Down())
    with pytest.raises(StoreError, match="the disk is gone"):
        there.run(*((n, request(span(n, 1, parent=None))) for n in range(1, 4)))
    assert not (tmp_path / "refused").exists()


def test_outcomes_are_kept_and_their_carriers_are_no_traces(tmp_path: Path) -> None:
    carrier = span(
        5, 1, parent=None, name="fidelity.outcome",
        **{
            "fidelity.outcome.id": "t-1", "fidelity.outcome.name": "solved",
            "fidelity.outcome.value": 1.0, "fidelity.outcome.ref.key.name": "ticket",
            "fidelity.outcome.ref.key.value": "T-42",
        },
    )  # fmt: skip
    there = Deciding(tmp_path)
    there.run((5, request(carrier)))
    assert list(there.store.outcomes) == ["t-1"]
    assert there.store.records == {}
    assert there.tally.get("traces_ended", "carrier") == 1
    # Late, into a trace that is stored: the outcome is kept, the trace is not revised.
    there.run((6, request(span(6, 9, parent=None))))
    there.run((6, request(carrier | {"trace_id": (6).to_bytes(16, "big")})))
    assert there.store.records[f"{6:032x}"].revision == 0


def test_late_spans_of_a_pruned_body_change_nothing(tmp_path: Path) -> None:
    there = Deciding(tmp_path)
    there.run((1, request(span(1, 1, parent=None))))
    import msgspec

    record = there.store.records[f"{1:032x}"]
    there.store.records[f"{1:032x}"] = msgspec.structs.replace(record, otlp=b"")
    there.run((1, request(span(1, 2))))
    assert there.store.records[f"{1:032x}"].revision == 0
    assert there.tally.get("traces_ended", "pruned") == 1


@pytest.mark.parametrize(("reason", "incomplete"), [("root", ()), ("idle", ("idle",))])
def test_a_reason_that_means_missing_spans_is_written_down(
    tmp_path: Path, reason: str, incomplete: tuple[str, ...]
) -> None:
    there = Deciding(tmp_path)
    there.run((1, request(span(1, 2))), reason=reason)
    assert there.store.records[f"{1:032x}"].incomplete == incomplete
    assert there.tally.get("traces_decided", reason) == 1
