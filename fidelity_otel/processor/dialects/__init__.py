"""Reading any instrumentation's spans into canonical ones.

A dialect is a function that fills a `Draft` from a `RawSpan`. Which dialects a span is written in
shows in its attribute names, so each is registered under the first words of its names; several can
apply to one span, in the order of the table, and the first to fill a field wins.

Spans of one kind of call have the same attribute names, over and over. What is to be done with them
is therefore found once for each such set of names, and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from fidelity_otel import semconv
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
from fidelity_otel.processor.dialects.draft import Draft, Rule
from fidelity_otel.processor.dialects.plan import plan_of
from fidelity_otel.processor.dialects.values import text
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["KNOWN", "TABLE", "Dialect", "Reading", "reading_of"]


class Dialect(NamedTuple):
    """A dialect: its name, the first words of its attribute names, and its reader.

    `rules` are followed before `read` is called: plain attributes that each say one field.
    """

    name: str
    words: frozenset[str]
    read: Callable[[RawSpan, Draft], None]
    rules: tuple[Rule, ...] = ()


TABLE: Final[tuple[Dialect, ...]] = (
    Dialect(own.NAME, frozenset({"fidelity"}), own.read, own.RULES),
    Dialect(genai.NAME, frozenset({"gen_ai"}), genai.read, genai.RULES),
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
GENERAL: Final = (
    Rule("user_id", semconv.USER_ID, text),
    Rule("conversation_id", semconv.SESSION_ID, text),
    Rule("error_type", semconv.ERROR_TYPE, text),
)
"""Names of no dialect, followed after all of them."""


class Step(NamedTuple):
    """One dialect of a reading: its rules for attributes that are there, then its reader."""

    fields: tuple[Rule, ...]
    usage: tuple[Rule, ...]
    read: Callable[[RawSpan, Draft], None]


class Reading(NamedTuple):
    """How spans with certain attribute and event names are read; `dialect` names the dialects.

    `plan` is for the native reader, where that can read them.
    """

    steps: tuple[Step, ...]
    general: tuple[Rule, ...]
    dialect: str
    plan: bytes | None


_MOST: Final = 4_000  # names are the senders' to choose; memory is ours
_MOST_NAMES: Final = 256
KNOWN: Final[dict[tuple[str, ...], Reading]] = {}
"""Readings by the names of the attributes, and of the events behind them."""


def reading_of(raw: RawSpan) -> Reading:
    """How a span is read: the dialects that it is written in, in the order of the table."""
    names = tuple(raw.attributes)
    if raw.events:
        names += tuple(event.name for event in raw.events)
    found = KNOWN.get(names)
    if found is None:
        found = _reading(names)
        if len(names) <= _MOST_NAMES:
            if len(KNOWN) >= _MOST:
                KNOWN.clear()
            KNOWN[names] = found
    return found


def _reading(given: tuple[str, ...]) -> Reading:
    names = frozenset(given)
    words = {name.partition(".")[0] for name in names}
    dialects = [dialect for dialect in TABLE if not words.isdisjoint(dialect.words)]
    return Reading(
        tuple(
            Step(
                tuple(rule for rule in dialect.rules if rule.name in names and not rule.usage),
                tuple(rule for rule in dialect.rules if rule.name in names and rule.usage),
                dialect.read,
            )
            for dialect in dialects
        ),
        tuple(rule for rule in GENERAL if rule.name in names),
        "+".join(dialect.name for dialect in dialects),
        plan_of(given, [dialect.name for dialect in dialects], GENERAL),
    )
