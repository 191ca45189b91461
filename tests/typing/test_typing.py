"""Types are part of the interface: both checkers, strictly, over `api.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@pytest.mark.timeout(300)
def test_mypy() -> None:
    """weave#5876: types become Any."""
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", str(HERE / "api.py")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.timeout(300)
def test_basedpyright() -> None:
    """langsmith-sdk#337: types become Any."""
    command = Path(sys.executable).with_name("basedpyright")
    if not command.exists():
        pytest.skip("basedpyright is not installed")
    ran = subprocess.run(
        [str(command), "--pythonpath", sys.executable, str(HERE / "api.py")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert " 0 errors" in f" {ran.stdout}", ran.stdout
