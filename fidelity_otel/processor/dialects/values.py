"""Attribute values of unknown make, read without ever raising.

An attribute can hold anything: a number where a text belongs, JSON that holds JSON, ten megabytes.
These functions give the wanted type or None; they never guess and never raise.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import msgspec

__all__ = ["compact", "from_json", "integer", "number", "text", "texts", "unwrapped"]

UNREADABLE: Final = object()
"""What `from_json` gives for a text that is not JSON (None is a valid JSON value)."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_LARGEST: Final = 2**63


def text(value: Any) -> str | None:
    """A non-empty text, else None. Numbers and truth values are written out."""
    if type(value) is str:
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return None


def texts(value: Any) -> tuple[str, ...]:
    """The texts of an array; one text counts as an array of one; JSON arrays are opened."""
    if type(value) is str:
        if value[:1] == "[":
            value = from_json(value)
        elif value:
            return (value,)
    if not isinstance(value, list | tuple):
        return ()
    return tuple(v for v in value if type(v) is str and v)


def integer(value: Any) -> int | None:
    """A whole number that fits 64 bits, also from a float or decimal text; never a bool."""
    if type(value) is int:
        return value if -_LARGEST <= value < _LARGEST else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _LARGEST else None
    if type(value) is str and len(value) < 20 and value.isascii():  # noqa: PLR2004
        digits = value.removeprefix("-")
        return int(value) if digits.isdigit() and abs(int(value)) < _LARGEST else None
    return None


def number(value: Any) -> float | None:
    """A finite number, also from a text; truth values are not numbers."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            found = float(value)
        except OverflowError:
            return None
        return found if math.isfinite(found) else None
    if type(value) is str and 0 < len(value) < 40:  # noqa: PLR2004
        try:
            found = float(value)
        except ValueError:
            return None
        return found if math.isfinite(found) else None
    return None


def from_json(value: str | bytes) -> Any:
    """What a JSON text says, else `UNREADABLE`.

    Python's own writer gives NaN and infinities, which JSON has not: such texts are read a second
    time by the standard library, with None in their place.
    """
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeError):
        pass
    except RecursionError:
        return UNREADABLE
    head = value[:1]
    if head not in ("{", "[", b"{", b"["):
        return UNREADABLE
    try:
        found = json.loads(value, parse_constant=lambda _: None)
        _encode(found)  # lone surrogates and giant integers would break whoever writes it out
    except (ValueError, RecursionError, TypeError, OverflowError, UnicodeError):
        return UNREADABLE
    return found


def unwrapped(value: Any, depth: int = 3) -> Any:
    """A value whose JSON texts are opened, up to `depth` times (JSON in JSON in JSON).

    A text that is not a JSON object, array or quoted text stays as it is, so "12" stays a text.
    """
    while depth > 0 and type(value) is str and value[:1] in ("{", "[", '"'):
        opened = from_json(value)
        if opened is UNREADABLE:
            return value
        value = opened
        depth -= 1
    return value


def compact(value: Any, limit: int = 2000) -> str:
    """A value as one text of at most `limit` characters, for evidence and comparison."""
    if type(value) is str:
        return value[:limit]
    if value is None:
        return ""
    try:
        return _encode(value).decode()[:limit]
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError):
        try:
            return repr(value)[:limit]
        except RecursionError:
            return ""
