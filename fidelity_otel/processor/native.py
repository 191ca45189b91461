"""Which code runs where there are two: native parts (`_*.c`) where they were built, else Python.

Both give the same. A native part does what is usual and declines the rest, which then goes the
Python way. `receive.native: false` (FIDELITY_RECEIVE_NATIVE) leaves all of them out.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from fidelity_otel import settings
from fidelity_otel.errors import ConfigError

__all__ = ["available", "in_use", "use"]

PARTS: Final = ("_scan", "_journal", "_read", "_words", "_sift")


def _load() -> tuple[Any, ...] | None:
    try:
        return tuple(import_module(f"fidelity_otel.processor.{name}") for name in PARTS)
    except ImportError:  # no compiler was there at install
        return None


def _wanted() -> bool:
    try:
        return bool(settings.read_env(prefix="receive.").get("receive.native", True))
    except ConfigError:  # whoever reads the configuration says so
        return True


_found: Final = _load()
scan: Any = None
journal: Any = None
read: Any = None
words: Any = None
sift: Any = None
"""The parts, each None where Python is to do its work; look them up at each use."""


def available() -> bool:
    """Whether the native parts were built."""
    return _found is not None


def use(native: bool) -> None:
    """Use the native parts, where they were built, or leave them out; for the whole process."""
    global scan, journal, read, words, sift
    found = _found if native and _found is not None else (None,) * len(PARTS)
    scan, journal, read, words, sift = found


def in_use() -> str:
    """What runs, for logs and metrics: native or python."""
    return "python" if scan is None else "native"


use(_wanted())
