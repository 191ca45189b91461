"""Items of the review queue: one per trace and phase.

A trace can be in the queue for several reasons, each an item of its own: it was drawn (`sample`),
somebody picked it (`hand`), two judges disagreed (`adjudication`), or it is looked at again later
(`recheck-…`). Nobody judges the same item twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from fidelity_otel.store import schema
from fidelity_otel.store.base import insert_new

__all__ = ["ADJUDICATION", "HAND", "RECHECK", "SAMPLE", "enqueue", "recheck"]

SAMPLE: Final = "sample"
HAND: Final = "hand"
ADJUDICATION: Final = "adjudication"
RECHECK: Final = "recheck-"

_DEFAULTS: Mapping[str, Any] = {
    "workflow": "",
    "arm": "",
    "needed": 1,
    "judged": 0,
    "hand_picked": False,
    "closed": False,
    "due_ns": 0,
    "enqueued_ns": 0,
    "probability": 1.0,
}


def recheck(days: int) -> str:
    """The phase's name of a second look after so many days."""
    return f"{RECHECK}{days}"


def enqueue(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put items into the queue; those that are there already stay as they are."""
    insert_new(connection, schema.items, [{**_DEFAULTS, **row} for row in rows])
