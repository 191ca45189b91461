"""Sentences of evidence: short, concrete, one line, for a person."""

from __future__ import annotations

from typing import Final

__all__ = ["duration", "plural", "quoted"]

_THOUSAND: Final = 1000
_MINUTE: Final = 120


def quoted(text: str, limit: int = 80) -> str:
    """A piece of text in quotation marks, on one line, shortened."""
    line = " ".join(text[: limit * 4].split())
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return f"“{line}”"


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 call", "3 calls"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(nanoseconds: int) -> str:
    """A duration as people say it: "240 ms", "3.2 s", "4 min"."""
    milliseconds = nanoseconds / 1e6
    if milliseconds < _THOUSAND:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / _THOUSAND
    return f"{seconds:.1f} s" if seconds < _MINUTE else f"{seconds / 60:.0f} min"
