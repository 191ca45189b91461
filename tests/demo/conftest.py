"""The demo's modules import one another by their plain names, as a script's neighbours do."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "support_bot"


@pytest.fixture(scope="session")
def demo() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the demo by name; the names are free again afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(DEMO))
    yield importlib.import_module
    sys.path.remove(str(DEMO))
    for name in set(sys.modules) - before:
        if (DEMO / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture(scope="session")
def coverage() -> Iterator[ModuleType]:
    """benchmarks/demo_coverage.py as a module."""
    spec = importlib.util.spec_from_file_location(
        "demo_coverage", ROOT / "benchmarks" / "demo_coverage.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_coverage"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["demo_coverage"]
