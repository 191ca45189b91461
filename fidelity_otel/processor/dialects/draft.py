"""A canonical span while its dialects are being read into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from fidelity_otel.processor import native
from fidelity_otel.processor.dialects.values import UNREADABLE, from_json, text

__all__ = ["Draft", "Rule", "fill"]

_NOTHING: Final[tuple[Any, ...]] = (None, "", ())


class Rule(NamedTuple):
    """One attribute that says one field: `read` gives its value, or None where it says nothing.

    `usage`: the field is one of `Usage`, not of `Span`.
    """

    field: str
    name: str
    read: Callable[[Any], Any]
    usage: bool = False


def fill(into: dict[str, Any], rules: tuple[Rule, ...], attributes: dict[str, Any]) -> None:
    """Fill fields by rules; the first that says something wins, and what is filled stays."""
    if native.read is not None:
        native.read.fill(into, rules, attributes, text)
        return
    get = attributes.get
    for field, name, read, _ in rules:
        if field not in into:
            value = get(name)
            if read is text and type(value) is str:  # most rules, and a call for each costs
                if value:
                    into[field] = value
                continue
            value = read(value)
            if value is not None:
                into[field] = value


class Draft:
    """Fields of a `model.Span` to be; the first reader that fills a field wins.

    `tool` collects the fields of a `ToolCall`, `usage` those of a `Usage`. `unread` counts values
    that a reader recognised by name and could not read.
    """

    __slots__ = ("fields", "losses", "tool", "unread", "usage")

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.tool: dict[str, Any] = {}
        self.usage: dict[str, Any] = {}
        self.losses: tuple[str, ...] = ()
        self.unread = 0

    def put(self, name: str, value: Any) -> None:
        """Fill a field, unless it is filled or there is nothing to fill it with."""
        if value not in _NOTHING and name not in self.fields:
            self.fields[name] = value

    def put_tool(self, name: str, value: Any) -> None:
        """Fill a field of the tool call."""
        if value is not None and value != "" and name not in self.tool:
            self.tool[name] = value

    def put_usage(self, name: str, value: Any) -> None:
        """Fill a count of tokens."""
        if value is not None and name not in self.usage:
            self.usage[name] = value

    def json(self, value: Any) -> Any:
        """What an attribute that holds JSON says; structured values pass; else None, counted."""
        if value is None or value == "":
            return None
        if type(value) is str:
            found = from_json(value)
            if found is UNREADABLE:
                self.unread += 1
                return None
            return found
        return value

    def value(self, value: Any) -> Any:
        """What an attribute says that may or may not be JSON: text that is not JSON stays text."""
        if type(value) is str and value[:1] in ("{", "[", '"'):
            found = from_json(value)
            return value if found is UNREADABLE else found
        return value if value != "" else None
