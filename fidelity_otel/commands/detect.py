"""`fidelity detect FILE…`: failure modes of the traces in files, without a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from fidelity_otel.errors import InputError
from fidelity_otel.model import Finding, Trace
from fidelity_otel.processor.contract import Contracts, load_contracts
from fidelity_otel.processor.detect import DetectSettings, History, detect, risk
from fidelity_otel.processor.read import read_otlp
from fidelity_otel.processor.read_files import contents_of, traces_in
from fidelity_otel.settings import read_env

__all__ = ["command"]

_BRIEF = ("mode", "state", "span_id", "evidence")
_STYLE = {"recovered": "green", "escalated": "yellow", "unrecovered": "red"}
_HIGH, _MIDDLE = 0.6, 0.35


@click.command(
    "detect",
    epilog="\b\nExamples:\n"
    "  fidelity detect traces.jsonl\n"
    "  fidelity detect traces.jsonl | jq 'select(.risk > .5)'\n"
    "  fidelity detect --format json *.pb > findings.jsonl\n"
    "  zcat traces.jsonl.gz | fidelity detect -",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    help="A table for people or JSON lines; auto: by whether stdout is a terminal.",
)
@click.option("--full", is_flag=True, help="Whole findings in the JSON: spans, recovery, notice.")
@click.option(
    "--stale-days", type=click.FloatRange(min=0), help="Age at which a document is stale."
)
@click.option(
    "--contracts", multiple=True, metavar="FILE", help="Contracts to check as well; repeatable."
)
@click.option("--loop-calls", type=click.IntRange(min=2), help="Identical calls that make a loop.")
def command(
    files: tuple[str, ...],
    form: str,
    *,
    full: bool,
    stale_days: float | None,
    loop_calls: int | None,
    contracts: tuple[str, ...],
) -> None:
    """Say of every trace in FILE… how it failed and what recovered.

    FILE is OTLP JSON lines (what the Collector's file exporter writes), one OTLP JSON document, or
    OTLP protobuf; gzipped too; - is standard input. A trace may be spread over lines and files.
    Lines that cannot be read are named on stderr, the others still read; the exit code is then 2.
    """
    given = read_env(prefix="detect.")
    given |= {
        name: value
        for name, value in (("detect.stale_days", stale_days), ("detect.loop_calls", loop_calls))
        if value is not None
    }
    settings = DetectSettings.from_settings(given)
    bad: list[str] = []

    def report(place: str, what: str) -> None:
        bad.append(place)
        click.echo(f"{place}: {what}", err=True)

    if form == "auto":
        form = "text" if sys.stdout.isatty() else "json"
    rules = load_contracts(contracts)
    rows = _rows(traces_in(contents_of(files, report), report), settings, rules)
    if form == "json":
        _print_json(rows, full=full)
    else:
        _print_table(rows)
    if bad:
        shown = ", ".join(bad[:3]) + (", …" if len(bad) > 3 else "")  # noqa: PLR2004
        raise InputError(f"{len(bad)} of the inputs could not be read: {shown}; see above")


def _rows(
    traces: Iterator[bytes], settings: DetectSettings, contracts: Contracts
) -> Iterator[tuple[Trace, tuple[Finding, ...], float]]:
    history = History()
    for otlp in traces:
        trace = read_otlp(otlp)
        if trace.spans:  # not only carriers of outcomes
            findings = detect(trace, settings, history=history) + contracts.findings(trace)
            yield trace, findings, risk(trace, findings)


def _print_json(rows: Iterator[tuple[Trace, tuple[Finding, ...], float]], *, full: bool) -> None:
    encode = msgspec.json.Encoder().encode
    out = sys.stdout.buffer
    for trace, findings, probability in rows:
        told: list[Any] = [
            f if full else {name: getattr(f, name) for name in _BRIEF} for f in findings
        ]
        row = {
            "trace_id": trace.trace_id,
            "workflow": trace.workflow,
            "findings": told,
            "risk": round(probability, 4),
        }
        out.write(encode(row) + b"\n")
    out.flush()


def _print_table(rows: Iterator[tuple[Trace, tuple[Finding, ...], float]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("trace", no_wrap=True)
    table.add_column("workflow")
    table.add_column("risk", justify="right")
    table.add_column("findings", ratio=1)
    traces = flagged = 0
    for trace, findings, probability in rows:
        traces += 1
        flagged += bool(findings)
        told = Text()
        for finding in findings:
            told.append("\n" if told else "")
            told.append(f"{finding.mode} ", style="bold")
            told.append(finding.state, style=_STYLE[finding.state])
            told.append(f"  {finding.evidence}")
        color = "red" if probability > _HIGH else "yellow" if probability > _MIDDLE else "green"
        table.add_row(
            trace.trace_id[:16],
            Text(trace.workflow),
            Text(f"{probability:.2f}", style=color),
            told or Text("nothing found", style="dim"),
        )
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(
        f"\n{traces} traces, {flagged} with findings. Rules miss most wrong answers: "
        "only review and outcomes find the silent ones.",
        style="dim",
    )
