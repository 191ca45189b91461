"""What an answer's wording gives away: an apology, a hand-over, a refusal.

English only, and only openings and set phrases: wording is weak evidence and is used as such.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from fidelity_otel.processor.detect.words import Hints

__all__ = ["handed_over", "hands_over_tool", "is_reading", "said_so"]

_READ: Final = 4000

_SAID_SO: Final = re.compile(
    r"\b(?:(?:i|we)(?:'m| am|'re| are|'ve| have)? (?:was |were |been )?(?:currently "
    r"|still |sorry,? but "
    r"i )?(?:unable|not able) to"
    r"|(?:could|can) ?(?:not|n't) (?:currently |be )?(?:find|found|retrieve|access"
    r"|complete|reach|get|"
    r"look|locate|process|load|verify|check|connect|fetch|book|cancel|provide|confirm|determine)"
    r"|cannot (?:currently )?(?:find|retrieve|access|complete|reach|locate|process"
    r"|verify|check|confirm)"
    r"|(?:technical|system) (?:issue|difficult|problem|error)"
    r"|(?:went wrong|ran into (?:an?|some) (?:error|issue|problem)|encountered (?:an?|some) "
    r"(?:\w+ )?(?:error|issue|problem))"
    r"|(?:try again (?:later|in a|shortly)|temporarily unavailable"
    r"|not available (?:right now|at the "
    r"moment)|currently (?:down|unavailable))"
    r"|no (?:results?|records?|information|documents?|matching \w+) (?:were |was "
    r"|are |is )?(?:found|"
    r"available)|(?:don't|do not|didn't|did not) (?:have|find) (?:any |enough |that "
    r"|the |specific )?"
    r"(?:information|results|record|documents?|data|details))",
    re.IGNORECASE,
)
_HANDED: Final = re.compile(
    r"\b(?:transfer(?:red|ring)? (?:you|your|this|the (?:call|case|chat))|connect(?:ed|ing)? you "
    r"(?:to|with)|escalat(?:e|ed|ing)\b|hand(?:ed|ing)? (?:you |this |it )?over to"
    r"|(?:human|live|support|customer service) (?:agent|representative|colleague"
    r"|operator|specialist)"
    r"|contact (?:our |the )?(?:support|customer|help|service)|a colleague will"
    r"|open(?:ed)? a (?:support )?"
    r"ticket|raised? (?:it|this) with)",
    re.IGNORECASE,
)
_SAID_HINTS: Final = Hints(
    *("unable", "not able", "could not", "couldnot", "couldn't", "could n't", "can not", "cannot"),
    *("cann't", "can n't", "technical ", "system ", "went wrong", "ran into", "encountered"),
    *("try again", "unavailable", "not available", "currently down"),
    *("no result", "no record", "no information", "no document", "no matching"),
    *("don't have", "don't find", "do not have", "do not find"),
    *("didn't have", "didn't find", "did not have", "did not find"),
)
"""One of these is in every text that `_SAID_SO` finds something in; looking is much cheaper."""
_HANDED_HINTS: Final = Hints(
    *("transfer", "connect you", "connected you", "connecting you", "escalat", "over to"),
    *(
        " agent",
        " representative",
        " colleague",
        " operator",
        " specialist",
        "contact ",
        "a ticket",
    ),
    *("a support ticket", "raise it", "raise this", "raised it", "raised this", "a colleague"),
)
_NAME: Final = 100  # characters of a tool's name that are looked at, and kept
_HAND_TOOL: Final = re.compile(
    r"transfer.{0,12}(?:human|agent|person|rep)|escalat|hand_?(?:off|over)_?(?:to_)?(?:human|agent|"
    r"support|person)|human_?(?:agent|handoff|takeover|review|approval)"
    r"|page_?on_?call|contact_?human"
    r"|request_?human",
    re.IGNORECASE,
)


def said_so(answer: str) -> bool:
    """Whether an answer admits that something did not work or hands the case over."""
    head = answer[:_READ]
    admits = _SAID_HINTS.any_in(head.lower()) and _SAID_SO.search(head) is not None
    return admits or handed_over(head)


def handed_over(answer: str) -> bool:
    """Whether an answer hands the case to a person."""
    head = answer[:_READ]
    return _HANDED_HINTS.any_in(head.lower()) and _HANDED.search(head) is not None


def hands_over_tool(name: str) -> bool:
    """Whether a tool of this name hands the case to a person."""
    return _hands_over(name[:_NAME])


@lru_cache(maxsize=1024)
def _hands_over(name: str) -> bool:
    return _HAND_TOOL.search(name) is not None


_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_READING: Final = frozenset(
    [
        *("get", "fetch", "find", "search", "lookup", "look", "list", "read", "query"),
        *("retrieve", "load", "check", "show", "describe", "view", "count", "status"),
    ]
)

_CHANGING: Final = frozenset(
    [
        *("add", "book", "buy", "cancel", "change", "charge", "create", "delete", "exchange"),
        *("insert", "modify", "order", "pay", "place", "post", "refund", "remove", "send"),
        *("submit", "transfer", "update", "write"),
    ]
)


def is_changing(name: str) -> bool:
    """Whether a tool's name begins with a word for changing something: cancel_order, sendMail."""
    return _changes(name[:_NAME])


@lru_cache(maxsize=4096)
def _changes(name: str) -> bool:
    first = _WORDS.search(name)
    return first is not None and first.group().lower() in _CHANGING


def is_reading(name: str) -> bool:
    """Whether a tool's name says that it only reads: get_order, searchFlights, db.query."""
    return _reads(name[:_NAME])


@lru_cache(maxsize=4096)
def _reads(name: str) -> bool:
    return not _READING.isdisjoint(word.lower() for word in _WORDS.findall(name))
