"""`fidelity outcome`: late outcomes, one or a CSV file of many."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_otel.errors import InputError

if TYPE_CHECKING:
    from fidelity_otel.review.messages import OutcomeRequest
    from fidelity_otel.store import OutcomeCounts

__all__ = ["command"]


@click.command(
    epilog="""\b
Examples:
  fidelity outcome 4bf92f3577b34da6a3ce929d0e0e4736 resolved 1
  fidelity outcome key:ticket=T-42 resolved no --source ticket_system
  fidelity outcome response:chatcmpl-7Q thumbs down --id feedback-981
  fidelity outcome --csv tickets.csv        # columns: ref,name,value and more
"""
)
@click.argument("words", nargs=-1, metavar="[REF NAME VALUE [NAME VALUE]…]")
@click.option("--csv", "path", metavar="FILE", help="Many, from a CSV file; - is stdin.")
@click.option("--label", help="A word for the value, like reopened.")
@click.option("--source", default="", help="Who says so, like ticket_system.")
@click.option("--observed-at", metavar="TIME", help="When it was seen: ISO 8601; now by default.")
@click.option("--id", "outcome_id", help="Makes it idempotent; from the content by default.")
@click.option("--supersedes", metavar="ID", help="The outcome that this one replaces.")
@click.option("--explanation", help="Why, in words.")
@click.option("--data", metavar="DIR", help="Folder of the store.  [env: FIDELITY_DATA]")
@click.option("--config", type=click.Path(path_type=Path), help="The service's YAML file.")
@click.option("--url", help="A running service instead of a folder.")
@click.option("--token", default="", envvar="FIDELITY_REVIEW_TOKEN", help="Its review.token.")
def command(
    *,
    words: tuple[str, ...],
    path: str | None,
    label: str | None,
    source: str,
    observed_at: str | None,
    outcome_id: str | None,
    supersedes: str | None,
    explanation: str | None,
    data: str | None,
    config: Path | None,
    url: str | None,
    token: str,
) -> None:
    """Add what turned out later about an answer: a ticket reopened, a thumb down, a refund.

    REF is a trace id, TRACE:SPAN, a handle from fidelity.handle(), response:ID or key:NAME=VALUE.
    VALUE is 0 to 1 (1 = right), yes or no, or a word. An outcome whose trace is not stored yet is
    parked and joined when it comes. Adding the same again changes nothing.
    """
    from fidelity_otel.review.messages import OutcomeRequest
    from fidelity_otel.review.outcome_file import read_value

    if url and data:
        raise InputError("--url and --data are two places. Mend: give one of them.")
    if path is not None:
        single = (label, observed_at, outcome_id, supersedes, explanation)
        if words or any(option is not None for option in single):
            raise InputError("--csv takes all from its columns. Mend: leave the rest out.")
        requests = _read_csv(path, source)
    else:
        ref, pairs = _pairs(words)
        if outcome_id and len(pairs) > 1:
            raise InputError("--id names one outcome. Mend: give one NAME VALUE with it.")
        requests = []
        for name, text in pairs:
            value, word = read_value(text)
            requests.append(
                OutcomeRequest(
                    ref=ref,
                    name=name,
                    value=value,
                    label=label or word,
                    source=source or "command",
                    observed_at=observed_at,
                    id=outcome_id,
                    supersedes=supersedes,
                    explanation=explanation,
                )
            )
    _tell(_add(requests, data=data, config=config, url=url, token=token))


def _pairs(words: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    if len(words) < 3 or len(words) % 2 == 0:  # noqa: PLR2004
        raise InputError(
            "an outcome is REF NAME VALUE. Mend: like "
            "`fidelity outcome key:ticket=T-42 resolved 1`, or give --csv FILE."
        )
    return words[0], list(zip(words[1::2], words[2::2], strict=True))


def _read_csv(path: str, source: str) -> list[OutcomeRequest]:
    from fidelity_otel.review.outcome_file import read_outcomes

    if path == "-":
        return read_outcomes(sys.stdin, where="stdin", source=source)
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as lines:
            return read_outcomes(lines, where=path, source=source)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None


def _add(
    requests: list[OutcomeRequest],
    *,
    data: str | None,
    config: Path | None,
    url: str | None,
    token: str,
) -> OutcomeCounts:
    from fidelity_otel.review.client import RemoteQueue
    from fidelity_otel.review.opening import open_desk

    if url:
        return RemoteQueue(url, token).add_outcomes(requests)
    with open_desk(config, data) as desk:
        return desk.add_outcomes(requests)


def _tell(counts: OutcomeCounts) -> None:
    click.echo(
        f"{counts.added} added ({counts.joined} joined to a trace, {counts.parked} parked), "
        f"{counts.known} known before, {len(counts.refused)} refused.",
        err=True,
    )
    if counts.parked:
        click.echo(
            "Parked: no stored trace has that reference yet; they are joined when it comes.",
            err=True,
        )
    if counts.refused:
        raise InputError("\n".join(counts.refused))
