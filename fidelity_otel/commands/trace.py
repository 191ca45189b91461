"""`fidelity trace ID`: one trace as stored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_otel.errors import InputError, NotFound

if TYPE_CHECKING:
    from fidelity_otel.review.client import RemoteQueue
    from fidelity_otel.review.desk import Desk

__all__ = ["command"]


@click.command(
    epilog="""\b
Examples:
  fidelity trace 4bf92f3577b34da6a3ce929d0e0e4736
  fidelity trace key:ticket=T-42
  fidelity trace 4bf92f3577b34da6a3ce929d0e0e4736 --format json | jq .record.findings
  fidelity trace 4bf92f3577b34da6a3ce929d0e0e4736 --format otlp > trace.jsonl
"""
)
@click.argument("ref", metavar="ID")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "otlp"]),
    default="text",
    show_default=True,
    help="otlp: one line of OTLP JSON, as `fidelity ingest` reads it.",
)
@click.option("--data", metavar="DIR", help="Folder of the store.  [env: FIDELITY_DATA]")
@click.option("--config", type=click.Path(path_type=Path), help="The service's YAML file.")
@click.option("--url", help="A running service instead of a folder.")
@click.option("--token", default="", envvar="FIDELITY_REVIEW_TOKEN", help="Its review.token.")
def command(
    *, ref: str, style: str, data: str | None, config: Path | None, url: str | None, token: str
) -> None:
    """Show one trace: conversation, findings, decision, outcomes, reviews.

    ID is a trace id, a handle, response:ID or key:NAME=VALUE (the last trace with it).
    """
    from fidelity_otel.review.client import RemoteQueue
    from fidelity_otel.review.opening import open_desk

    if url and data:
        raise InputError("--url and --data are two places. Mend: give one of them.")
    if url:
        remote = RemoteQueue(url, token)
        trace_id = _trace_id(ref, None)
        _print(style, remote, trace_id)
        return
    with open_desk(config, data) as desk:
        _print(style, desk, _trace_id(ref, desk))


def _trace_id(text: str, desk: Desk | None) -> str:
    from fidelity_otel.review.refs import parse_ref

    ref = parse_ref(text)
    if ref.trace_id:
        return ref.trace_id
    if desk is None:
        raise InputError("with --url only trace ids are known. Mend: give the trace id.")
    if ref.response_id:
        found = desk.store.trace_ids(response_id=ref.response_id)
    else:
        found = desk.store.trace_ids(key=(ref.key_name or "", ref.key_value or ""))
    if not found:
        raise NotFound(f"no stored trace has {text}. Mend: check it, or wait till it is stored.")
    if len(found) > 1:
        click.echo(f"{len(found)} traces have {text}; this is the last.", err=True)
    return found[-1]


def _print(style: str, source: Desk | RemoteQueue, trace_id: str) -> None:
    import msgspec

    from fidelity_otel.review.desk import Desk

    if style == "otlp":
        from fidelity_otel.processor.wire_json import to_json

        if isinstance(source, Desk):
            otlp = source.trace(trace_id).record.otlp
        else:
            otlp = source.otlp(trace_id)
        if not otlp:
            raise NotFound(
                f"the body of trace {trace_id} is no longer kept. "
                "Mend: raise retain.days or retain.max_bytes to keep bodies for longer."
            )
        sys.stdout.buffer.write(to_json(otlp).rstrip(b"\n") + b"\n")
        sys.stdout.flush()
        return
    view = source.trace_view(trace_id)
    view = msgspec.structs.replace(view, record=msgspec.structs.replace(view.record, otlp=b""))
    if style == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(view, enc_hook=str)).decode())
        return
    from rich.console import Console

    from fidelity_otel.review import screen

    Console(highlight=False).print(screen.trace(view))
