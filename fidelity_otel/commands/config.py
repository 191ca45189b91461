"""`fidelity config`: the effective settings."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

__all__ = ["command"]


@click.command(
    help="Print the effective settings, each with where it came from.",
    epilog="\b\nExamples:\n  fidelity config\n  fidelity config --config fidelity.yaml --changed\n"
    "  fidelity config --format json | jq '.\"ports.http\"'",
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file of settings.")
@click.option("--data", help="Folder of journal, store and ports.json.  [FIDELITY_DATA]")
@click.option("--changed", is_flag=True, help="Only those that are not the default.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(path: Path | None, data: str | None, *, changed: bool, form: str) -> None:
    """Parse, then print; secrets are hidden."""
    from fidelity_otel.processor.config import load
    from fidelity_otel.settings import by_name

    config, table = load(path, given={"data": ("--data", data)}), by_name()
    rows = {
        name: {
            "value": "(hidden)" if table[name].type.startswith("secret") and value else value,
            "source": config.sources[name],
        }
        for name, value in config.values.items()
        if not changed or config.sources[name] != "default"
    }
    if form == "json":
        click.echo(msgspec.json.encode(rows))
        return
    width = max(map(len, rows), default=0)
    for name, row in rows.items():
        value = row["value"]
        shown = ", ".join(value) if isinstance(value, tuple) else "" if value is None else value
        click.echo(f"{name:<{width}}  {shown!s:<24}  # {row['source']}")
