"""`fidelity ingest FILE…`: traces from files into the store."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import click

from fidelity_otel.errors import InputError

__all__ = ["command"]


@click.command(
    epilog="\b\nExamples:\n"
    "  fidelity ingest traces.jsonl                 # what the Collector's file exporter writes\n"
    "  fidelity ingest --data ./data *.jsonl.gz\n"
    "  fidelity ingest --draw traces.jsonl && fidelity review",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file of settings.")
@click.option("--data", help="Folder of the store.  [FIDELITY_DATA]")
@click.option("--draw", is_flag=True, help="Draw the review sample at once, not by window.")
def command(files: tuple[str, ...], path: Path | None, data: str | None, *, draw: bool) -> None:
    """Put the traces in FILE… into the store, as if they had been received.

    FILE is OTLP JSON lines, one OTLP JSON document, or OTLP protobuf; gzipped too; - is standard
    input. A trace may be spread over lines and files: everything is decided at the end of input.
    Ingesting a file again changes nothing. Lines that cannot be read are named on stderr, the
    others are still stored; the exit code is then 2.
    """
    from fidelity_otel.processor.config import load
    from fidelity_otel.processor.decide import Decider
    from fidelity_otel.processor.ingest import ingest
    from fidelity_otel.processor.live import Live
    from fidelity_otel.processor.read_files import contents_of
    from fidelity_otel.processor.service import make_pipeline
    from fidelity_otel.processor.tally import Tally
    from fidelity_otel.processor.windows import Windows
    from fidelity_otel.store import open_store

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    config = load(path, given={"data": ("--data", data)})
    bad: list[str] = []

    def report(place: str, what: str) -> None:
        bad.append(place)
        click.echo(f"{place}: {what}", err=True)

    tally, folder = Tally(), Path(config["data"])
    with open_store(folder, config["store.url"]) as store:
        live = Live(config, store)
        decider = Decider(
            make_pipeline(live, tally),
            store,
            tally=tally,
            clock=time.time_ns,
            refused=folder / "refused",
        )
        with click.progressbar(
            length=1, label="ingest", file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            done = ingest(contents_of(files, report), decider, report=report)
            bar.update(1)
        ends = {end: n for (name, end), n in tally.all().items() if name == "traces_ended"}
        told = ", ".join(f"{n} {end}" for end, n in sorted(ends.items())) or "nothing to decide"
        click.echo(f"{done.traces} traces of {done.spans} spans: {told}", err=True)
        if draw:
            closed = Windows(store, lambda: live.sampler, config.values, time.time_ns).close(
                now=True
            )
            click.echo(f"{closed.enqueued} traces drawn for review", err=True)
    if bad:
        raise InputError(
            f"{len(bad)} places could not be read, the first is {bad[0]}; the rest is stored"
        )
