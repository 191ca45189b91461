"""The probability that a trace's answer is wrong, before and after any review.

Prior weights, in log-odds, stand until enough has been reviewed. They are judgements, written down
in the table of modes, and deliberately small: rules miss most wrong answers. `fit_risk` puts a
`RiskModel` in their place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from fidelity_otel.model import Finding, Trace
from fidelity_otel.processor.detect.features import features, prior_weight

__all__ = ["PRIOR", "Reason", "RiskModel", "risk"]

_BASE: Final = -1.4  # one wrong answer in five, before anything is known
_LOWEST, _HIGHEST = 0.01, 0.99
_STEEPEST: Final = 30.0


class Reason(msgspec.Struct, frozen=True):
    """What one feature adds to a trace's risk, in log-odds."""

    feature: str
    value: float
    adds: float


class RiskModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """Weights of features; readable as JSON, so that the store can keep it.

    A feature enters as (value − center) × weight; one that is not named weighs what it does before
    any review. `slope` and `shift` calibrate the sum. `n`, `auc`, `brier` and `brier_prior` are of
    cross-fitted predictions on the reviews it was fitted on, `fitted_ns` when that was.
    """

    intercept: float = _BASE
    weights: dict[str, float] = {}
    centers: dict[str, float] = {}
    slope: float = 1.0
    shift: float = 0.0
    n: int = 0
    n_effective: float = 0.0
    auc: float | None = None
    brier: float | None = None
    brier_prior: float | None = None
    fitted_ns: int = 0

    def score(self, given: dict[str, float]) -> float:
        """The uncalibrated log-odds."""
        total = self.intercept
        for name, weight in self.weights.items():
            total += weight * (given.get(name, 0.0) - self.centers.get(name, 0.0))
        for name, value in given.items():
            if name not in self.weights:
                total += prior_weight(name) * value
        return total

    def probability(self, given: dict[str, float]) -> float:
        """The calibrated probability of being wrong, in [0.01, 0.99]."""
        score = self.slope * self.score(given) + self.shift
        score = max(-_STEEPEST, min(_STEEPEST, score))
        return min(_HIGHEST, max(_LOWEST, 1 / (1 + math.exp(-score))))

    def reasons(self, given: dict[str, float], most: int = 5) -> list[Reason]:
        """What moves a trace's risk most, the largest first."""
        names = {*self.weights, *given}
        told = []
        for name in names:
            value = given.get(name, 0.0)
            if name in self.weights:
                adds = self.slope * self.weights[name] * (value - self.centers.get(name, 0.0))
            else:
                adds = self.slope * prior_weight(name) * value
            if abs(adds) > 0.005:  # noqa: PLR2004 - not worth a line
                told.append(Reason(name, value, adds))
        return sorted(told, key=lambda r: (-abs(r.adds), r.feature))[:most]


PRIOR: Final = RiskModel()
"""The weights before any review."""


def risk(trace: Trace, findings: Iterable[Finding], model: RiskModel = PRIOR) -> float:
    """The probability, in [0.01, 0.99], that what the user got is wrong.

    Each mode counts once, in its worst state, so a storm of findings is not taken for certainty.

    Args:
        trace: as read.
        findings: as detected.
        model: fitted weights; the prior ones by default.
    """
    if not model.weights and model.intercept == _BASE:  # the prior, perhaps with figures noted
        return _by_prior(trace, findings)
    return model.probability(features(trace, findings))


def _by_prior(trace: Trace, findings: Iterable[Finding]) -> float:
    """The prior's probability without computing the features that it gives no weight."""
    worst: dict[str, float] = {}
    for finding in findings:
        weight = prior_weight(f"{finding.mode}:{finding.state}")
        worst[finding.mode] = max(worst.get(finding.mode, weight), weight)
    given = math.fsum(worst.values())
    if not trace.reported_success:
        given += prior_weight("failed")
    if not trace.answer and trace.reported_success:
        given += prior_weight("no_answer")
    return min(_HIGHEST, max(_LOWEST, 1 / (1 + math.exp(-(_BASE + given)))))
