"""The database behind the store: one engine, one writer at a time, schema brought up to date.

SQLite is in WAL mode: readers (threads and other processes) never wait for the writer; writers
queue, in this process by a lock, between processes by `busy_timeout`. On PostgreSQL a transaction
lock does the same, because outcomes and traces that arrive together must see each other.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from fidelity_otel.errors import ConfigError, StoreBusy, StoreError

__all__ = ["HEAD", "Database", "open_database"]

HEAD = "0005"
"""The newest migration; a test compares it with the files."""

_WRITER_LOCK = 0x66696465  # of pg_advisory_xact_lock: "fide"
_WRITER_CACHE = 8_000  # KiB of pages; they stay valid from one batch to the next
_READER_CACHE = 4_000  # each reader has its own, worth nothing once somebody has written
_BUSY = ("locked", "busy", "deadlock", "could not serialize", "lock timeout")


class Database:
    """An engine with `read()` and `write()` transactions whose errors say how to mend them."""

    def __init__(self, engine: Engine, *, where: str, writer: Engine | None = None) -> None:
        self.engine = engine
        self.where = where
        self.sqlite = engine.dialect.name == "sqlite"
        self._writer = threading.RLock()
        self._write_engine = (writer or engine).execution_options(fidelity_write=True)
        # SQLite's readers have one view of everything anyway.
        steady = {} if self.sqlite else {"isolation_level": "REPEATABLE READ"}
        self._read_engine = engine.execution_options(**steady)

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A consistent view; never waits for a writer."""
        with self._errors("read"), self._read_engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Generator[Connection]:
        """The one writing transaction: all or nothing.

        Raises:
            StoreBusy: another process writes for longer than the busy timeout; retry.
            StoreError: the database cannot be written.
        """
        with self._errors("written"), self._writer, self._write_engine.begin() as connection:
            if not self.sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})"))
            yield connection

    @contextmanager
    def _errors(self, done: str) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _explain(error, self.where, done) from error
        except SQLAlchemyError as error:
            raise StoreError(f"the store {self.where} could not be {done}: {error}") from error

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()
        self._write_engine.dispose()


def _explain(error: DBAPIError, where: str, done: str) -> StoreError:
    said = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
    lowered = said.lower()
    if any(word in lowered for word in _BUSY):
        return StoreBusy(
            f"the store {where} is being written by another process ({said}). "
            "Mend: retry; if it lasts, end the process that holds it."
        )
    if "disk is full" in lowered or "no space" in lowered:
        mend = "free some space in the data folder, or lower retain.max_bytes."
    elif "readonly" in lowered or "permission" in lowered or "unable to open" in lowered:
        mend = "give this user write access to the data folder."
    elif "malformed" in lowered or "not a database" in lowered:
        mend = "the file is damaged; restore it from a back-up, or start with another --data."
    else:
        mend = "check that the database can be reached and that its disk works."
    return StoreError(f"the store {where} could not be {done}: {said}. Mend: {mend}")


def open_database(data_dir: Path | None, url: str, *, busy_seconds: float) -> Database:
    """Open the database, make it on first use, and bring its schema up to date.

    Args:
        data_dir: the folder that holds `store.db`; unused when `url` is given.
        url: a SQLAlchemy URL; PostgreSQL URLs are spoken by psycopg.
        busy_seconds: how long a writer waits for another process.

    Raises:
        ConfigError: neither a folder nor a usable URL.
        StoreError: it cannot be opened, or is newer than this version.
    """
    database = _database(data_dir, url, busy_seconds)
    try:
        _migrate(database)
    except StoreError:
        database.close()
        raise
    return database


def _database(data_dir: Path | None, url: str, busy_seconds: float) -> Database:
    if not url:
        if data_dir is None:
            raise ConfigError("no store: give a data folder (--data DIR) or a store.url.")
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the data folder {data_dir} cannot be made: {error.strerror}. "
                "Mend: choose another with --data or FIDELITY_DATA."
            ) from None
        url = f"sqlite+pysqlite:///{data_dir / 'store.db'}"
    try:
        parsed = make_url(url)
        if parsed.drivername in {"postgres", "postgresql"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite":
            if parsed.database in {None, "", ":memory:"}:
                raise ConfigError("store.url names no file: every thread would have its own store.")
            readers = _sqlite(parsed, busy_seconds, _READER_CACHE, pool_use_lifo=True)
            # One connection for all writes: were they spread over a pool's, each would read the
            # pages again that another one has changed, and each fill a cache of its own.
            writer = _sqlite(parsed, busy_seconds, _WRITER_CACHE, pool_size=1)
            return Database(readers, where=str(parsed.database), writer=writer)
        engine = create_engine(parsed, pool_pre_ping=True, pool_size=5, max_overflow=20)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"store.url needs the package {error.name}. Mend: pip install 'fidelity-otel[postgres]'"
        ) from None
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(
            f"store.url is not a database URL that can be used: {error}. "
            "Mend: write it like postgresql://user:password@host/database."
        ) from None
    if engine.dialect.name != "postgresql":
        raise ConfigError(f"store.url names {engine.dialect.name}; SQLite and PostgreSQL work.")
    return Database(engine, where=parsed.render_as_string(hide_password=True))


def _sqlite(url: URL, busy_seconds: float, cache_kib: int, **pool: Any) -> Engine:
    given = {"timeout": busy_seconds, "check_same_thread": False}
    engine = create_engine(url, connect_args=given, **pool)

    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # we begin transactions ourselves: see _begin
        # FULL: a verdict that was answered with 200 survives a power cut. secure_delete: erased
        # text must not stay readable in free pages. wal_autocheckpoint: ids are random, so every
        # batch touches pages everywhere; moved to the file rarely, each page moves once for many.
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",
            "temp_store=MEMORY",
            f"cache_size=-{cache_kib}",
            "wal_autocheckpoint=16000",
            "journal_size_limit=67108864",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer that begins as a reader would fail at once, without waiting, on its first write.
        write = connection.get_execution_options().get("fidelity_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _version(database: Database) -> str | None:
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(database: Database) -> None:
    if _version(database) == HEAD:  # the usual case, without loading Alembic
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "fidelity_otel.store:migrations")
    config.set_main_option("path_separator", "os")
    with database.write() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(
                f"the store {database.where} was made by another version of fidelity-otel "
                f"({error}). Mend: use that version or a newer one, or another --data."
            ) from None
