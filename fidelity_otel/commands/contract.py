"""`fidelity contract check FILE [TRACES…]`: a contract's own tests, then traces against it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from fidelity_otel.errors import InputError

__all__ = ["command"]

_SHOWN = 3


@click.group(
    epilog="""\b
Examples:
  fidelity contract check contracts.yaml
  fidelity contract check contracts.yaml traces.jsonl
"""
)
def command() -> None:
    """Contracts: what correct means per workflow."""


@command.command(
    epilog="""\b
Examples:
  fidelity contract check contracts.yaml
  fidelity contract check contracts.yaml traces.jsonl
  fidelity contract check contracts.yaml traces.jsonl --format json | jq .rule
"""
)
@click.argument("file", metavar="FILE")
@click.argument("traces", nargs=-1, metavar="[TRACES]…")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A summary, or one JSON line for each rule that a trace breaks.",
)
@click.option("--judge", is_flag=True, help="Ask judges of TRACES too: sends content to a model.")
def check(file: str, traces: tuple[str, ...], form: str, *, judge: bool) -> int:
    """Run the tests that stand in FILE, then check TRACES (as for `fidelity detect`) against it.

    Ends with 1 where a test fails or a trace breaks a rule, with 2 where FILE is wrong.
    """
    from fidelity_otel.processor.contract import load_contracts, run_cases

    contracts = load_contracts([file], ask=judge)
    outcomes = [o for held in contracts.by_workflow.values() for c in held for o in run_cases(c)]
    wrong = [o for o in outcomes if not o.passed]
    for outcome in wrong:
        click.echo(f"{file}:{outcome.case.line}: {_said(outcome)}", err=True)
    click.echo(f"{len(outcomes)} tests, {len(wrong)} failed", err=True)
    broken = _check(contracts, traces, form) if traces else 0
    for rule, times in sorted(contracts.failed.items()):
        click.echo(f"{rule} could not be evaluated on {times} traces; see above", err=True)
    return 1 if wrong or broken or contracts.failed else 0


@command.command(
    epilog="""\b
Examples:
  fidelity contract calibrate contracts.yaml traces.jsonl --labels labels.csv --judge

\b
Columns of the labels:
  trace_id  which trace
  rule      which rule, by its name
  broken    1 where a person says that the trace breaks it, else 0
"""
)
@click.argument("file", metavar="FILE")
@click.argument("traces", nargs=-1, required=True, metavar="TRACES…")
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="A CSV file.")
@click.option("--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option("--judge", is_flag=True, help="Ask judges too: sends content to a model.")
def calibrate(
    file: str, traces: tuple[str, ...], labels: Path, level: float, *, judge: bool
) -> None:
    """Hold rules, a judge above all, against what people say of the same traces.

    One JSON line a rule: how many broken ones it finds (sensitivity), how many sound ones it leaves
    alone (specificity), both with exact intervals, and whether that is better than chance.
    """
    from fidelity_otel.processor.contract import load_contracts
    from fidelity_otel.processor.read import read_otlp
    from fidelity_otel.processor.read_files import contents_of, traces_in
    from fidelity_otel.report.rule_calibration import calibrated, read_labels

    contracts = load_contracts([file], ask=judge)
    said = read_labels(labels)
    wanted = {trace_id for trace_id, _ in said}
    found: dict[tuple[str, str], str] = {}
    bad: list[str] = []

    def report(place: str, what: str) -> None:
        bad.append(place)
        click.echo(f"{place}: {what}", err=True)

    for otlp in traces_in(contents_of(traces, report), report):
        trace = read_otlp(otlp)
        if trace.spans and trace.trace_id in wanted:
            before = contracts.failed.copy()
            broken = {breach.rule for breach in contracts.check(trace)}
            for rule in contracts.rules_of(trace.workflow):
                state = "broken" if rule.name in broken else "kept"
                if contracts.failed[rule.name] > before[rule.name]:
                    state = "open"
                found[trace.trace_id, rule.name] = state
    for line in calibrated(said, found, level):
        click.echo(msgspec.json.encode(line).decode())
    if bad:
        raise InputError(f"{len(bad)} of the inputs could not be read; see above")


def _said(outcome: Any) -> str:
    name = outcome.case.name or outcome.case.answer[:40] or "a test"
    parts = [f"should break {r} and does not" for r in outcome.missed]
    parts += [f"breaks {r} and should not" for r in outcome.extra]
    parts += [f"{r} could not be evaluated" for r in outcome.failed]
    return f"{outcome.workflow}: {name!r} {'; '.join(parts)}"


def _check(contracts: Any, files: tuple[str, ...], form: str) -> int:
    from fidelity_otel.processor.read import read_otlp
    from fidelity_otel.processor.read_files import contents_of, traces_in

    bad: list[str] = []

    def report(place: str, what: str) -> None:
        bad.append(place)
        click.echo(f"{place}: {what}", err=True)

    encode = msgspec.json.Encoder().encode
    count: dict[str, list[str]] = {}
    seen = broken = 0
    for otlp in traces_in(contents_of(files, report), report):
        trace = read_otlp(otlp)
        if not trace.spans or not contracts.rules_of(trace.workflow):
            continue
        seen += 1
        found = contracts.check(trace)
        broken += bool(found)
        for breach in found:
            count.setdefault(breach.rule, []).append(trace.trace_id)
            if form == "json":
                row = {"trace_id": trace.trace_id, "workflow": trace.workflow}
                sys.stdout.buffer.write(encode(row | msgspec.to_builtins(breach)) + b"\n")
    sys.stdout.flush()
    if form == "text":
        click.echo(f"{seen} traces with a contract, {broken} break it")
        for rule, ids in sorted(count.items(), key=lambda each: -len(set(each[1]))):
            shown = list(dict.fromkeys(ids))
            some = ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")
            click.echo(f"  {rule}: {len(shown)} traces ({some})")
    if bad:
        raise InputError(f"{len(bad)} of the inputs could not be read; see above")
    return broken
