"""The one guard between our code and the host: log once, count, go on.

Nothing that goes wrong on our side may reach the application. `FIDELITY_STRICT=1` (tests) raises
instead, so that our own faults are found.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Final

__all__ = ["counts", "log", "note", "strict", "trip"]

log: Final = logging.getLogger("fidelity_otel")

counts: Final[Counter[str]] = Counter()
"""What went wrong or was dropped since the start of the process, by place."""

_SEEN_LIMIT: Final = 1000
_seen: set[tuple[str, str]] = set()


def strict() -> bool:
    """Whether our own faults are raised: `FIDELITY_STRICT` is set and not off."""
    return os.environ.get("FIDELITY_STRICT", "").lower() not in {"", "0", "false", "no", "off"}


def trip(where: str, error: BaseException) -> None:
    """Take note of a fault of ours, without letting it through.

    Args:
        where: the place, as a short stable name; the key of `counts`.
        error: what was raised.

    Raises:
        BaseException: the error itself, only under FIDELITY_STRICT.
    """
    counts[where] += 1
    if strict():
        raise error
    key = (where, type(error).__name__)
    if key in _seen or len(_seen) >= _SEEN_LIMIT:
        return
    _seen.add(key)
    log.warning(
        "fidelity_otel: %s failed and was skipped; the application is not affected "
        "(further ones are only counted): %s: %s",
        where,
        type(error).__name__,
        _text(error),
    )


def note(where: str, message: str, *args: object) -> None:
    """Say something to the operator once per place, and count it each time."""
    counts[where] += 1
    key = (where, message)
    if key not in _seen and len(_seen) < _SEEN_LIMIT:
        _seen.add(key)
        log.warning("fidelity_otel: " + message, *args)  # noqa: G003 - one prefix for all messages


def _text(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Exception:  # noqa: BLE001 - an exception's own __str__ may raise
        return "(its text cannot be read)"
