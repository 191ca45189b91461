"""`fidelity review`: the review queue in the terminal."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import click

from fidelity_otel.errors import InputError

__all__ = ["command"]


@click.command(
    epilog="""\b
Examples:
  fidelity review
  fidelity review --data ./data --as ann
  fidelity review --url http://fidelity.example:8318 --token "$TOKEN" --limit 10
"""
)
@click.option("--as", "reviewer", metavar="NAME", help="Who judges; your login name by default.")
@click.option("--data", metavar="DIR", help="Folder of the store.  [env: FIDELITY_DATA]")
@click.option("--config", type=click.Path(path_type=Path), help="The service's YAML file.")
@click.option("--url", help="A running service instead of a folder.")
@click.option("--token", default="", envvar="FIDELITY_REVIEW_TOKEN", help="Its review.token.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many verdicts.")
def command(
    *,
    reviewer: str | None,
    data: str | None,
    config: Path | None,
    url: str | None,
    token: str,
    limit: int | None,
) -> None:
    """Judge sampled traces, blind, by keyboard: the same queue as on the web page.

    Keys: 1 right, 2 wrong, 3 partly, 4 can't tell, f what went wrong, n note, c correction,
    Enter send, s skip, q stop. Without a terminal the keys are read from standard input, one a
    line.
    """
    from rich.console import Console

    from fidelity_otel.review.client import LocalQueue, RemoteQueue
    from fidelity_otel.review.opening import open_desk
    from fidelity_otel.review.terminal import Terminal

    if url and data:
        raise InputError("--url and --data are two places. Mend: give one of them.")
    # A token of one's own says who one is.
    name = reviewer or ("" if url and token else _login())
    console = Console(highlight=False)
    keys = _press if sys.stdin.isatty() else _read_key

    def judge(queue: LocalQueue | RemoteQueue) -> None:
        given = Terminal(queue, name, console=console, key=keys, line=_line).run(limit)
        click.echo(f"{given} verdicts by {name or 'you'}.", err=True)

    if url:
        judge(RemoteQueue(url, token))
        return
    with open_desk(config, data) as desk:
        judge(LocalQueue(desk))


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise InputError("who judges is not known. Mend: give --as NAME.") from None


def _press() -> str:
    return click.getchar()


def _read_key() -> str:
    read = sys.stdin.readline()
    if not read:
        raise EOFError
    return read.strip()[:1]


def _line(question: str) -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt(question, default="", show_default=False)
        return answer
    return sys.stdin.readline().strip()
