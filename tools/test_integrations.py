#!/usr/bin/env python3
"""Runs the tests of integrations with the oldest supported and the newest release of their library.

.venv/bin/python tools/test_integrations.py                    all, oldest and newest
.venv/bin/python tools/test_integrations.py openai cohere      those
.venv/bin/python tools/test_integrations.py --only oldest      one end
.venv/bin/python tools/test_integrations.py --upgrade          look for newer releases first

What is tested with what stands in tests/integrations/versions.toml. Each set of versions gets an
environment of its own under ~/.cache/fidelity-otel/integrations, which is kept for the next run.
Prints one table; exits 1 where a test failed or an environment could not be made.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "integrations"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
HOME = CACHE / "fidelity-otel" / "integrations"
RUNNER = ("pytest>=8.2", "pytest-asyncio>=0.24", "pytest-timeout>=2.3", "pydantic>=2.9")


@dataclass(frozen=True)
class Case:
    """One integration at one end of its range of versions."""

    name: str
    end: str
    requirements: tuple[str, ...]
    tests: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Where its environment is kept; another one where anything that goes in has changed."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        parts = [sys.version.split()[0], *self.requirements, *RUNNER, *project["dependencies"]]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        return HOME / f"{self.name}-{self.end}-{key}"


@dataclass(frozen=True)
class Outcome:
    """How one case went."""

    version: str
    said: str
    passed: bool


class CannotBeMadeError(Exception):
    """An environment could not be made; the text says why."""


def cases(table: dict[str, Any], names: Sequence[str], ends: Sequence[str]) -> list[Case]:
    """The cases to run, in the table's order.

    Args:
        table: the content of versions.toml.
        names: integrations; all where there are none.
        ends: of "oldest" and "newest".

    Raises:
        KeyError: a name is not in the table.
    """
    for name in names:
        if name not in table:
            raise KeyError(name)
    return [
        Case(
            name,
            end,
            tuple(row[end]),
            tuple(TESTS / file for file in row.get("tests", [f"test_{name}.py"])),
        )
        for name, row in table.items()
        for end in ends
        if not names or name in names
    ]


@contextlib.contextmanager
def wheel() -> Iterator[Path]:
    """The project's wheel, as users install it."""
    with tempfile.TemporaryDirectory(prefix="fidelity-wheel-") as folder:
        _quietly(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
        )
        yield next(Path(folder).glob("*.whl"))


def _quietly(command: Sequence[str | Path]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CannotBeMadeError("\n".join((ran.stdout + ran.stderr).strip().splitlines()[-15:]))
    return ran.stdout


def prepare(case: Case, package: Path, *, upgrade: bool = False) -> Path:
    """Make the environment of a case, or refresh the project in it; returns its Python.

    Raises:
        CannotBeMadeError: what pip said.
    """
    python = case.folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    made = case.folder / "made"
    if not made.is_file():
        shutil.rmtree(case.folder, ignore_errors=True)
        case.folder.parent.mkdir(parents=True, exist_ok=True)
        _quietly([sys.executable, "-m", "venv", case.folder])
    if not made.is_file() or (upgrade and case.end == "newest"):
        _quietly([*pip, "--upgrade", package, *RUNNER, *case.requirements])
        made.touch()
    _quietly([*pip, "--no-deps", "--force-reinstall", package])
    return python


def run(case: Case, python: Path) -> Outcome:
    """Run a case's tests in its environment."""
    # Old releases warn of what is deprecated since: that is theirs to mend.
    quiet = ["-o", "filterwarnings=default", "-W", "ignore::DeprecationWarning"]
    ran = subprocess.run(
        [python.with_name("pytest"), "-q", "-rfE", "--tb=short", *quiet, *case.tests],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "CI": "true", "PYTHONPATH": "", "FIDELITY_INTEGRATION": case.name},
    )
    lines = ran.stdout.strip().splitlines() or ran.stderr.strip().splitlines() or ["said nothing"]
    if ran.returncode:
        sys.stderr.write(f"--- {case.name} {case.end}\n{ran.stdout[-6000:]}{ran.stderr[-2000:]}\n")
    said = re.sub(r"=+ ?| in [\d.]+s.*", "", lines[-1]).strip()
    return Outcome(version_in(python, case), said, ran.returncode == 0)


def version_in(python: Path, case: Case) -> str:
    """Which release of the library (the first requirement) is in an environment."""
    library = re.split(r"[^\w.-]", case.requirements[0], maxsplit=1)[0]
    code = f"import importlib.metadata as m; print(m.version({json.dumps(library)}))"
    return f"{library} {_quietly([python, '-c', code]).strip()}"


def examine(case: Case, package: Path, *, upgrade: bool) -> Outcome:
    """Make the environment of a case and run its tests."""
    sys.stderr.write(f"{case.name}: {case.end} …\n")
    try:
        return run(case, prepare(case, package, upgrade=upgrade))
    except CannotBeMadeError as error:
        sys.stderr.write(f"--- {case.name} {case.end}\n{error}\n")
        return Outcome(case.requirements[0], "environment cannot be made", passed=False)


def shown(outcomes: Sequence[tuple[Case, Outcome]]) -> str:
    """The table that is printed."""
    head = ("integration", "end", "release", "result")
    rows = [
        (case.name, case.end, found.version, ("" if found.passed else "FAILED: ") + found.said)
        for case, found in outcomes
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)) for row in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description="Tests integrations with old and new releases.")
    parser.add_argument("names", nargs="*", help="integrations; all where none is named")
    parser.add_argument("--only", choices=("oldest", "newest"), help="one end of the range")
    parser.add_argument("--upgrade", action="store_true", help="look for newer releases first")
    asked = parser.parse_args(arguments)
    table = tomllib.loads((TESTS / "versions.toml").read_text(encoding="utf-8"))
    ends = [asked.only] if asked.only else ["oldest", "newest"]
    try:
        chosen = cases(table, asked.names, ends)
    except KeyError as error:
        sys.stderr.write(f"{error.args[0]} is not in versions.toml: {', '.join(table)}\n")
        return 2
    with wheel() as package:
        outcomes = [(case, examine(case, package, upgrade=asked.upgrade)) for case in chosen]
    sys.stdout.write(shown(outcomes) + "\n")
    return 0 if all(found.passed for _, found in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
