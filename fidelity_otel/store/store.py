"""The store: everything that lasts, behind one object. Its parts are in the files beside it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from fidelity_otel.store.audit import AuditStore
from fidelity_otel.store.counts import CountStore
from fidelity_otel.store.decisions import DecisionStore
from fidelity_otel.store.engine import open_database
from fidelity_otel.store.erase import EraseStore
from fidelity_otel.store.folds import FoldStore
from fidelity_otel.store.frame import FrameStore
from fidelity_otel.store.meta import MetaStore
from fidelity_otel.store.outcomes import OutcomeStore
from fidelity_otel.store.pages import PageStore
from fidelity_otel.store.progress import ProgressStore
from fidelity_otel.store.retention import RetentionStore
from fidelity_otel.store.reviews import ReviewStore
from fidelity_otel.store.traces import TraceStore

__all__ = ["Store", "open_store"]

_SALT = "store.salt"


class Store(
    TraceStore,
    DecisionStore,
    ProgressStore,
    ReviewStore,
    OutcomeStore,
    FrameStore,
    FoldStore,
    PageStore,
    CountStore,
    AuditStore,
    EraseStore,
    RetentionStore,
    MetaStore,
):
    """All that lasts: traces, decisions, queue, reviews, outcomes. Use it from any thread."""

    @property
    def where(self) -> str:
        """The file or address, without its password."""
        return self._db.where

    def close(self) -> None:
        """Give all connections back; the store can't be used afterwards."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_store(
    data_dir: Path | None = None,
    url: str = "",
    *,
    busy_seconds: float = 10.0,
    new_id: Callable[[], str] = lambda: secrets.token_hex(16),
) -> Store:
    """Open the store; makes it, or brings it up to date, where needed.

    Args:
        data_dir: the folder of `store.db`; unused when `url` is given.
        url: a PostgreSQL URL, for teams.
        busy_seconds: how long a writer waits for another process.
        new_id: makes unguessable ids.

    Raises:
        ConfigError: the URL is wrong.
        StoreError: it cannot be opened.
    """
    database = open_database(data_dir, url, busy_seconds=busy_seconds)
    meta = MetaStore(database, b"", new_id=new_id)
    salt = meta.meta_get(_SALT) or meta.meta_once(_SALT, secrets.token_hex(32))
    return Store(database, bytes.fromhex(salt), new_id=new_id)
