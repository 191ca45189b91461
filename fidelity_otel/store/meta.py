"""Small named values that outlive a process: salts, offsets, settings made once."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from fidelity_otel.store import schema
from fidelity_otel.store.base import Base, insert_new

__all__ = ["MetaStore"]


class MetaStore(Base):
    """Named values of the store."""

    def meta_get(self, name: str, default: str | None = None) -> str | None:
        """The value under a name."""
        m = schema.meta
        with self._db.read() as connection:
            value = connection.scalar(select(m.c.value).where(m.c.name == name))
        return default if value is None else value

    def meta_set(self, name: str, value: str) -> None:
        """Put a value under a name, over the one that is there."""
        m = schema.meta
        with self._db.write() as connection:
            changed = connection.execute(update(m).where(m.c.name == name).values(value=value))
            if changed.rowcount == 0:
                connection.execute(insert(m).values(name=name, value=value))

    def meta_once(self, name: str, value: str) -> str:
        """Put a value under a name that has none yet; returns the one that holds."""
        m = schema.meta
        with self._db.write() as connection:
            insert_new(connection, m, [{"name": name, "value": value}])
            holds: str = connection.scalars(select(m.c.value).where(m.c.name == name)).one()
            return holds
