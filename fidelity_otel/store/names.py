"""By which response ids and business keys a trace is found: in its row, and in tables by them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, select

from fidelity_otel.model import TraceRecord
from fidelity_otel.store import schema
from fidelity_otel.store.base import chunks, clean, insert_new

__all__ = ["Names", "names_in", "names_of", "refer", "unrefer"]

_ids: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_keys: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


class Names(NamedTuple):
    """A trace's response ids and keys (name, value), each once and in order."""

    response_ids: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]


def names_of(record: TraceRecord) -> Names:
    """The names in a record, as they are stored."""
    return Names(
        tuple(sorted({clean(i) for i in record.response_ids})),
        tuple(sorted({(clean(name), clean(value)) for name, value in record.keys})),
    )


def names_in(response_ids: str, keys: str) -> Names:
    """The names in the columns of a row of `traces`."""
    return Names(_ids(response_ids), _keys(keys))


def refer(connection: Connection, named: Iterable[tuple[str, Names]]) -> None:
    """Have traces found by their names; in the tables' own order, which saves pages."""
    ids: list[tuple[str, str]] = []
    keys: list[tuple[str, str, str]] = []
    for trace_id, names in named:
        ids += [(i, trace_id) for i in names.response_ids]
        keys += [(name, value, trace_id) for name, value in names.keys]
    for table, rows in _rows(ids, keys):
        insert_new(connection, table, rows)


def unrefer(connection: Connection, trace_ids: Sequence[str]) -> None:
    """Have stored traces found by their names no more; their rows are left as they are."""
    t = schema.traces
    ids: list[tuple[str, str]] = []
    keys: list[tuple[str, str, str]] = []
    for part in chunks(trace_ids):
        query = select(t.c.trace_id, t.c.response_ids, t.c["keys"]).where(t.c.trace_id.in_(part))
        for trace_id, *columns in connection.execute(query):
            names = names_in(*columns)
            ids += [(i, trace_id) for i in names.response_ids]
            keys += [(name, value, trace_id) for name, value in names.keys]
    for table, rows in _rows(ids, keys):
        if rows:
            gone = delete(table).where(*(c == bindparam(f"b_{c.name}") for c in table.c))
            connection.execute(gone, [{f"b_{k}": v for k, v in row.items()} for row in rows])


def _rows(
    ids: list[tuple[str, str]], keys: list[tuple[str, str, str]]
) -> list[tuple[Table, list[dict[str, str]]]]:
    return [
        (schema.response_ids, [{"response_id": i, "trace_id": t} for i, t in sorted(ids)]),
        (schema.keys, [{"name": n, "value": v, "trace_id": t} for n, v, t in sorted(keys)]),
    ]
