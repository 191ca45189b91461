"""`--since` as people write it: a span of time back from now, or a moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from fidelity_otel.errors import InputError

__all__ = ["since_ns"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def since_ns(text: str, *, now_ns: int) -> int:
    """The moment that a text means, in nanoseconds since the epoch.

    Args:
        text: `90m`, `12h`, `7d`, `4w`, or ISO 8601 (UTC where it names no zone).
        now_ns: what spans are counted back from.

    Raises:
        InputError: it is neither.
    """
    span = _SPAN.fullmatch(text.strip().lower())
    if span:
        return now_ns - int(float(span[1]) * _SECONDS[span[2]] * 1e9)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(
            f"--since {text}: neither a span such as 90m, 12h, 7d or 4w, nor a moment such as "
            "2026-11-14 or 2026-11-14T09:00:00+01:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9
