"""What stands in a contract file, checked: each function says what is wrong by `GivenError`."""

from __future__ import annotations

import difflib
from typing import Any

__all__ = ["GivenError", "amount", "mapping", "texts", "whole"]


class GivenError(ValueError):
    """What stands in the file is wrong; the message says how to mend it."""


def mapping(given: Any, *allowed: str) -> dict[str, Any]:
    """A mapping with no other keys than these; any where none is named."""
    if not isinstance(given, dict):
        raise GivenError(f"a mapping is wanted, not {given!r}")
    for key in given:
        if allowed and key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(allowed)}"
            raise GivenError(f"{key!r} is not known here; {hint}")
    return {str(k): v for k, v in given.items()}


def texts(given: Any) -> list[str]:
    """One text or a list of texts."""
    found = given if isinstance(given, list) else [given]
    for one in found:
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            raise GivenError(f"a text or a list of texts is wanted, not {one!r}")
    if not found:
        raise GivenError("at least one is wanted")
    return [str(one) for one in found]


def whole(given: Any, name: str) -> int:
    """A whole number ≥ 0."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise GivenError(f"{name}: a whole number from 0 on is wanted, not {given!r}")
    return given


def amount(given: Any, name: str) -> float:
    """A number ≥ 0."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise GivenError(f"{name}: a number from 0 on is wanted, not {given!r}")
    return float(given)
