"""The settings that the review part reads, from the mapping of all settings by dotted name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fidelity_otel.errors import ConfigError
from fidelity_otel.review.people import People
from fidelity_otel.settings import by_name
from fidelity_otel.store import Followup

__all__ = ["ReviewSettings"]

_DEFAULTS = {name: row.default for name, row in by_name().items() if name.startswith("review.")}


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """Leases, who may do what, what is asked, what follows."""

    lease_seconds: float = 900.0
    people: People = field(default_factory=lambda: People({}))
    rubric: str = ""
    followup: Followup = field(default_factory=Followup)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ReviewSettings:
        """From settings by dotted name; what is not there has its default.

        Raises:
            ConfigError: people or days cannot be read.
        """

        def value(name: str) -> Any:
            return settings.get(f"review.{name}", _DEFAULTS[f"review.{name}"])

        return cls(
            lease_seconds=float(value("lease_seconds")),
            people=People.read(tuple(value("people")), str(value("token") or "")),
            rubric=str(value("rubric") or ""),
            followup=Followup(_days(value("recheck_days")), float(value("recheck_share"))),
        )

    @property
    def lease_ns(self) -> int:
        """Length of a lease in nanoseconds."""
        return int(self.lease_seconds * 1e9)


def _days(given: Any) -> tuple[int, ...]:
    found: set[int] = set()
    for each in given:
        text = str(each).strip()
        if not text.isdecimal() or not 0 < int(text) <= 36_500:  # noqa: PLR2004
            raise ConfigError(
                f"review.recheck_days: {text!r} is no number of days. Mend: like 1, 7, 42."
            )
        found.add(int(text))
    return tuple(sorted(found))
