"""`fidelity dataset export`: reviewed production traces as an evaluation set, with weights."""

from __future__ import annotations

import time
from pathlib import Path

import click

from fidelity_otel.errors import InputError

__all__ = ["command"]


@click.group()
def command() -> None:
    """Evaluation sets made of reviewed production traces."""


@command.command(
    epilog="""\b
Examples:
  fidelity dataset export --output cases.jsonl
  fidelity dataset export --format parquet --output cases.parquet --since 28d
  fidelity dataset export --format hf --output ./my-dataset --workflow support.answer
"""
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["jsonl", "parquet", "hf"]),
    default="jsonl",
    show_default=True,
    help="hf is a folder for datasets.load_dataset.",
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="File or folder.")
@click.option("--since", metavar="SPAN|TIME", help="90m, 12h, 7d, 4w, or an ISO 8601 time.")
@click.option("--workflow", help="Only of this workflow.")
@click.option("--hand-picked", is_flag=True, help="Also traces that a person chose; no weight.")
@click.option("--data", metavar="DIR", help="Folder of the store.  [env: FIDELITY_DATA]")
@click.option("--config", type=click.Path(path_type=Path), help="The service's YAML file.")
def export(
    *,
    style: str,
    output: Path,
    since: str | None,
    workflow: str | None,
    hand_picked: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Write every reviewed trace: verdict, correction, conversation, findings, weight."""
    from fidelity_otel.processor.config import load
    from fidelity_otel.processor.read import read_otlp
    from fidelity_otel.report.dataset import cases
    from fidelity_otel.report.dataset_files import write_hf, write_jsonl, write_parquet
    from fidelity_otel.report.open import open_existing
    from fidelity_otel.report.since import since_ns

    settings = load(config, given={"data": ("--data", data)}).values
    start = None if since is None else since_ns(since, now_ns=time.time_ns())
    with open_existing(settings) as store:
        found = cases(store, read_otlp, since_ns=start, workflow=workflow, hand_picked=hand_picked)
        try:
            if style == "jsonl":
                count = write_jsonl(found, output)
            elif style == "parquet":
                count = write_parquet(found, output)
            else:
                count = write_hf(found, output)
        except OSError as error:
            raise InputError(f"{output}: cannot be written: {error.strerror}") from None
    click.echo(f"wrote {count} cases to {output}", err=True)
