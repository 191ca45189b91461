"""Worker processes decide as one process does, also while they are killed."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from otlp import request, span

from fidelity_otel.processor.config import load
from fidelity_otel.processor.detect import History
from fidelity_otel.processor.live import Live, make_pipeline
from fidelity_otel.processor.pipeline import Decided, Decides, Input
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.workers import Workers
from fidelity_otel.store import Store, open_store

NOW = 1_764_000_000 * 10**9
ODD = {"error_page": "<html>"}


def body(number: int, chance: random.Random, *, odd: bool) -> bytes:
    """A trace whose tool gives what it always gives, or something else, or fails."""
    result = ODD if odd else {"order": number, "state": "sent", "total": 9.5}
    tool: dict[str, Any] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.call.result": json.dumps(result),
    }
    if not odd and chance.random() < 0.2:
        tool["error.type"] = "TimeoutError"
    root = {"gen_ai.workflow.name": "support", "gen_ai.operation.name": "chat"}
    return request(
        span(number, 1, parent=None, name="support", **root), span(number, 2, name="look", **tool)
    )


def batches() -> list[list[Input]]:
    """Two hundred traces and what has to be survived: garbage, doubles, several parts."""
    chance, made = random.Random(5), list[Input]()
    for number in range(1, 201):
        trace_id = number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)
        bodies = [body(trace_id, chance, odd=number % 36 == 35)]
        if number % 20 == 0:
            bodies = [b"\xff garbage"]
        elif number % 7 == 0:
            bodies.append(request(span(trace_id, 3, name="late")))
        made.append(Input(f"{trace_id:032x}", bodies, "root", number % 2 == 0))
    return [made[start : start + 23] for start in range(0, len(made), 23)]


class Told(NamedTuple):
    decided: list[Decided]
    counts: dict[tuple[str, str], int]


def run(decides: Decides, tally: Tally, between: Any = lambda: None) -> Told:
    """All batches, then the first traces again with a span more, as revisions."""
    told: list[Decided] = []
    bodies: dict[str, bytes] = {}
    for batch in batches():
        between()
        made = decides.decide(batch, now_ns=NOW, known={}, body=lambda _: b"")
        bodies |= {d.record.trace_id: d.record.otlp for d in made if d.record is not None}
        told += made
    again = [
        Input(trace_id, [request(span(int(trace_id, 16), 9, name="more"))], "late")
        for trace_id in list(bodies)[:10]
    ]
    known = {given.trace_id: 3 for given in again}
    told += decides.decide(again, now_ns=NOW, known=known, body=lambda i: bodies[i])
    return Told(told, tally.all())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "data") as opened:
        yield opened


def live(store: Store, **environment: str) -> Live:
    return Live(load(environ={"FIDELITY_SAMPLE_SALT": "s", **environment}), store)


def alone(store: Store, **environment: str) -> Told:
    tally = Tally()
    return run(make_pipeline(live(store, **environment), tally), tally)


@contextmanager
def workers(count: int, rules: Live, tally: Tally) -> Iterator[Workers]:
    history = History()
    pipeline = make_pipeline(rules, tally, history)
    made = Workers(count, rules, pipeline, history=history, tally=tally)
    try:
        yield made
    finally:
        made.close()


def test_any_number_of_workers_decides_the_same(store: Store) -> None:
    expected = alone(store)
    odd = [
        finding.evidence
        for each in expected.decided
        if each.record is not None
        for finding in each.record.findings
        if finding.mode == "tool_schema_mismatch"
    ]
    assert len(odd) > 2, "nothing was learned that could make a difference"
    assert {each.end for each in expected.decided} == {"decided", "failed", "revised"}
    for count in (2, 3):
        tally = Tally()
        with workers(count, live(store), tally) as shared:
            assert run(shared, tally) == expected


def test_workers_thin_as_one_process_does(store: Store) -> None:
    """Also where what one shows is odd only beside the others: a worker alone would thin it."""
    some = {"FIDELITY_SAMPLE_KEEP_SHARE": "0.1"}
    expected, tally = alone(store, **some), Tally()
    odd = [each.record.findings for each in expected.decided if each.record is not None]
    assert any(f.mode == "tool_schema_mismatch" for findings in odd for f in findings)
    assert expected.counts["traces_ended", "thinned"] > 100
    with workers(2, live(store, **some), tally) as shared:
        assert run(shared, tally) == expected


def test_killed_workers_change_nothing(store: Store) -> None:
    expected, tally, chance = alone(store), Tally(), random.Random(3)
    with workers(2, live(store), tally) as shared:

        def kill() -> None:
            os.kill(chance.choice(shared.pids), signal.SIGKILL)

        told = run(shared, tally, kill)
    assert told.decided == expected.decided
    deaths = told.counts[("worker_deaths", "")]
    assert deaths >= 5
    assert told.counts == {**expected.counts, ("worker_deaths", ""): deaths}


def test_what_workers_die_of_is_decided_without_them(store: Store, tmp_path: Path) -> None:
    """A contract that cannot be read any more ends every worker at its start."""
    contract = tmp_path / "contract.yaml"
    contract.write_text("support:\n  rules:\n    - must_contain: [hello]\n")
    rules, tally = live(store, FIDELITY_CONTRACTS=str(contract)), Tally()
    contract.write_text("support: [")
    few = batches()[0][:4]
    with workers(2, rules, tally) as shared:
        made = shared.decide(few, now_ns=NOW, known={}, body=lambda _: b"")
    fresh = Tally()
    assert made == make_pipeline(rules, fresh).decide(few, now_ns=NOW, known={}, body=lambda _: b"")
    assert tally.get("worker_deaths") == 4
    assert tally.get("traces_ended") == fresh.get("traces_ended") == 4


def test_workers_follow_a_reload(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "fidelity.yaml"
    path.write_text("sample: {window_seconds: 60}\n")
    rules = Live(load(path, environ={"FIDELITY_SAMPLE_SALT": "s"}), store)
    few, tally = batches()[0][:8], Tally()

    def windows(decides: Decides) -> list[str]:
        made = decides.decide(few, now_ns=NOW, known={}, body=lambda _: b"")
        return [each.record.decision.window for each in made if each.record is not None]

    with workers(2, rules, tally) as shared:
        before = windows(shared)
        path.write_text("sample: {window_seconds: 600}\n")
        rules.reload()
        after = windows(shared)
    assert before != after
    assert after == windows(make_pipeline(rules, Tally()))


def test_workers_end_with_the_service(store: Store) -> None:
    with workers(2, live(store), Tally()) as shared:
        pids = shared.pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
