"""What a rule says of a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from fidelity_otel.model import Trace
from fidelity_otel.processor.detect.facts import Facts

__all__ = ["Breach", "Check", "Make", "RuleFailed", "Subject"]


class Subject:
    """A trace as rules see it; what costs something is gathered once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._facts: Facts | None = None

    @property
    def facts(self) -> Facts:
        """Its steps, retrievals and model calls in order."""
        if self._facts is None:
            self._facts = Facts(self.trace)
        return self._facts


class Breach(msgspec.Struct, frozen=True):
    """A rule that a trace breaks: what was found, in one sentence, and where."""

    rule: str
    what: str
    span_id: str = ""


class RuleFailed(Exception):  # noqa: N818 - it says what happened
    """A rule could not be evaluated on a trace; it holds neither way."""


Check = Callable[[Subject], Iterator[tuple[str, str]]]
"""(what, span id) of every breach; the span id may be empty."""

Make = Callable[[Any], Check]
"""Makes a check of what stands in the file. Raises `GivenError`, saying what is wrong."""
