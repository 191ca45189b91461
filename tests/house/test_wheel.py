"""The wheel is what users get: what is in it, that a bare install works, and that tests import it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import fidelity_otel

ROOT = Path(__file__).resolve().parents[2]

APP = """
import fidelity_otel as fidelity
fidelity.init(service="bare", endpoint="http://127.0.0.1:9")

@fidelity.observe
def answer(question: str) -> str:
    return question.upper()

assert answer("hello") == "HELLO"
fidelity.shutdown(timeout=2)
print("ran")
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(out),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return next(out.glob("*.whl"))


def test_wheel_holds_the_two_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"fidelity_otel", "fidelity_otel_integrations"}
    tracked = subprocess.run(
        ["git", "ls-files", "fidelity_otel"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    missing = [n for n in tracked if (ROOT / n).is_file() and n not in names]
    assert not missing, "files of the package that the wheel lacks"


def test_an_application_runs_on_a_bare_install(wheel: Path, tmp_path: Path) -> None:
    """Core dependencies only, at their pinned versions, in a fresh environment."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(
        [*pip, "--require-hashes", "-r", str(ROOT / "requirements/core.txt")], check=True
    )
    subprocess.run([*pip, str(wheel)], check=True)
    ran = subprocess.run(
        [str(python), "-W", "error", "-c", APP], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.stdout.strip() == "ran", ran.stderr
    installed = json.loads(
        subprocess.run(
            [str(python), "-m", "pip", "list", "--format", "json"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert "numpy" not in {package["name"] for package in installed}
    command = subprocess.run(
        [str(home / "bin" / "fidelity"), "report"], capture_output=True, text=True
    )
    assert command.returncode == 2
    assert "pip install 'fidelity-otel[server]'" in command.stderr


def test_tests_import_the_installed_package() -> None:
    """In CI nothing is imported from the checkout: what is tested is what is shipped."""
    if os.environ.get("CI") != "true":
        pytest.skip("outside CI the package may be installed editable")
    assert "site-packages" in Path(fidelity_otel.__file__).parts
    assert importlib.metadata.version("fidelity-otel") == "0.1.0"
