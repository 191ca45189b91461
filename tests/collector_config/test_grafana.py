"""The dashboard: fresh, tidy, and every query answered by a real Prometheus."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from report_frames import NOW_NS, looked_at_again, world
from running import CONFIG, Running, answers, free_ports, until
from test_prometheus import exposed, selectors, series_names

from fidelity_otel.model import Decision, Finding, TraceRecord
from fidelity_otel.processor.metrics import Metrics
from fidelity_otel.processor.metrics_table import METRICS
from fidelity_otel.processor.tally import Tally
from fidelity_otel.report.numbers import summary

FOLDER = CONFIG / "grafana"
BOARD = json.loads((FOLDER / "fidelity.json").read_text())
PANELS = [p for p in BOARD["panels"] if p["type"] != "row"]
UNITS = {"percentunit", "short", "s", "bytes", "Bps", "reqps"}
VARIABLES = {"$window": "7d", "$workflow": "all", "$__rate_interval": "1m"}
QUERIES = [
    pytest.param(t["expr"], id=f"{p['title']}-{t['refId']}") for p in PANELS for t in p["targets"]
]


def test_the_dashboard_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "generate.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p["title"])
def test_a_panel_is_tidy(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith((".", "…"))
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    assert defaults["noValue"] == "insufficient data"
    assert panel["targets"]
    references = [t["refId"] for t in panel["targets"]]
    assert len(set(references)) == len(references)
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert target.get("legendFormat")
        if panel["type"] in {"timeseries", "stat"}:
            assert target.get("range") is True
    grid = panel["gridPos"]
    assert grid["x"] + grid["w"] <= 24


def test_titles_are_unique_and_panels_do_not_overlap() -> None:
    titles = [p["title"] for p in BOARD["panels"]]
    assert len(set(titles)) == len(titles)
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_estimates_are_never_shown_without_their_interval() -> None:
    for panel in PANELS:
        text = " ".join(t["expr"] for t in panel["targets"])
        if re.search(r"fidelity_(outcome|silent_failure|benchmark_gap)_ratio", text) and (
            panel["type"] != "table"
        ):
            for bound in ("low", "estimate", "high"):
                assert f'bound="{bound}"' in text, panel["title"]


def test_every_metric_of_the_table_is_on_the_dashboard() -> None:
    """What nobody can see is not observed; information and what others imply may be left out."""
    shown = {n for p in PANELS for t in p["targets"] for n in series_names(t["expr"])}
    shown = {re.sub(r"_(bucket|sum|count)$", "", n) for n in shown}
    left_out = {
        "fidelity_build_info",
        "fidelity_in_flight_bytes",
        "fidelity_in_flight_limit_bytes",
        "fidelity_ended_traces_total",
        "fidelity_stored_traces_total",
        "fidelity_stored_outcomes_total",
        "fidelity_decided_spans_total",
        "fidelity_lease_endings_total",
        "fidelity_leases",
        "fidelity_estimates_duration_seconds",
    }
    assert {m.exposed for m in METRICS} - shown == left_out


@pytest.mark.parametrize("expression", QUERIES)
def test_queries_use_only_what_the_service_exposes(expression: str) -> None:
    known = exposed()
    assert series_names(expression) - set(known) == set()
    for name, labels in selectors(expression):
        assert labels - known[name] == set()
    for counter in re.findall(r"(fidelity_\w+_total)", expression):
        assert re.search(rf"(rate|increase)\({counter}", expression), "a counter without its rate"


def busy(metrics: Metrics, tally: Tally, turn: int) -> None:
    """What a service counts in a second of work, a little of everything."""
    for number, mode in enumerate(("loop", "rate_limited", "retrieval_stale")):
        trace_id = f"{turn * 10 + number:032x}"
        decision = Decision(trace_id, "s", "w", 0, 1.0, 0.2, flagged=True, decided_ns=6 * 10**9)
        finding = Finding(mode, "recovered", "s", "e", recovery_ns=10**9)
        record = TraceRecord(
            trace_id,
            b"",
            decision,
            (finding,),
            workflow="support.answer",
            start_ns=10**9,
            end_ns=3 * 10**9,
            reported_success=number > 0,
        )
        metrics.trace(record)
    for protocol in ("grpc", "http"):
        for status in ("accepted", "rejected", "refused"):
            metrics.inc("fidelity_received_spans", 5, protocol=protocol, status=status)
        metrics.inc("fidelity_received_bytes", 5000, protocol=protocol)
        metrics.inc("fidelity_received_requests", protocol=protocol, status="ok")
    metrics.inc("fidelity_store_errors", operation="write")
    metrics.set("fidelity_risk_wrong_ratio", 0.2, kind="observed")
    metrics.set("fidelity_risk_wrong_ratio", 0.3, kind="predicted")
    metrics.set("fidelity_forward_lag_bytes", 100.0 + turn, destination="http://tempo:4318")
    metrics.observe("fidelity_journal_fsync_seconds", 0.003)
    metrics.observe("fidelity_review_duration_seconds", 42.0)
    metrics.set_total("fidelity_reviews", 3 * turn, "right", "estimation")
    metrics.set_total("fidelity_outcomes", 2 * turn, "resolved", "closed")
    for name in (
        "fidelity_journal_bytes",
        "fidelity_journal_limit_bytes",
        "fidelity_journal_lag_bytes",
        "fidelity_journal_lag_seconds",
        "fidelity_waiting_traces",
        "fidelity_waiting_spans",
        "fidelity_store_bytes",
        "fidelity_keep_share_ratio",
    ):
        metrics.set(name, 100.0 + turn)
    for name, label in (
        ("traces_decided", "root"),
        ("traces_decided", "idle"),
        ("traces_lost", "refused"),
        ("spans_late", ""),
        ("spans_decided", ""),
        ("detection_failed", ""),
        ("worker_deaths", ""),
        ("forward_sent", "http://tempo:4318"),
        ("forward_refused", "http://tempo:4318"),
    ):
        tally.add(name, label, 2)


@pytest.fixture(scope="module")
def prometheus(
    part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A real Prometheus with our rules, that scrapes real metrics of a made-up service."""
    binary = part("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    metrics, tally = Metrics(version="test"), Tally()
    metrics.read_tally(tally)
    settings = {"report.benchmark": 0.92, "report.objective": 0.9}
    made = summary(looked_at_again(world(traces=900)).store, now_ns=NOW_NS, settings=settings)
    metrics.set_summary(made, seconds=0.1)
    turns = iter(range(1, 1_000_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            busy(metrics, tally, next(turns))
            body, kind = metrics.expose(self.headers.get("accept", ""))
            self.send_response(200)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = yaml.safe_load((CONFIG / "prometheus" / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(CONFIG / "prometheus" / "fidelity.rules.yaml")]
    target = [f"127.0.0.1:{server.server_address[1]}"]
    config["scrape_configs"][0]["static_configs"] = [{"targets": target}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    running = Running(
        [
            str(binary),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
        ],
        folder / "prometheus.log",
    )
    try:
        running.start(lambda: answers(f"{url}/-/ready"))
        # Rates need two scrapes, rates over recorded rates one more.
        until(lambda: (ask(url, "count_over_time(up[5m])") or [[0, "0"]])[0][1] >= "4", 60)
        yield url
    finally:
        running.stop()
        server.shutdown()
        server.server_close()


def get(url: str, path: str, **query: str) -> Any:
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=20) as reply:
        answer = json.load(reply)
    assert answer["status"] == "success", answer
    return answer["data"]


def ask(url: str, expression: str) -> list[Any]:
    found = get(url, "query", query=expression)
    return [each["value"] for each in found["result"]]


@pytest.mark.parts
@pytest.mark.xdist_group("prometheus")
@pytest.mark.parametrize("expression", QUERIES)
def test_every_query_returns_data(prometheus: str, expression: str) -> None:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    values = [v for _, v in ask(prometheus, expression)]
    assert values, expression
    assert "NaN" not in values or "histogram_quantile" not in expression, expression


@pytest.mark.parts
@pytest.mark.xdist_group("prometheus")
def test_exemplars_lead_to_traces(prometheus: str) -> None:
    found = get(
        prometheus,
        "query_exemplars",
        query="fidelity_failures_total",
        start="0",
        end="9999999999",
    )
    ids = [e["labels"]["trace_id"] for series in found for e in series["exemplars"]]
    assert ids
    assert all(re.fullmatch(r"[0-9a-f]{32}", i) for i in ids)


@pytest.mark.parts
@pytest.mark.xdist_group("prometheus")
def test_the_rules_load_and_evaluate(prometheus: str) -> None:
    groups = get(prometheus, "rules")["groups"]
    assert len(groups) == 4
    until(
        lambda: all(
            rule["health"] == "ok"
            for g in get(prometheus, "rules")["groups"]
            for rule in g["rules"]
        ),
        said="a rule does not evaluate",
    )


@pytest.mark.parts
@pytest.mark.xdist_group("prometheus")
def test_the_workflow_variable_finds_the_workflows(prometheus: str) -> None:
    query = next(v["query"] for v in BOARD["templating"]["list"] if v["name"] == "workflow")
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()  # type: ignore[union-attr]
    found = get(prometheus, f"label/{label}/values", **{"match[]": metric})
    assert {"all", "support.answer", "refund.decide", "order.lookup"} <= set(found)
