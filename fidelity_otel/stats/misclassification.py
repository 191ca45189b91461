"""Reviewers err. What double reviews say of how often, and fidelity corrected for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from fidelity_otel.errors import DesignError
from fidelity_otel.model import Estimate
from fidelity_otel.stats.intervals import normal_quantile
from fidelity_otel.stats.limits import limits_of_count

__all__ = ["ErrorRate", "corrected", "error_from_doubles"]


class ErrorRate(NamedTuple):
    """A reviewer's chance to err, its limits, and the double reviews behind it."""

    value: float
    low: float
    high: float
    pairs: int


def error_from_doubles(disagreed: int, pairs: int, level: float = 0.95) -> ErrorRate:
    """E from the share of double reviews that disagree: d = 2e(1−e), so e = (1 − √(1−2d))/2.

    Assumes that both reviewers err independently and as often on right answers as on wrong ones
    (Hui and Walter, Biometrics 36, 1980, in its simplest form). Blind double review makes the first
    plausible; where the second is doubtful use `dawid_skene`.

    Args:
        disagreed: pairs of verdicts that differ.
        pairs: pairs in all, > 0.
        level: confidence level.

    Raises:
        DesignError: no pairs, or more disagreements than pairs.
    """
    if not 0 <= disagreed <= pairs or pairs == 0:
        raise DesignError(f"{disagreed} disagreements of {pairs} pairs")
    low, high = limits_of_count(disagreed, pairs, level)
    value, least, most = (
        (1.0 - max(0.0, 1.0 - 2.0 * d) ** 0.5) / 2.0 for d in (disagreed / pairs, low, high)
    )
    return ErrorRate(value, least, most, pairs)


def corrected(apparent: Estimate, sensitivity: ErrorRate, specificity: ErrorRate) -> Estimate:
    """Fidelity if reviewers did not err: (q + sp − 1)/(se + sp − 1).

    Rogan and Gladen (American J. of Epidemiology 107, 1978); the interval adds the three
    uncertainties on the linear scale (Lang and Reiczigel, Preventive Veterinary Medicine 113,
    2014, without their pseudo-counts). `sensitivity` and `specificity` are given as error rates:
    1 − se is the chance to call a right answer wrong, 1 − sp the chance to call a wrong one right.

    Args:
        apparent: the estimate from verdicts as given.
        sensitivity: error rate on right answers.
        specificity: error rate on wrong answers.

    Raises:
        DesignError: reviewers hardly better than chance (se + sp − 1 < .1): no correction can be
            trusted.
    """
    if apparent.estimate is None or apparent.low is None or apparent.high is None:
        return apparent
    se, sp = 1.0 - sensitivity.value, 1.0 - specificity.value
    power = se + sp - 1.0
    if power < 0.1:
        raise DesignError(f"reviewers hardly better than chance: se + sp − 1 = {power:.3g}")
    q = apparent.estimate
    value = (q + sp - 1.0) / power
    inside = float(np.clip(value, 0.0, 1.0))
    z = normal_quantile(apparent.level)
    error_se = (sensitivity.high - sensitivity.low) / (2.0 * z)
    error_sp = (specificity.high - specificity.low) / (2.0 * z)
    reviewers = (z / power) ** 2 * ((inside * error_se) ** 2 + ((1.0 - inside) * error_sp) ** 2)
    low = value - (((q - apparent.low) / power) ** 2 + reviewers) ** 0.5
    high = value + (((apparent.high - q) / power) ** 2 + reviewers) ** 0.5
    notes = list(apparent.warnings)
    if value != inside:
        notes.append(
            "corrected estimate outside 0–1, cut: the error rates may not fit these reviews"
        )
    return replace(
        apparent,
        estimate=inside,
        low=float(np.clip(low, 0.0, inside)),
        high=float(np.clip(high, inside, 1.0)),
        method=f"{apparent.method}, corrected for reviewers' errors",
        warnings=tuple(notes),
    )
