"""`fidelity journal`: what is in the journal, and whether every record of it is sound."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from fidelity_otel.processor.journal.inspect import Inspected

__all__ = ["command"]

_NS = 10**9


@click.command(
    epilog="\b\nExamples:\n"
    "  fidelity journal --data /var/lib/fidelity\n"
    "  fidelity journal --verify --data ./restored   # of a back-up: exit code 1 where damaged\n"
    "  fidelity journal --format json | jq .waiting_spans",
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file of settings.")
@click.option("--data", help="Folder of the service.  [FIDELITY_DATA]")
@click.option("--verify", is_flag=True, help="Say nothing but what is damaged.")
@click.option("form", "--format", type=click.Choice(["text", "json"]), default="text")
def command(path: Path | None, data: str | None, *, verify: bool, form: str) -> None:
    """Read the whole journal, check its sums, and say what waits in it.

    Nothing is changed, and the service may be running. The exit code is 1 where something that was
    acked is damaged; what is half written at the very end was never acked and is no damage.
    """
    from fidelity_otel.processor.config import load
    from fidelity_otel.processor.journal.inspect import inspect

    config = load(path, given={"data": ("--data", data)})
    found = inspect(Path(config["data"]) / "journal")
    if form == "json":
        click.echo(msgspec.json.encode(found))
    elif not verify:
        for line in _lines(found, time.time_ns()):
            click.echo(line)
    for each in found.damaged:
        where = f"{each.file}, position {each.position}"
        click.echo(f"{where}: {each.what}, {each.bytes} bytes are lost", err=True)
    sys.exit(1 if found.damaged else 0)


def _lines(found: Inspected, now_ns: int) -> list[str]:
    lines = [f"{'segment':24} {'bytes':>12} {'records':>9} {'spans':>9}  received"]
    for s in found.segments:
        span = f"{_when(s.first_ns)} to {_when(s.last_ns)}" if s.first_ns else "-"
        torn = f", {s.torn} bytes half written" if s.torn else ""
        lines.append(f"{s.file:24} {s.bytes:12} {s.records:9} {s.spans:9}  {span}{torn}")
    lines.append(f"{'all':24} {found.bytes:12} {found.records:9} {found.spans:9}")
    lines.append(f"waiting: {found.waiting_spans} spans of {found.waiting_traces} traces")
    if found.oldest_waiting_ns:
        lines[-1] += f", the oldest for {max(0, now_ns - found.oldest_waiting_ns) // _NS} s"
    lines.append("damaged: " + (f"{len(found.damaged)} places" if found.damaged else "nothing"))
    return lines


def _when(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / _NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
