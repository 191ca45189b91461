"""Times between people's texts and nanoseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fidelity_otel.errors import InputError

__all__ = ["ago", "from_text", "to_text"]

_SECOND = 10**9
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LAST = 253_402_300_799  # 9999-12-31, the last that datetime can say


def to_text(time_ns: int) -> str:
    """RFC 3339, UTC, milliseconds; empty for 0."""
    if time_ns <= 0:
        return ""
    seconds, rest = divmod(time_ns, _SECOND)
    moment = datetime.fromtimestamp(min(seconds, _LAST), tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def from_text(value: str | int, *, what: str) -> int:
    """Nanoseconds of an ISO 8601 text (UTC where it names no zone), or of a whole number.

    Raises:
        InputError: it is neither.
    """
    if isinstance(value, int):
        return value
    text = value.strip()
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{what} = {value!r} is no time. Mend: write it like 2026-11-03T14:00:00Z, or as "
            "nanoseconds since 1970."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return whole * 1000


def ago(text: str, now_ns: int, *, what: str) -> int:
    """A time that is given as a moment, or as "7d", "12h", "30m" before now.

    Raises:
        InputError: it is neither.
    """
    number, unit = text.strip()[:-1], text.strip()[-1:]
    if unit in _UNITS and number.replace(".", "", 1).isdecimal():
        return now_ns - int(float(number) * _UNITS[unit] * _SECOND)
    return from_text(text, what=what)
