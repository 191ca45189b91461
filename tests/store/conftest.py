"""Stores on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fidelity_otel.store import Store, open_store

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "tools")]
import parts  # noqa: E402
from store_records import open_copy  # noqa: E402


class Server(NamedTuple):
    """A running PostgreSQL of this test run."""

    url: str


def _as_postgres(command: list[str], user: str | None) -> list[str]:
    return ["runuser", "-u", user, "--", *command] if user else command


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server in a folder of its own; skips, and says so, where there is none."""
    binaries = parts.find("postgres")
    user = None
    if binaries is not None and os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres").pw_name
        except KeyError:
            binaries = None
    if binaries is None:
        said = f"PostgreSQL is absent: {parts.mend('postgres')}"
        if os.environ.get("CI") == "true":
            pytest.fail(said)
        pytest.skip(said)
    folder = Path(tempfile.mkdtemp(prefix="fidelity-pg-", dir="/tmp"))
    if user:
        shutil.chown(folder, user)
    data, run = folder / "data", {"capture_output": True, "text": True, "cwd": "/"}
    made = subprocess.run(
        _as_postgres(
            [
                str(binaries / "initdb"),
                "-D",
                str(data),
                "-A",
                "trust",
                "-U",
                "tester",
                "-E",
                "UTF8",
            ],
            user,
        ),
        **run,
    )
    assert made.returncode == 0, made.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    control = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-t", "60"]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    started = subprocess.run(
        _as_postgres([*control, "-l", str(folder / "log"), "-o", options, "start"], user),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        assert started.returncode == 0, (folder / "log").read_text()
        yield Server(f"postgresql://tester@127.0.0.1:{port}")
    finally:
        subprocess.run(_as_postgres([*control, "-m", "immediate", "stop"], user), **run)
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: Server, *, empty: bool = False) -> str:
    """The URL of a new database on the server: a copy of a migrated one, or quite empty."""
    import psycopg

    name = "t" + secrets.token_hex(6)
    with psycopg.connect(server.url + "/postgres", autocommit=True) as connection:
        made = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'migrated'")
        if not empty and made.fetchone() is None:
            connection.execute("CREATE DATABASE migrated")
            open_store(url=server.url + "/migrated").close()
        template = "" if empty else " TEMPLATE migrated"
        connection.execute(f"CREATE DATABASE {name}{template} STRATEGY file_copy")
    return f"{server.url}/{name}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.parts)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store on each of the two databases."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        opened = open_store(tmp_path, new_database(server))
    else:
        opened = open_copy(tmp_path)
    with opened:
        yield opened


@pytest.fixture
def empty_postgres(postgres: Server) -> str:
    """The URL of a PostgreSQL database without any table."""
    return new_database(postgres, empty=True)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    """An empty store on SQLite, where the database makes no difference."""
    with open_copy(tmp_path) as opened:
        yield opened
