"""What a user can set about detection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["DEFAULT", "DetectSettings"]


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """Thresholds of the detectors; the rows `detect.*` of the settings table.

    `stale_days` is the age at which a document counts as stale, `loop_calls` how many identical
    calls make a loop. `max_seconds`, `max_tokens` and `max_cost_usd` are what a request may take
    (0 = no limit).
    """

    stale_days: float = 180.0
    loop_calls: int = 3
    max_seconds: float = 0.0
    max_tokens: int = 0
    max_cost_usd: float = 0.0

    @classmethod
    def from_settings(cls, values: Mapping[str, Any]) -> DetectSettings:
        """The settings from dotted names ("detect.stale_days"); others keep their default."""
        known = {f"detect.{name}": name for name in cls.__slots__}
        return cls(**{known[name]: value for name, value in values.items() if name in known})


DEFAULT: Final = DetectSettings()
