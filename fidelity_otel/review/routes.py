"""The API's routes as a table: what serves requests, and what the OpenAPI document is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fidelity_otel.errors import InputError, NotAllowed
from fidelity_otel.review.desk import Desk
from fidelity_otel.review.people import EVERYBODY, Person

__all__ = ["Call", "Hooks", "Reply", "Route", "allow"]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the service lends the API: what belongs to other rooms.

    `close_windows` draws all open windows now and returns (windows, enqueued). `report` makes the
    report's JSON bytes, `report_page` its HTML; both are given the request's query parameters.
    """

    close_windows: Callable[[], tuple[int, int]] | None = None
    report: Callable[[Mapping[str, str]], bytes] | None = None
    report_page: Callable[[Mapping[str, str]], str] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read: path parameters, query, body."""

    desk: Desk
    hooks: Hooks
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    person: Person = EVERYBODY

    def reviewer(self, given: str | None) -> str | None:
        """Who judges: who the token says, else who the body says.

        Raises:
            NotAllowed: they are not the same person.
        """
        if not self.person.name:
            return given
        if given and " ".join(given.split()) != self.person.name:
            raise NotAllowed(
                f"the token is {self.person.name}'s, not {given}'s. "
                "Mend: leave the reviewer out, or use their own token."
            )
        return self.person.name

    def number(self, name: str, default: int, *, most: int) -> int:
        """A whole number of the query, from 0 to `most`.

        Raises:
            InputError: it is none.
        """
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.isdecimal() or int(text) > most:
            raise InputError(
                f"{name} = {text!r} is no number from 0 to {most}. "
                f"Mend: leave it out for {default}."
            )
        return int(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a value (as JSON), or bytes of some type."""

    value: Any = None
    status: int = 200
    content: bytes | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API."""

    method: str
    path: str
    handler: Callable[[Call], Reply]
    summary: str
    takes: Any = None
    gives: Any = None
    empty: str = ""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    right: str = ""

    def read(self, body: bytes) -> Any:
        """The body as the type that this route takes.

        Raises:
            InputError: it is not; the message names the place in it.
        """
        if self.takes is None:
            return None
        try:
            return msgspec.json.decode(body or b"{}", type=self.takes)
        except msgspec.ValidationError as error:
            raise InputError(
                f"the body does not fit: {error}. Mend: see the schema in /api/v1/openapi.json."
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"the body is not JSON: {error}. Mend: send a JSON object.") from None


def allow(person: Person, right: str, what: str) -> None:
    """Refuse what a person's role does not include.

    Raises:
        NotAllowed: it does not.
    """
    if not person.may(right):
        raise NotAllowed(
            f"{person.name or 'this token'} is {person.role}, and {what} is not for that role. "
            "Mend: ask a lead, or change the role in review.people."
        )
