"""Opening, migrating, locking, breaking."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from store_records import START, draw_all, make_outcome, make_record, trace_id

from fidelity_otel.errors import ConfigError, StoreBusy, StoreError
from fidelity_otel.store import Store, open_store
from fidelity_otel.store.base import compress
from fidelity_otel.store.engine import HEAD
from fidelity_otel.store.schema import metadata


def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.add_traces([make_record(0)])
        draw_all(store)
        lease = store.next_item("ann", START)
        store.meta_set("offset", "17")
    with open_store(tmp_path) as store:
        assert store.trace(trace_id(0)) is not None
        assert store.meta_get("offset") == "17"
        # The same salt: the same items, orders and lots.
        assert store.next_item("ann", START + 1) is not None
        again = store.next_item("ann", START + 2)
        assert lease is not None
        assert again is not None
        assert again.item == lease.item


def test_meta_once_keeps_the_first_value(store: Store) -> None:
    assert store.meta_once("salt", "a") == "a"
    assert store.meta_once("salt", "b") == "a"
    assert store.meta_get("none") is None
    assert store.meta_get("none", "x") == "x"
    store.meta_set("salt", "c")
    store.meta_set("salt", "d")
    assert store.meta_get("salt") == "d"


def test_the_migrations_make_the_tables_that_the_code_uses(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store._db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_head_is_the_newest_migration() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "fidelity_otel.store:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def upgrade_to(path: Path, revision: str, url: str = "") -> None:
    """Make an old store, as the version of that migration did."""
    from alembic import command
    from alembic.config import Config

    engine = create_engine(url or f"sqlite:///{path / 'store.db'}")
    config = Config()
    config.set_main_option("script_location", "fidelity_otel.store:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    upgrade_to(tmp_path, "0001")
    old = sqlite3.connect(tmp_path / "store.db")
    old.execute(
        "INSERT INTO traces (trace_id, workflow, request, window, stratum) "
        "VALUES (?, 'old', 'from before', 'w0', 's')",
        (trace_id(5),),
    )
    old.execute("INSERT INTO windows (window, first_ns) VALUES ('w0', 1)")
    old.execute(
        "INSERT INTO items (item_id, trace_id, phase, shuffle) VALUES ('i', ?, 'sample', 5)",
        (trace_id(5),),
    )
    old.commit()
    old.close()
    with open_store(tmp_path) as store:
        found = store.trace(trace_id(5))
        assert found is not None
        assert found.record.request == "from before"
        lease = store.next_item("ann", START)
        assert lease is not None
        store.submit(lease.lease_id, "right", now_ns=START)
        store.add_traces([make_record(0)])
        assert len(store.frame()) == 2


def upgraded_with_names(store: Store) -> None:
    """What the test's old store named is found, written in the rows, and goes with a revision."""
    found = store.trace(trace_id(5))
    assert found is not None
    assert set(found.record.response_ids) == {"r1", 'r"2'}
    assert found.record.keys == (("order", "ä"), ("ticket", "T-1"))
    unnamed = store.trace(trace_id(6))
    assert unnamed is not None
    assert (unnamed.record.response_ids, unnamed.record.keys) == ((), ())
    assert store.trace_ids(response_id='r"2') == [trace_id(5)]
    assert store.trace_ids(key=("order", "ä")) == [trace_id(5)]
    store.add_traces([make_record(5, revision=1, response_ids=("r3",), keys=(("ticket", "T-2"),))])
    assert store.trace_ids(response_id="r1") == []
    assert store.trace_ids(key=("ticket", "T-1")) == []
    assert store.trace_ids(response_id="r3") == [trace_id(5)]
    assert store.trace_ids(key=("ticket", "T-2")) == [trace_id(5)]


OLD_NAMES = (
    f"INSERT INTO traces (trace_id) VALUES ('{trace_id(5)}'), ('{trace_id(6)}')",
    f"INSERT INTO response_ids VALUES ('r\"2', '{trace_id(5)}'), ('r1', '{trace_id(5)}')",
    f"INSERT INTO keys VALUES ('ticket', 'T-1', '{trace_id(5)}'), ('order', 'ä', '{trace_id(5)}')",
)


def test_names_of_an_older_store_are_kept(tmp_path: Path) -> None:
    upgrade_to(tmp_path, "0003")
    old = sqlite3.connect(tmp_path / "store.db")
    for statement in OLD_NAMES:
        old.execute(statement)
    old.commit()
    old.close()
    with open_store(tmp_path) as store:
        upgraded_with_names(store)


@pytest.mark.parts
def test_names_of_an_older_store_on_postgres_are_kept(empty_postgres: str, tmp_path: Path) -> None:
    url = empty_postgres.replace("postgresql:", "postgresql+psycopg:")
    upgrade_to(tmp_path, "0003", url)
    old = create_engine(url)
    with old.begin() as connection:
        for statement in OLD_NAMES:
            connection.exec_driver_sql(statement)
    old.dispose()
    with open_store(None, empty_postgres) as store:
        upgraded_with_names(store)


def test_an_older_stores_bodies_are_pruned_by_the_lots_that_they_have(tmp_path: Path) -> None:
    upgrade_to(tmp_path, "0004")
    old = sqlite3.connect(tmp_path / "store.db")
    body = compress(b"a body")
    for number, lot in ((5, 900), (6, 30), (7, 500)):
        old.execute("INSERT INTO traces (trace_id) VALUES (?)", (trace_id(number),))
        old.execute(
            "INSERT INTO bodies (trace_id, otlp, stored_bytes, start_ns, lot) VALUES (?, ?, ?, ?, ?)",
            (trace_id(number), body, len(body), START, lot),
        )
    old.commit()
    old.close()
    with open_store(tmp_path) as store:
        pruned = store.prune(START, 30, 2 * len(body))
        assert (pruned.by_bytes, pruned.kept, pruned.retention) == (1, 2, 900 / (1 << 31))
        kept = [n for n in (5, 6, 7) if (t := store.trace(trace_id(n))) and t.retained]
        assert kept == [6, 7]


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "store.db")
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.close()
    with pytest.raises(StoreError, match=r"another version.*Mend: use that version or a newer"):
        open_store(tmp_path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="names no file"):
        open_store(None, url)


def test_all_threads_write_through_one_connection(tmp_path: Path) -> None:
    """Each connection has a cache of its own, emptied whenever another one has written."""
    with open_store(tmp_path) as store:
        used = set()

        def write() -> None:
            for _ in range(5):
                with store._db.read(), store._db.write() as connection:
                    used.add(connection.connection.dbapi_connection)

        threads = [threading.Thread(target=write) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(used) == 1


def test_a_writer_waits_for_another_process(tmp_path: Path) -> None:
    with open_store(tmp_path, busy_seconds=20) as store:
        code = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
            "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.readline(); "
            "c.execute('COMMIT')"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "store.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other:
            assert other.stdout is not None
            assert other.stdin is not None
            assert other.stdout.readline().strip() == "held"
            writing = threading.Thread(target=lambda: store.add_traces([make_record(0)]))
            writing.start()
            assert store.traces() == []  # readers don't wait
            other.stdin.write("\n")
            other.stdin.flush()
            writing.join(30)
        assert store.trace(trace_id(0)) is not None


def test_a_store_locked_for_too_long_says_so_and_loses_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path, busy_seconds=0.05) as store:
        store.add_traces([make_record(0)])
        draw_all(store)
        lease = store.next_item("ann", START)
        assert lease is not None
        raw = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        for write in (
            lambda: store.add_traces([make_record(1)]),
            lambda: store.submit(lease.lease_id, "right", now_ns=START),
            lambda: store.add_outcomes([make_outcome("o")]),
        ):
            with pytest.raises(StoreBusy, match=r"store.db is being written.*Mend: retry"):
                write()
        assert store.trace(trace_id(0)) is not None
        raw.execute("ROLLBACK")
        raw.close()
        store.add_traces([make_record(1)])
        store.submit(lease.lease_id, "right", now_ns=START)
        assert len(store.reviews()) == 1


def test_a_failing_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        with store._db.write() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON bodies BEGIN "
                "SELECT RAISE(ABORT, 'database or disk is full'); END"
            )
        with pytest.raises(StoreError, match=r"disk is full. Mend: free some space"):
            store.add_traces([make_record(0)])
        assert store.frame() == []
        assert store.open_windows(1 << 62) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "not a database URL"),
        ("mysql+nothing://x/y", "not a database URL"),
        ("", "give a data folder"),
    ],
)
def test_a_wrong_url_says_how_to_write_it(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_store(None, url)


def test_a_store_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StoreError, match=r"not a database. Mend: the file is damaged"):
        open_store(tmp_path)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be made.*--data"):
        open_store(tmp_path / "file" / "folder")


def test_an_unreachable_server_says_so_without_the_password() -> None:
    with pytest.raises(StoreError) as caught:
        open_store(None, "postgresql://someone:hunter2@127.0.0.1:1/none?connect_timeout=2")
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_two_stores_opened_at_once_migrate_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    salts: list[bytes] = []

    def work() -> None:
        try:
            with open_store(tmp_path, busy_seconds=30) as store:
                salts.append(store._salt)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(salts)) == 1
