"""`sample.keep_share` in a real service: what it counts, what it stores, what it reports."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from otlp import request, span
from serving import FIDELITY, Serving, clean_environment

from fidelity_otel.processor.sample import hashed, uniform
from fidelity_otel.store import open_store

pytestmark = pytest.mark.xdist_group("service")

SHARE = 0.2
SALT = "a secret"
ROOT = {"gen_ai.workflow.name": "support", "gen_ai.operation.name": "chat"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}
FAILED = TOOL | {"error.type": "TimeoutError"}
OUTCOME = {"fidelity.outcome.name": "resolved", "fidelity.outcome.value": 1.0}


def traffic(count: int) -> tuple[dict[str, list[dict[str, Any]]], set[str]]:
    """Traces by their ids, and those of them that are remarkable."""
    draw, traces, remarkable = random.Random(6), dict[str, list[dict[str, Any]]](), set[str]()
    for number in range(count):
        trace = draw.getrandbits(128)
        tool = span(trace, 2, name="look", **(FAILED if number % 8 == 0 else TOOL))
        spans = [span(trace, 1, parent=None, name="support", **ROOT), tool]
        if number % 50 == 1:
            spans = [tool]  # it never ends
        elif number % 50 == 2:
            spans.append(span(trace, 3, name="fidelity.outcome", **OUTCOME))
        traces[f"{trace:032x}"] = spans
        if number % 8 == 0 or number % 50 in (1, 2):
            remarkable.add(f"{trace:032x}")
    return traces, remarkable


def send(service: Serving, traces: dict[str, list[dict[str, Any]]]) -> None:
    ids = list(traces)
    for start in range(0, len(ids), 60):
        some = ids[start : start + 60]
        assert service.send(request(*(each for i in some for each in traces[i]))) == 200


def ended(service: Serving, end: str) -> float:
    return service.metric(f'fidelity_ended_traces_total{{end="{end}"}}')


def test_counters_store_and_report_add_up_to_what_was_sent(tmp_path: Path) -> None:
    traces, remarkable = traffic(900)
    half = dict(list(traces.items())[:450])
    lucky = {i for i in traces if uniform(hashed(SALT.encode(), "keep", i)) <= SHARE}
    kept = remarkable | lucky
    chosen = {"FIDELITY_SAMPLE_KEEP_SHARE": str(SHARE), "FIDELITY_SAMPLE_SALT": SALT}
    service = Serving(tmp_path / "data", **chosen)
    with service:
        send(service, half)
        service.until(lambda: ended(service, "decided") == len(kept & set(half)))
        service.until(lambda: ended(service, "thinned") == len(set(half) - kept))
        service.kill()
        service.start()
        send(service, traces)  # what was decided before the crash is sent a second time
        new, again = kept - set(half), kept & set(half)
        service.until(lambda: ended(service, "decided") == len(new))
        service.until(lambda: ended(service, "duplicate") == len(again))
        service.until(lambda: ended(service, "thinned") == len(set(traces) - kept))
        shown = service.metric("fidelity_traces_total")
        assert shown == pytest.approx(
            len(new & remarkable) + len(new - remarkable) / SHARE, abs=0.01
        )
        assert service.metric("fidelity_lost_traces_total") == 0
        service.until(lambda: service.metric("fidelity_keep_share_ratio") == SHARE)
        quiet, found = list(set(traces) - kept)[:2]
        late = (span(int(quiet, 16), 7, name="look", **TOOL), span(int(found, 16), 7, **FAILED))
        assert service.send(request(*late)) == 200
        assert service.until(lambda: service.trace(found))["record"]["incomplete"] == ["thinned"]
        service.until(lambda: service.metric("fidelity_late_spans_total") == 2)
        assert service.trace(quiet) is None
    with open_store(tmp_path / "data") as store:
        assert {row.trace_id for row in store.traces(limit=2000)} == kept | {found}
        assert store.orphan_count() == 0
    said = subprocess.run(
        [FIDELITY, "report", "--format", "json", "--data", str(tmp_path / "data")],
        capture_output=True, text=True, env=clean_environment(), check=True, timeout=120,
    )  # fmt: skip
    activity = json.loads(said.stdout)["activity"]
    assert activity["traces"] == len(kept) + 1
    total = activity["requests"]["total"]
    error = ((len(traces) - len(remarkable)) * (1 / SHARE - 1)) ** 0.5
    assert abs(total - len(traces)) < 3 * error
    assert total == pytest.approx(len(remarkable) + 1 + len(kept - remarkable) / SHARE)
