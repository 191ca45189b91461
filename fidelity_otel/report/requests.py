"""How many requests traces stand for, where only some were kept.

By a head sampler before us, or by our own `sample.keep_share`: what is said of the one here and in
the report's other parts holds for both, since p is the product of their probabilities.
"""

from __future__ import annotations

import msgspec

__all__ = ["ModeRequests", "Requests"]


class Requests(msgspec.Struct, frozen=True):
    """How many requests traces stand for: each for 1/u, u the probability with which it was kept.

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
