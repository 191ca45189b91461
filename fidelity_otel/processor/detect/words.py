"""Looks at words that many detectors take, native where that was built (`_words.c`), else Python.

They are asked of every text of every trace, so what they cost is what detection costs.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fidelity_otel.processor import native

__all__ = ["Hints", "alike", "common", "unknown_words"]

_TELLING: Final = re.compile(r"\w{3,}")
_MOST_READ: Final = 4000
_WORD: Final = re.compile(r"[^\W\d_]{4,}")
_STEM: Final = 5
_CLOSE: Final = 1e-6  # sums of fractions are not exact


class Hints:
    """Words and phrases of which one is in every text that a costly pattern finds something in.

    Args:
        hints: ASCII texts of three characters or more, in small letters.
    """

    __slots__ = ("_compiled", "_hints")

    def __init__(self, *hints: str) -> None:
        self._hints = hints
        self._compiled: Any = None

    def any_in(self, lowered: str) -> bool:
        """Whether one of them is in a text, which is in small letters."""
        words = native.words
        if words is not None:
            if self._compiled is None:
                self._compiled = words.hints(self._hints)
            found: bool = words.any_of(self._compiled, lowered)
            return found
        return any(hint in lowered for hint in self._hints)


def common(one: str, two: str) -> int:
    """How many different words of three letters or more, in any case, two texts have in common.

    Of each the first four thousand characters are looked at.
    """
    words = native.words
    if words is not None:
        found: int | None = words.common(one, two)
        if found is not None:
            return found
    some, others = (set(_TELLING.findall(t[:_MOST_READ].lower())) for t in (one, two))
    return len(some & others)


def alike(one: str, two: str, *, share: float, fewest: int) -> bool:
    """Whether two texts have a share of their different words in common (Jaccard).

    Texts of fewer different words than `fewest` are like no other.
    """
    words = native.words
    if words is not None:
        found: bool | None = words.alike(one, two, share, fewest)
        if found is not None:
            return found
    short, long = (one, two) if len(one) < len(two) else (two, one)
    few = set(short.split())
    if len(few) < fewest:
        return False
    # A word of the short text that the long one does not hold is not common: mostly that says it.
    missing = (1 - share) * len(few)
    for word in few:
        if word not in long:
            missing -= 1
            if missing < -_CLOSE:
                return False
    many = set(long.split())
    return len(many) >= fewest and len(few & many) >= share * len(few | many)


def unknown_words(query: str, documents: str, usual: frozenset[str]) -> tuple[tuple[str, ...], int]:
    """The content words of a query that no document holds, and how many content words it has.

    Words match by their first five letters, so that "refunds" finds "refunded"; `usual` are none.
    """
    words = native.words
    if words is not None:
        told: tuple[tuple[str, ...], int] | None = words.unknown_words(query, documents, usual)
        if told is not None:
            return told
    asked = dict.fromkeys(w for w in _WORD.findall(query.lower()) if w not in usual)
    text = documents.lower()
    return tuple(w for w in asked if w[:_STEM] not in text), len(asked)
