"""`fidelity serve`: the service."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command(
    help="Receive OTLP, find failure modes, sample for review, serve page, API and metrics.",
    epilog="\b\nExamples:\n"
    "  fidelity serve\n"
    "  fidelity serve --config fidelity.yaml --data /var/lib/fidelity\n"
    "  FIDELITY_HTTP_PORT=0 fidelity serve --data ./data   # any free port\n"
    "  fidelity serve --config fidelity.yaml --check       # is the configuration right?",
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file of settings.")
@click.option("--data", help="Folder of journal, store and ports.json.  [FIDELITY_DATA]")
@click.option("--host", help="Address to listen on.  [FIDELITY_HOST]")
@click.option("--workers", help="Processes that decide traces.  [FIDELITY_WORKERS]")
@click.option("--check", is_flag=True, help="Check the configuration, then end.")
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
def command(
    path: Path | None,
    data: str | None,
    host: str | None,
    workers: str | None,
    *,
    check: bool,
    verbose: bool,
) -> None:
    """Parse, then serve until SIGINT or SIGTERM."""
    from fidelity_otel.processor.config import load

    given = {
        "data": ("--data", data),
        "host": ("--host", host),
        "workers": ("--workers", workers),
    }
    config = load(path, given=given)
    if check:
        click.echo("the configuration is right", err=True)
        return
    from fidelity_otel.processor.log_format import set_up

    set_up(config["log.format"], verbose=verbose)
    from fidelity_otel.processor.service import serve

    serve(config)
