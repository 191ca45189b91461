"""`fidelity report`: the lead's page, as text, JSON or HTML."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from fidelity_otel.errors import InputError

__all__ = ["command"]


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  fidelity report
  fidelity report --since 7d
  fidelity report --since 2026-11-01 --format html --output report.html
  fidelity report --format json | jq .fidelity
  fidelity report failures
""",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "html"]),
    default="text",
    show_default=True,
)
@click.option("--since", metavar="SPAN|TIME", help="90m, 12h, 7d, 4w, or an ISO 8601 time.")
@click.option("--data", metavar="DIR", help="Folder of the store.  [env: FIDELITY_DATA]")
@click.option("--config", type=click.Path(path_type=Path), help="The service's YAML file.")
@click.option("--output", type=click.Path(path_type=Path), help="A file instead of stdout.")
@click.option("--title", default="", help="Heading of the HTML page.")
@click.pass_context
def command(
    context: click.Context,
    *,
    style: str,
    since: str | None,
    data: str | None,
    config: Path | None,
    output: Path | None,
    title: str,
) -> None:
    """What share of the answers did what users needed, and what goes wrong.

    Every estimate comes with its interval and its n; where the reviews do not support one, the
    report says so instead. `fidelity report failures` is the document of failure modes.
    """
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from fidelity_otel.processor.config import load
    from fidelity_otel.report.html import render_html
    from fidelity_otel.report.numbers import summary
    from fidelity_otel.report.open import open_existing
    from fidelity_otel.report.since import since_ns
    from fidelity_otel.report.text import print_text, render_text

    settings = load(config, given={"data": ("--data", data)}).values
    now = time.time_ns()
    start = None if since is None else since_ns(since, now_ns=now)
    with open_existing(settings) as store:
        made = summary(store, now_ns=now, since_ns=start, settings=settings)
    if style == "text" and output is None:
        print_text(made, sys.stdout)
        return
    if style == "text":
        text = render_text(made)
    elif style == "json":
        text = msgspec.json.format(msgspec.json.encode(made)).decode() + "\n"
    else:
        text = render_html(made, title=title)
    _give(text, output)


@command.command(
    epilog="""\b
Examples:
  fidelity report failures --since 7d
  fidelity report failures --format markdown --output FAILURES.md
  fidelity report failures --format json | jq '.lines[] | select(.unrecovered > 0)'
"""
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "html", "markdown"]),
    default="text",
    show_default=True,
)
@click.option("--since", metavar="SPAN|TIME", help="90m, 12h, 7d, 4w, or an ISO 8601 time.")
@click.option("--data", metavar="DIR", help="Folder of the store.  [env: FIDELITY_DATA]")
@click.option("--config", type=click.Path(path_type=Path), help="The service's YAML file.")
@click.option("--output", type=click.Path(path_type=Path), help="A file instead of stdout.")
@click.option("--title", default="", help="Heading of the page.")
@click.option("--url", default="", help="Address of the review page, for links to exemplars.")
def failures(
    *,
    style: str,
    since: str | None,
    data: str | None,
    config: Path | None,
    output: Path | None,
    title: str,
    url: str,
) -> None:
    """How each workflow fails: every mode's rate, trend, recovery, cost, and traces to look at.

    What detectors find is counted on all traffic; what reviewers say is a weighted estimate. Modes
    that reviewers name and no detector found come last: they want a contract or an evaluator.
    """
    import msgspec

    from fidelity_otel.processor.config import load
    from fidelity_otel.report import failures as document
    from fidelity_otel.report.failures_html import render_failures_html
    from fidelity_otel.report.failures_text import (
        print_failures,
        render_failures,
        render_markdown,
    )
    from fidelity_otel.report.open import open_existing
    from fidelity_otel.report.since import since_ns

    settings = load(config, given={"data": ("--data", data)}).values
    now = time.time_ns()
    with open_existing(settings) as store:
        made = document.failures(
            store,
            now_ns=now,
            since_ns=None if since is None else since_ns(since, now_ns=now),
            level=settings["report.level"],
            minimum_n=settings["report.minimum_n"],
        )
    if style == "text" and output is None:
        print_failures(made, sys.stdout)
        return
    if style == "text":
        text = render_failures(made)
    elif style == "json":
        text = msgspec.json.format(msgspec.json.encode(made)).decode() + "\n"
    elif style == "html":
        text = render_failures_html(made, base_url=url, title=title)
    else:
        text = render_markdown(made, base_url=url, title=title)
    _give(text, output)


def _give(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}") from None
    click.echo(f"wrote {output}", err=True)
