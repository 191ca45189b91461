"""`fidelity sample explain TRACE`: why a trace was or wasn't chosen for review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fidelity_otel.errors import NotFound

__all__ = ["command"]


@click.group(
    epilog="""\b
Examples:
  fidelity sample explain 4bf92f3577b34da6a3ce929d0e0e4736
"""
)
def command() -> None:
    """What the sampling for review did."""


@command.command(
    epilog="""\b
Examples:
  fidelity sample explain 4bf92f3577b34da6a3ce929d0e0e4736
  fidelity sample explain 4bf92f3577b34da6a3ce929d0e0e4736 --format json
"""
)
@click.argument("trace_id", metavar="TRACE")
@click.option("--data", metavar="DIR", help="Folder of the store.  [env: FIDELITY_DATA]")
@click.option("--config", type=click.Path(path_type=Path), help="The service's YAML file.")
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def explain(trace_id: str, data: str | None, config: Path | None, style: str) -> None:
    """Say in words why TRACE was or wasn't chosen for review, and with what probability."""
    import msgspec

    from fidelity_otel.processor.sample.explain import combined
    from fidelity_otel.processor.sample.explain import explain as in_words
    from fidelity_otel.review.opening import open_desk

    with open_desk(config, data) as desk:
        stored = desk.store.trace(trace_id.strip().lower())
    if stored is None:
        raise NotFound(
            f"no trace {trace_id} in this store. Mend: `fidelity trace` takes other references and "
            "shows the trace's id; is --data the right folder?"
        )
    decision = stored.record.decision
    if style == "text":
        click.echo(in_words(decision))
        return
    fields: dict[str, Any] = msgspec.to_builtins(decision)
    fields["probability"] = combined(decision.arms) if decision.arms else None
    fields["selected"] = any(arm.selected for arm in decision.arms) if decision.arms else None
    click.echo(json.dumps(fields, ensure_ascii=False))
