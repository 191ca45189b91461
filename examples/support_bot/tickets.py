"""The help desk: tickets that are closed or reopened some minutes after the answer.

    python tickets.py tickets.jsonl --seed 7

runs as a process of its own, after the bot has ended, and knows nothing of traces: it says what
became of a *ticket*, and the service finds the trace that the bot bound to it.

The help desk is simulated, and so is its clock: it is told which customers got what they needed,
and draws what such customers do. That is a noisy sign, as in life: a third never says anything,
some who were helped write again, some who were not give up.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import fidelity_otel as fidelity

SPEAKS = 0.65  # share of tickets that get an end at all
RESOLVED = {True: 0.94, False: 0.20}  # share of those that end well, by whether it helped


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, when its answer was given (seconds since the epoch), and whether it helped."""

    id: str
    answered_at: float
    helped: bool


def end_of(ticket: Ticket, seed: int) -> tuple[bool, float] | None:
    """Whether a ticket was resolved and when, on the simulated clock; None: nobody says."""
    draw = random.Random(f"{seed} {ticket.id}")
    if draw.random() >= SPEAKS:
        return None
    return draw.random() < RESOLVED[ticket.helped], ticket.answered_at + draw.uniform(120, 2400)


def main() -> None:
    """Send what became of the tickets of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    fidelity.init(service="helpdesk", instrument=False)
    sent = 0
    for line in chosen.file.read_text("utf-8").splitlines():
        ticket = Ticket(**json.loads(line))
        end = end_of(ticket, chosen.seed)
        if end is not None:
            resolved, at = end
            fidelity.outcome(
                ("ticket", ticket.id),
                "resolved",
                resolved,
                label="resolved" if resolved else "reopened",
                source="helpdesk (simulated)",
                observed_at=at,
            )
            sent += 1
    fidelity.shutdown()
    print(sent)


if __name__ == "__main__":
    main()
