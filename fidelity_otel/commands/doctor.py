"""`fidelity doctor`: does the chain work, and if not, where does it stop?"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import click

__all__ = ["command"]


@click.command(
    epilog="\b\nExamples:\n  fidelity doctor\n  fidelity doctor --data /var/lib/fidelity\n"
    "  fidelity doctor --config fidelity.yaml && echo all is well",
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file of settings.")
@click.option("--data", help="Data folder of the running service.  [FIDELITY_DATA]")
@click.option("--wait", default=15.0, show_default=True, help="Seconds to wait for the store.")
def command(path: Path | None, data: str | None, wait: float) -> None:
    """Send a test trace through a running service and say where it stops, and how to mend it.

    The test trace is neither stored nor counted in any estimate. Exit code 1: something is broken.
    """
    from fidelity_otel.processor.config import load
    from fidelity_otel.processor.probe import Step, examine

    config = load(path, given={"data": ("--data", data)})

    def tell(step: Step) -> None:
        mark = click.style("ok  ", fg="green") if step.works else click.style("FAIL", fg="red")
        click.echo(f"{mark} {step.name:<8} {step.seen}")
        if step.mend:
            click.echo(f"              mend: {step.mend}")

    steps = examine(
        config.values,
        trace_id=secrets.token_hex(16),
        now_ns=time.time_ns(),
        wait_seconds=wait,
        told=tell,
    )
    if not steps[-1].works:
        raise SystemExit(1)
    click.echo("the chain works: receive → journal → assemble → store → API → metrics", err=True)
