"""The helpers of this folder are imported by name; real parts skip in clear words where absent."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "processor", HERE.parent / "report"):
    sys.path.insert(0, str(folder))


def _tool() -> ModuleType:
    path = HERE.parents[1] / "tools" / "parts.py"
    spec = importlib.util.spec_from_file_location("fidelity_parts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def part() -> Callable[[str], Path]:
    """(name) → the real program; skips where it is absent, fails with CI=true."""
    tool = _tool()

    def find(name: str) -> Path:
        found = tool.find(name)
        if found is None:
            said = f"{name} is not on this machine: {tool.mend(name)}"
            if os.environ.get("CI", "").lower() == "true":
                pytest.fail(said)
            pytest.skip(said)
        return Path(found)

    return find
