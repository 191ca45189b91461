"""Where the native scanner (`_scan.c`) is asked first; see `native`.

It knows requests as exporters write them and declines all others; `wire`, `wire_records` and
`wire_decode` then go their own way, which also is the only one that knows errors.
"""

from __future__ import annotations

from typing import Final

from fidelity_otel import semconv
from fidelity_otel.model import Event, Link
from fidelity_otel.processor import native
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["decode", "records", "split"]

_MARKER: Final = semconv.FIDELITY_COMPLETE.encode()
_CARRIER: Final = semconv.FIDELITY_OUTCOME_SPAN.encode()


def split(body: bytes, limit: int) -> list[tuple[bytes, bytes, bytes, bool, bool, bool]] | None:
    """The parts of a request as `wire.Part` has them; None where the Python way has to do it."""
    if native.scan is None:
        return None
    found: list[tuple[bytes, bytes, bytes, bool, bool, bool]] | None = native.scan.split(
        body, limit, _MARKER, _CARRIER
    )
    return found


def records(
    body: bytes, limit: int, time_ns: int
) -> tuple[bytes, list[tuple[bytes, int, int, int]]] | None:
    """A request's records and what they are; None where the Python way has to do it."""
    if native.scan is None:
        return None
    found: tuple[bytes, list[tuple[bytes, int, int, int]]] | None = native.scan.records(
        body, limit, _MARKER, _CARRIER, time_ns
    )
    return found


def decode(otlp: bytes) -> list[RawSpan] | None:
    """The spans of a trace's body; None where the Python way has to do it."""
    if native.scan is None:
        return None
    found: list[RawSpan] | None = native.scan.decode(otlp, RawSpan, Event, Link)
    return found
