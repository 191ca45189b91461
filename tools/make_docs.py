#!/usr/bin/env python3
"""Makes the pages of docs/ that come from code: settings, metrics, commands, integrations.

.venv/bin/python tools/make_docs.py            writes those that are not fresh
.venv/bin/python tools/make_docs.py --check    exits 1 and names those that are not fresh
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "<!-- Made by tools/make_docs.py: change the code, not this page. -->"
GROUPS = {
    "sdk": "The application",
    "": "Service: where",
    "ports": "Service: ports",
    "receive": "Service: receiving",
    "journal": "Service: journal",
    "assemble": "Service: assembling traces",
    "detect": "Service: failure modes",
    "sample": "Service: sampling for review",
    "retain": "Service: keeping",
    "store": "Service: store",
    "review": "Service: review",
    "report": "Service: report and metrics",
}


SETTINGS_HEAD = f"""# Settings
{MADE}

Every setting is an environment variable. Those of the service can also stand in its YAML file,
`fidelity serve --config fidelity.yaml`, where dots are levels: `ports.http` is

```yaml
ports:
  http: 8318
```

An option on the command line wins over the environment, that over the file, and that over the
default. `fidelity config` prints what holds, and where it came from. A setting marked ↻ takes
effect on a running service when its file changes."""

METRICS_HEAD = f"""# Metrics
{MADE}

The service shows them at `/metrics` on its HTTP port (8318), in OpenMetrics where the scraper asks
for it. Then counters and histograms carry exemplars with the `trace_id` of a trace behind them;
Prometheus keeps those with `--enable-feature=exemplar-storage`.

- **Events are counters**, since the service started: with several replicas, sum them. Those counted
  in the store (reviews, lease endings, outcomes) are the same in all replicas: take the maximum.
- **Estimates are gauges** from 0 to 1, because late evidence moves them both ways. `bound` is
  `estimate`, `low` or `high`; `window` is `1d`, `3d`, `7d`, `28d` or `all`; `workflow` is `all` for
  all together. With several replicas on one store all show the same: take the maximum. Where the
  reviews do not support an estimate, the series is absent, and `fidelity_reviewed_traces` says how
  many there are.
- **No label is unbounded**: workflows, modes and outcomes beyond `report.max_workflows` are
  `other`.

Rules and alerts: [alerts.md](alerts.md). Dashboard:
[`collector-config/grafana/fidelity.json`](../collector-config/grafana/fidelity.json)."""

CLI_HEAD = f"""# Commands
{MADE}

Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 the thing checked does not hold, 2 wrong
use or bad input."""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _default(value: Any) -> str:
    if value is None or value in ((), ""):
        return ""
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, tuple | list):
        return f"`{', '.join(map(str, value))}`"
    return f"`{_size(value)}`"


def _size(value: Any) -> str:
    """Round numbers of bytes as people write them."""
    if isinstance(value, int) and value >= 1 << 10:
        for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
            if value % (1 << power) == 0:
                return f"{value >> power} {unit}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_page() -> str:
    """docs/settings.md, from the table in settings.py."""
    from fidelity_otel.settings import TABLE

    lines = [SETTINGS_HEAD]
    groups: dict[str, list[Any]] = {}
    for setting in TABLE:
        groups.setdefault(setting.name.rpartition(".")[0].partition(".")[0], []).append(setting)
    for group in sorted(groups, key=lambda g: _place(g, list(GROUPS))):
        lines += ["", f"## {GROUPS.get(group, f'Service: {group}')}", ""]
        lines += ["| setting | variable | type | default | |", "| --- | --- | --- | --- | --- |"]
        for s in groups[group]:
            name = f"`{s.name}`" + (" ↻" if s.reloadable else "")
            text = s.help + (f" One of {', '.join(s.choices)}." if s.choices else "")
            if s.minimum:
                text += f" At least {_size(s.minimum)}."
            row = (name, f"`{s.variable}`", s.type, _default(s.default), _cell(text))
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _place(value: str, order: Sequence[str]) -> int:
    return order.index(value) if value in order else len(order)


def metrics_page() -> str:
    """docs/metrics.md, from the table in processor/metrics_table.py."""
    from fidelity_otel.processor.metrics_table import GROUPS as FAMILIES
    from fidelity_otel.processor.metrics_table import METRICS

    lines = [METRICS_HEAD]
    for group, title in FAMILIES.items():
        lines += ["", f"## {title}", ""]
        lines += ["| metric | type | labels | |", "| --- | --- | --- | --- |"]
        for metric in METRICS:
            if metric.group == group:
                labels = ", ".join(f"`{label}`" for label in metric.labels)
                row = (f"`{metric.exposed}`", metric.type, labels, _cell(metric.help))
                lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """docs/cli.md, from the commands themselves; those that are not there yet by their summary."""
    from fidelity_otel.cli import COMMANDS

    lines = [CLI_HEAD]
    for name, summary in COMMANDS.items():
        lines += ["", f"## fidelity {name}", "", *_command(name, summary)]
    return "\n".join(lines) + "\n"


def _command(name: str, summary: str) -> list[str]:
    import click

    try:
        found = importlib.import_module(f"fidelity_otel.commands.{name}").command
    except ModuleNotFoundError as error:
        if error.name != f"fidelity_otel.commands.{name}":
            raise
        return [summary]
    lines = _help(found, f"fidelity {name}")
    if isinstance(found, click.Group):
        for below, command in sorted(found.commands.items()):
            lines += [
                "",
                f"### fidelity {name} {below}",
                "",
                *_help(command, f"fidelity {name} {below}"),
            ]
    return lines


def _help(command: Any, path: str) -> list[str]:
    import click

    context = click.Context(
        command, info_name=path, help_option_names=["-h", "--help"], terminal_width=96,
        max_content_width=96,
    )  # fmt: skip
    text = command.get_help(context)
    return ["```text", *(line.rstrip() for line in text.splitlines()), "```"]


def failure_modes_page() -> str:
    """docs/failure-modes.md, from the table of modes."""
    sys.path.insert(0, str(Path(__file__).parent))
    from docs_failure_modes import page

    return str(page(MADE))


def detection_page() -> str:
    """docs/detection.md, from the results of the benchmark."""
    sys.path.insert(0, str(Path(__file__).parent))
    from docs_detection import page

    return str(page(MADE))


def integrations_page() -> str:
    """docs/sdk/integrations.md, its table from the integrations."""
    sys.path.insert(0, str(Path(__file__).parent))
    from docs_integrations import ROOT, filled, table

    return str(filled(ROOT / "docs" / "sdk" / "integrations.md", table()))


def readme() -> str:
    """README.md, its list of integrations from the integrations."""
    sys.path.insert(0, str(Path(__file__).parent))
    from docs_integrations import ROOT, filled, short

    return str(filled(ROOT / "README.md", short()))


def bench_sdk_page() -> str:
    """docs/bench-sdk.md, from the results of the benchmark."""
    sys.path.insert(0, str(Path(__file__).parent))
    from docs_bench_sdk import page

    return str(page(MADE))


PAGES: dict[str, Callable[[], str]] = {
    "../README.md": readme,
    "sdk/integrations.md": integrations_page,
    "bench-sdk.md": bench_sdk_page,
    "detection.md": detection_page,
    "failure-modes.md": failure_modes_page,
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "cli.md": cli_page,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages; returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes the pages of docs/ that come from code.")
    parser.add_argument("--check", action="store_true", help="only say which are not fresh")
    check = parser.parse_args(arguments).check
    stale = []
    for name, make in PAGES.items():
        text, path = make(), Path(os.path.normpath(DOCS / name))
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        place = f"docs/{name}".replace("docs/../", "")
        sys.stderr.write(f"{place}: {'not fresh' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
