"""Leases and the items that they hold, as read from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec
from sqlalchemy import Connection, RowMapping, select

from fidelity_otel.errors import InputError, LeaseError
from fidelity_otel.model import Verdict
from fidelity_otel.store import schema
from fidelity_otel.store.base import clean
from fidelity_otel.store.items import SAMPLE

__all__ = [
    "SECOND",
    "Item",
    "Lease",
    "check_verdict",
    "held",
    "item_of",
    "item_row",
    "lease_of",
    "live",
    "name_of",
]

SECOND: Final = 1_000_000_000
_LONGEST_NAME = 200


class Item(msgspec.Struct, frozen=True):
    """What is to be judged. `trace_id` is for the server only: a blind item goes out without it."""

    item_id: str
    trace_id: str
    workflow: str
    phase: str = SAMPLE
    hand_picked: bool = False


class Lease(msgspec.Struct, frozen=True):
    """An item held by one reviewer until `expires_ns`."""

    lease_id: str
    reviewer: str
    granted_ns: int
    expires_ns: int
    item: Item


def check_verdict(verdict: str) -> None:
    """Refuse a verdict that is none.

    Raises:
        InputError: it is not one of the model's.
    """
    known = get_args(Verdict)
    if verdict not in known:
        raise InputError(f"verdict {verdict!r} is not known. Mend: use one of {', '.join(known)}.")


def name_of(reviewer: str) -> str:
    """A reviewer's name as stored: trimmed, so that "ann " is not a second person.

    Raises:
        InputError: there is no name, or it is too long.
    """
    name = " ".join(clean(reviewer).split())
    if not name or len(name) > _LONGEST_NAME:
        raise InputError(
            f"a reviewer needs a name of 1 to {_LONGEST_NAME} characters. "
            'Mend: send {"reviewer": "ann"}.'
        )
    return name


def held(connection: Connection, reviewer: str) -> RowMapping | None:
    """The lease that a reviewer has in hand."""
    lease = schema.leases
    query = (
        select(lease)
        .where(lease.c.reviewer == reviewer, lease.c.ending == "")
        .order_by(lease.c.granted_ns.desc())
        .limit(1)
    )
    return connection.execute(query).mappings().first()


def live(
    connection: Connection, lease_id: str, reviewer: str | None, now_ns: int, done: str
) -> RowMapping:
    """The lease, if it is held now (and by this reviewer, where one is named)."""
    table = schema.leases
    again = 'Mend: take it anew with POST /api/v1/queue/next {"reviewer": …, "item_id": …}.'
    lease = connection.execute(select(table).where(table.c.lease_id == lease_id)).mappings().first()
    if lease is None:
        raise LeaseError(
            f"lease {lease_id} is unknown; nothing was {done}. Mend: ask for the next item first."
        )
    at = f"lease {lease_id} on item {lease['item_id']}"
    if reviewer is not None and name_of(reviewer) != lease["reviewer"]:
        raise LeaseError(
            f"{at} is held by another reviewer; nothing was {done}. "
            "Mend: judge an item of your own, from POST /api/v1/queue/next."
        )
    if lease["ending"] not in {"", "timeout"}:
        raise LeaseError(
            f"{at} ended before, by {lease['ending']}; nothing was {done}. "
            "Mend: ask for the next item."
        )
    if lease["ending"] == "timeout" or lease["expires_ns"] <= now_ns:
        late = max(now_ns - lease["expires_ns"], 0) / SECOND
        raise LeaseError(f"{at} expired {late:.0f} s ago; nothing was {done}. {again}")
    return lease


def item_row(connection: Connection, item_id: str) -> RowMapping:
    """The row of an item."""
    i = schema.items
    return connection.execute(select(i).where(i.c.item_id == item_id)).mappings().one()


def item_of(row: RowMapping) -> Item:
    """The item in a row of `items`."""
    return Item(row["item_id"], row["trace_id"], row["workflow"], row["phase"], row["hand_picked"])


def lease_of(row: Mapping[str, Any] | RowMapping, item: RowMapping) -> Lease:
    """The lease in a row of `leases`, with its item."""
    return Lease(
        row["lease_id"], row["reviewer"], row["granted_ns"], row["expires_ns"], item_of(item)
    )
