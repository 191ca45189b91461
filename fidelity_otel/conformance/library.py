"""A client library that a test file needs: skipped where it is absent, a failure under CI=true."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

__all__ = ["library"]


def library(name: str, distribution: str = "") -> Any:
    """Import it.

    Args:
        name: the module.
        distribution: what to pip install; the module's name by default.

    Raises:
        ImportError: it is absent, under CI=true; else the test file is skipped and says why.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        why = f"the library is absent: pip install {distribution or name}"
        pytest.skip(why, allow_module_level=True)
