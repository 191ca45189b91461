"""Who may do what. Without people everybody at the page may do everything, as small teams want.

Reviewers judge and see nothing else, so that they stay blind; developers see traces and findings,
and so don't judge; leads do both, settle disagreements, erase, and read the audit trail.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fidelity_otel.errors import ConfigError

__all__ = ["EVERYBODY", "People", "Person", "cookie_value"]

_ALL: Final = frozenset({"judge", "settle", "see", "tell", "pick", "manage"})
RIGHTS: Final[Mapping[str, frozenset[str]]] = {
    "reviewer": frozenset({"judge"}),
    "developer": frozenset({"see", "tell", "pick"}),
    "lead": _ALL,
}
"""What each role may: judge, settle disagreements, see traces, tell outcomes, pick, manage."""

_PARTS = 3


@dataclass(frozen=True, slots=True)
class Person:
    """Who sends a request. `name` is empty where the token says nothing of that."""

    name: str = ""
    role: str = "lead"

    def may(self, right: str) -> bool:
        """Whether their role has a right ("" is everybody's)."""
        return not right or right in RIGHTS[self.role]


EVERYBODY: Final = Person()


@dataclass(frozen=True, slots=True)
class People:
    """Everybody with a token."""

    by_token: Mapping[str, Person]

    @classmethod
    def read(cls, entries: Sequence[str], token: str = "") -> People:
        """From the settings review.people ("NAME:ROLE:TOKEN" each) and review.token.

        Raises:
            ConfigError: an entry is wrong; its token is not shown.
        """
        found: dict[str, Person] = {token: EVERYBODY} if token else {}
        for number, entry in enumerate(entries, 1):
            parts = [part.strip() for part in entry.split(":", _PARTS - 1)]
            where = f"review.people, entry {number}"
            if len(parts) != _PARTS or not all(parts):
                raise ConfigError(f"{where}: NAME:ROLE:TOKEN is wanted, like ann:reviewer:s3cret.")
            name, role, secret = parts
            if role not in RIGHTS:
                raise ConfigError(
                    f"{where} ({name}): the role {role!r} is not known. "
                    f"Mend: use one of {', '.join(RIGHTS)}."
                )
            if secret in found:
                raise ConfigError(
                    f"{where} ({name}): the token is somebody else's too. Mend: make a new one."
                )
            found[secret] = Person(" ".join(name.split()), role)
        return cls(found)

    @property
    def open(self) -> bool:
        """Whether there are no tokens, so that everybody may do everything."""
        return not self.by_token

    def with_token(self, given: str) -> Person | None:
        """Whose token this is; takes as long for a wrong one as for a right one."""
        return self._find(given, {token: token for token in self.by_token})

    def with_cookie(self, given: str) -> Person | None:
        """Whose browser this is."""
        return self._find(given, {token: cookie_value(token) for token in self.by_token})

    def _find(self, given: str, wanted: Mapping[str, str]) -> Person | None:
        found = None
        for token, value in wanted.items():
            if hmac.compare_digest(given.encode(), value.encode()):
                found = self.by_token[token]
        return found


def cookie_value(token: str) -> str:
    """What a signed-in browser holds: not the token, and of no use when the token changes."""
    key = hashlib.blake2b(token.encode(), digest_size=32).digest()
    return hashlib.blake2b(b"page", key=key, digest_size=24).hexdigest()
