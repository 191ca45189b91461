#!/usr/bin/env python3
"""Makes `fidelity.json`, the Grafana dashboard, beside this file.

    .venv/bin/python collector-config/grafana/generate.py            writes it
    .venv/bin/python collector-config/grafana/generate.py --check    exits 1 where it is not fresh

Import the JSON into Grafana and choose the Prometheus data source that scrapes the service.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from outcome_rows import goes_wrong, trusted, users_get
from panels import SOURCE
from service_rows import activity, service

TARGET = Path(__file__).with_name("fidelity.json")


ROWS = (
    ("What users get", users_get),
    ("What goes wrong, and what recovers", goes_wrong),
    ("How far to trust the numbers", trusted),
    ("Activity", activity),
    ("The service's own health", service),
)


def build() -> dict[str, Any]:
    """The dashboard as Grafana's JSON model."""
    made = (
        dashboard.Dashboard("Outcome fidelity")
        .uid("fidelity-otel")
        .description("What users get from an AI system in production, with honest intervals.")
        .tags(["fidelity", "opentelemetry", "genai"])
        .time("now-7d", "now")
        .timezone("browser")
        .refresh("1m")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(
            dashboard.CustomVariable("window")
            .label("Window")
            .values("1d,3d,7d,28d,all")
            .current(models.VariableOption(selected=True, text="7d", value="7d"))
            .options(
                [
                    models.VariableOption(selected=name == "7d", text=name, value=name)
                    for name in ("1d", "3d", "7d", "28d", "all")
                ]
            )
        )
        .with_variable(
            dashboard.QueryVariable("workflow")
            .label("Workflow")
            .datasource(SOURCE)
            .query("label_values(fidelity_frame_traces, workflow)")
            .current(models.VariableOption(selected=True, text="all", value="all"))
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    )
    for title, panels in ROWS:
        made.with_row(dashboard.Row(title))
        for panel in panels():
            made.with_panel(panel)
    encoded: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(made.build()))
    return encoded


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the file; returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes the Grafana dashboard.")
    parser.add_argument("--check", action="store_true", help="only say whether it is fresh")
    text = json.dumps(build(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if parser.parse_args(arguments).check:
        fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text
        if not fresh:
            sys.stderr.write(f"{TARGET.name} is not fresh: run {Path(__file__).name}\n")
        return 0 if fresh else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
