"""The scrape configuration and the rules: checked and unit-tested by the real promtool."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import CONFIG, ROOT

from fidelity_otel.processor.metrics_table import METRICS

FOLDER = CONFIG / "prometheus"
RULES = yaml.safe_load((FOLDER / "fidelity.rules.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
RECORDED = {
    rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule
}
EXPRESSIONS = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
WINDOWS = {"1d", "3d", "7d", "28d"}


def series_names(expression: str) -> set[str]:
    """The names of our series in an expression."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"(?<![\w:])fidelity_\w+(?![\w:])", bare))


def exposed() -> dict[str, set[str]]:
    """Every series' name that the service can show, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in METRICS:
        labels = set(metric.labels)
        if metric.type == "histogram":
            for suffix in ("bucket", "sum", "count"):
                found[f"{metric.name}_{suffix}"] = labels | (
                    {"le"} if suffix == "bucket" else set()
                )
        else:
            found[metric.exposed] = labels
    return found


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """(series' name, labels matched) of an expression."""
    for name, inside in re.findall(r"(fidelity_\w+)\{([^}]*)\}", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))


def promtool(tool: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(tool), *arguments], capture_output=True, text=True, cwd=FOLDER, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parts
def test_promtool_accepts_the_files(part: Callable[[str], Path]) -> None:
    tool = part("promtool")
    promtool(tool, "check", "config", "prometheus.yaml")
    promtool(tool, "check", "rules", "--lint=all", "--lint-fatal", "fidelity.rules.yaml")


@pytest.mark.parts
def test_the_rules_unit_tests_hold(part: Callable[[str], Path]) -> None:
    assert "SUCCESS" in promtool(part("promtool"), "test", "rules", "fidelity.rules.test.yaml")


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = yaml.safe_load((FOLDER / "fidelity.rules.test.yaml").read_text())["tests"]
    checks = [c for case in cases for c in case.get("alert_rule_test", [])]
    fires = {c["alertname"] for c in checks if c.get("exp_alerts")}
    silent = {c["alertname"] for c in checks if not c.get("exp_alerts")}
    names = {alert["alert"] for alert in ALERTS}
    assert names - fires == set()
    # A case may also hold series beside those that fire, which then must not.
    beside = {
        c["alertname"]
        for case in cases
        for c in case.get("alert_rule_test", [])
        if len(case["input_series"]) > 2 * len(c.get("exp_alerts") or [])
    }
    assert names - silent - beside == set()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a["alert"])
def test_an_alert_says_what_how_bad_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket", "info"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    text = (ROOT / page).read_text()
    headings = {h.strip().lower() for h in re.findall(r"^### (.+)$", text, re.M)}
    assert anchor in headings
    assert anchor == alert["alert"].lower()
    section = text.split(f"### {alert['alert']}\n")[1].split("\n## ")[0].split("\n### ")[0]
    assert section.strip().startswith(f"**{alert['labels']['severity']}.**")


def test_the_page_knows_no_alert_that_is_not_there() -> None:
    headings = re.findall(r"^### (.+)$", (ROOT / "docs/alerts.md").read_text(), re.M)
    assert sorted(headings) == sorted(alert["alert"] for alert in ALERTS)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_use_only_what_the_service_exposes(expression: str) -> None:
    known = exposed()
    assert series_names(expression) - set(known) == set()
    for name, labels in selectors(expression):
        if not name.endswith((":ratio", ":reviews")):
            assert labels - known[name] == set(), name
    for recorded in re.findall(r"\b\w+(?::\w+)+\b", expression):
        assert recorded in RECORDED


def test_alerts_on_estimates_look_at_a_bound_over_days_with_enough_reviews() -> None:
    """A 14.4× burn alert over an hour cannot fire on a 90% objective; none may come back."""
    on_estimates = [
        a for a in ALERTS if re.search(r"outcome_(high|low)|silent_failure_low", a["expr"])
    ]
    assert len(on_estimates) >= 4
    for alert in on_estimates:
        windows = set(
            re.findall(r"\b\d+[dhm]\b", " ".join(re.findall(r'window=~?"([^"]+)"', alert["expr"])))
        )
        assert windows
        assert windows <= WINDOWS
        assert "fidelity_reviewed" in alert["expr"]
        assert "fidelity:alert_minimum:reviews" in alert["expr"]
    for expression in EXPRESSIONS:
        assert 'bound="estimate"' not in expression


def test_the_scrape_goes_to_the_default_port() -> None:
    from fidelity_otel.settings import by_name

    scrape = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"][0]
    port = by_name()["ports.http"].default
    assert scrape["static_configs"][0]["targets"] == [f"127.0.0.1:{port}"]
    assert scrape["job_name"] == "fidelity"
    assert 'up{job="fidelity"}' in " ".join(EXPRESSIONS)
