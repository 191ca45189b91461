"""Reading any instrumentation's spans into canonical ones.

A dialect is a function that fills a `Draft` from a `RawSpan`. Which dialects a span is written in
shows in its attribute names, so each is registered under the first words of its names; several can
apply to one span, in the order of the table, and the first to fill a field wins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from fidelity_otel.processor.dialects import (
    genai,
    langfuse,
    langsmith,
    logfire,
    mlflow,
    openinference,
    own,
    traceloop,
    vercel,
)
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["TABLE", "Dialect", "applying"]


class Dialect(NamedTuple):
    """A dialect: its name, the first words of its attribute names, and its reader."""

    name: str
    words: frozenset[str]
    read: Callable[[RawSpan, Draft], None]


TABLE: Final[tuple[Dialect, ...]] = (
    Dialect(own.NAME, frozenset({"fidelity"}), own.read),
    Dialect(genai.NAME, frozenset({"gen_ai"}), genai.read),
    Dialect(openinference.NAME, frozenset({"openinference"}), openinference.read),
    Dialect(langsmith.NAME, frozenset({"langsmith"}), langsmith.read),
    Dialect(traceloop.NAME, frozenset({"traceloop", "llm", "db"}), traceloop.read),
    Dialect(langfuse.NAME, frozenset({"langfuse"}), langfuse.read),
    Dialect(
        logfire.NAME,
        frozenset({"logfire", "pydantic_ai", "request_data", "agent_name", "tool_arguments"}),
        logfire.read,
    ),
    Dialect(vercel.NAME, frozenset({"ai"}), vercel.read),
    Dialect(mlflow.NAME, frozenset({"mlflow"}), mlflow.read),
)


_MOST_NAMES: Final = 20_000  # attribute names are the senders' to choose; memory is ours
_known: dict[str, int] = {}
"""Which dialects a name belongs to, a bit for each row of the table: names repeat without end."""


def _bits(name: str) -> int:
    word = name.partition(".")[0]
    bits = sum(1 << row for row, dialect in enumerate(TABLE) if word in dialect.words)
    if len(_known) >= _MOST_NAMES:
        _known.clear()
    _known[name] = bits
    return bits


def applying(raw: RawSpan) -> list[Dialect]:
    """The dialects that a span is written in, in the order of the table."""
    bits, known = 0, _known.get
    for name in raw.attributes:
        found = known(name)
        bits |= _bits(name) if found is None else found
    for event in raw.events:
        bits |= _bits(event.name)
    return [dialect for row, dialect in enumerate(TABLE) if bits >> row & 1]
