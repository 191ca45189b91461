"""Which scanner reads OTLP's bytes: the native one (`_scan.c`) where it was built, else Python.

The native one knows requests as exporters write them and declines all others; `wire` and
`wire_decode` then go their own way, which also is the only one that knows errors. Both give the
same; `receive.native: false` (FIDELITY_RECEIVE_NATIVE) leaves it out.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from fidelity_otel import semconv, settings
from fidelity_otel.errors import ConfigError
from fidelity_otel.model import Event, Link
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["available", "decode", "in_use", "split", "use"]

_MARKER: Final = semconv.FIDELITY_COMPLETE.encode()
_CARRIER: Final = semconv.FIDELITY_OUTCOME_SPAN.encode()


def _load() -> ModuleType | None:
    try:
        from fidelity_otel.processor import _scan
    except ImportError:  # no compiler was there at install
        return None
    return _scan


def _wanted() -> bool:
    try:
        return bool(settings.read_env(prefix="receive.").get("receive.native", True))
    except ConfigError:  # whoever reads the configuration says so
        return True


_found: Final = _load()
_scan: Any = _found if _wanted() else None


def available() -> bool:
    """Whether the native scanner was built."""
    return _found is not None


def use(native: bool) -> None:
    """Use the native scanner, where it was built, or leave it out; for the whole process."""
    global _scan  # noqa: PLW0603 - one process, one scanner
    _scan = _found if native else None


def in_use() -> str:
    """The scanner's name, for logs and metrics: native or python."""
    return "python" if _scan is None else "native"


def split(body: bytes, limit: int) -> list[tuple[bytes, bytes, bytes, bool, bool, bool]] | None:
    """The parts of a request as `wire.Part` has them; None where the Python way has to do it."""
    if _scan is None:
        return None
    found: list[tuple[bytes, bytes, bytes, bool, bool, bool]] | None = _scan.split(
        body, limit, _MARKER, _CARRIER
    )
    return found


def decode(otlp: bytes) -> list[RawSpan] | None:
    """The spans of a trace's body; None where the Python way has to do it."""
    if _scan is None:
        return None
    found: list[RawSpan] | None = _scan.decode(otlp, RawSpan, Event, Link)
    return found
