"""The rooms and their doors (DESIGN: layout): who may import what, read from the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fidelity_otel"
FILES = sorted(PACKAGE.rglob("*.py")) + sorted((ROOT / "integrations").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of its code, `TYPE_CHECKING` included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(path: Path) -> str:
    relative = path.relative_to(ROOT)
    if relative.parts[0] == "integrations":
        return "integrations"
    return relative.parts[1] if len(relative.parts) > 2 else relative.stem


def importers(*prefixes: str) -> set[str]:
    """The files, relative to the root, that import a module under one of the prefixes."""
    return {
        str(path.relative_to(ROOT))
        for path in FILES
        if any(m == p or m.startswith(p + ".") for m in imports(path) for p in prefixes)
    }


def test_sdk_and_processor_never_import_each_other() -> None:
    for path in FILES:
        if room(path) == "sdk" or room(path) == "integrations":
            assert not [
                m
                for m in imports(path)
                if m.startswith(("fidelity_otel.processor", "fidelity_otel.store"))
            ], path
        if room(path) in {"processor", "store", "review", "stats"}:
            assert not [m for m in imports(path) if m.startswith("fidelity_otel.sdk")], path


def test_only_the_store_has_sql() -> None:
    outside = {
        f for f in importers("sqlalchemy", "alembic", "sqlite3", "psycopg") if "/store/" not in f
    }
    assert not outside


def test_only_wire_and_export_touch_protobuf() -> None:
    allowed = ("fidelity_otel/processor/wire", "fidelity_otel/sdk/export")
    users = importers("google.protobuf", "opentelemetry.proto", "google.rpc")
    assert not {f for f in users if not f.startswith(allowed)}


def test_only_service_and_web_start_servers() -> None:
    allowed = (
        "fidelity_otel/processor/service",
        "fidelity_otel/processor/receive",
        "fidelity_otel/review/web",
        "fidelity_otel/commands/",
        "fidelity_otel/testing",
    )
    assert not {f for f in importers("uvicorn", "grpc.aio") if not f.startswith(allowed)}


def test_stats_knows_only_the_model() -> None:
    ours = {"fidelity_otel", "fidelity_otel.stats", "fidelity_otel.model", "fidelity_otel.errors"}
    for path in FILES:
        if room(path) == "stats":
            foreign = {
                m
                for m in imports(path)
                if m.startswith("fidelity_otel")
                and not any(m == o or m.startswith(o + ".") for o in ours - {"fidelity_otel"})
                and m != "fidelity_otel"
            }
            assert not foreign, (path, foreign)


def test_no_room_is_called_utils() -> None:
    assert not [f for f in FILES if f.stem in {"utils", "util", "helpers", "misc", "common"}]


@pytest.mark.parametrize("module", ["fidelity_otel", "fidelity_otel.testing"])
def test_importing_the_package_loads_no_server_code(module: str) -> None:
    heavy = [
        "numpy",
        "scipy",
        "sqlalchemy",
        "starlette",
        "uvicorn",
        "grpc",
        "click",
        "rich",
        "yaml",
    ]
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_no_file_holds_more_than_one_noun() -> None:
    """A file past 400 lines is split by noun (CONTRIBUTING)."""
    long = {
        str(f.relative_to(ROOT)): n for f in FILES if (n := len(f.read_text().splitlines())) > 420
    }
    assert not long
