"""How many requests traces stand for, where a head sampler before us kept only some of them."""

from __future__ import annotations

import msgspec

__all__ = ["ModeRequests", "Requests"]


class Requests(msgspec.Struct, frozen=True):
    """How many requests traces stand for: each for 1/u, kept by a head sampler with probability u.

    `troubled` ones had a finding, `recovered` ones got over all of theirs.
    """

    total: float
    reported_success: float
    loud: float
    troubled: float
    recovered: float


class ModeRequests(msgspec.Struct, frozen=True):
    """How many requests a mode's traces stand for, by worst state."""

    recovered: float
    unrecovered: float
    escalated: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.recovered + self.unrecovered + self.escalated
