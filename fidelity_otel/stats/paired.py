"""Shadow mode: the incumbent and a candidate answered the same requests.

Only discordant pairs, in which one was right and the other wrong, tell them apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from fidelity_otel.errors import DesignError
from fidelity_otel.model import Estimate
from fidelity_otel.stats.arrays import Bools, Floats, check_level
from fidelity_otel.stats.intervals import t_quantile

__all__ = ["OrderEffect", "always_valid_p", "mcnemar", "order_effect", "paired_difference"]


class OrderEffect(NamedTuple):
    """How much more often the answer shown first wins, −1 to 1, with its exact p-value."""

    advantage: float
    p_value: float
    n: int


def mcnemar(candidate_only: int, incumbent_only: int, *, mid: bool = False) -> float:
    """Two-sided exact p-value that both are equally often right.

    McNemar (Psychometrika 12, 1947), binomial with p = ½ over discordant pairs; mid-p after
    Fagerland, Lydersen and Laake (BMC Medical Research Methodology 13, 2013).

    Args:
        candidate_only: pairs in which only the candidate was right.
        incumbent_only: pairs in which only the incumbent was right.
        mid: count half of the observed outcome's probability: less conservative.
    """
    b, c = candidate_only, incumbent_only
    n, least = b + c, min(b, c)
    if n == 0:
        return 1.0
    tail = float(special.bdtr(least, n, 0.5))
    if not mid:
        return min(1.0, 2.0 * tail)
    at = tail - (float(special.bdtr(least - 1, n, 0.5)) if least else 0.0)
    return 1.0 if b == c else min(1.0, 2.0 * tail - at)


def paired_difference(
    candidate: Floats, incumbent: Floats, *, level: float = 0.95, weight: Floats | None = None
) -> Estimate:
    """Mean of candidate − incumbent over pairs, in −1 to 1.

    The adjusted Wald interval of Agresti and Min (Statistics in Medicine 24, 2005), half a
    pair added to each of the four outcomes, with Student's t; weighted by 1/π where pairs were
    chosen with unequal probabilities.

    Args:
        candidate: 0–1 per pair, shape (n,).
        incumbent: 0–1 per pair, shape (n,).
        level: confidence level.
        weight: 1/π of each pair, shape (n,); ones by default.

    Raises:
        DesignError: lengths differ, or there is no pair.
    """
    check_level(level)
    if candidate.shape != incumbent.shape or candidate.size == 0:
        raise DesignError("one candidate and one incumbent verdict per pair are wanted")
    w = np.ones(candidate.size) if weight is None else weight
    n_star = float(w.sum() ** 2 / (w * w).sum())
    u = w / w.sum()
    d = candidate - incumbent
    value = float((u * d).sum())
    squares = float((u * d * d).sum())
    added = n_star + 2.0
    centre = value * n_star / added
    variance = ((squares * n_star + 1.0) / added - centre**2) / added
    half = float(t_quantile(level, max(n_star - 1.0, 1.0))) * max(variance, 0.0) ** 0.5
    return Estimate(
        name="candidate − incumbent",
        estimate=value,
        low=max(-1.0, min(centre - half, value)),
        high=min(1.0, max(centre + half, value)),
        level=level,
        method="paired, Agresti–Min",
        n=candidate.size,
        n_effective=n_star,
        N=candidate.size if weight is None else round(float(w.sum())),
    )


def always_valid_p(candidate: Floats, incumbent: Floats) -> Floats:
    """p-values that may be looked at after every pair: stop when one is small enough.

    1/max e-value of the mixture test of p = ½ over discordant pairs with a uniform prior
    (Robbins, Annals of Mathematical Statistics 41, 1970): e_n = B(b+1, c+1)·2^(b+c). By Ville the
    chance that it is ever below α, while both are equally good, is at most α. Ties (both right,
    both wrong, partly alike) leave it unchanged.

    Args:
        candidate: 0–1 per pair in order of review, shape (n,).
        incumbent: 0–1 per pair, shape (n,).

    Returns:
        Shape (n,), never rising.
    """
    b = np.cumsum(candidate > incumbent)
    c = np.cumsum(candidate < incumbent)
    log_e = special.betaln(b + 1.0, c + 1.0) + (b + c) * np.log(2.0)
    return np.exp(-np.maximum(np.maximum.accumulate(log_e), 0.0))


def order_effect(first_won: Bools, second_won: Bools) -> OrderEffect:
    """Whether reviewers favour the answer that they see first; order is randomised, so none is due.

    Args:
        first_won: the answer shown first was preferred, shape (n,).
        second_won: the other was, shape (n,).
    """
    a, b = int(first_won.sum()), int(second_won.sum())
    return OrderEffect((a - b) / (a + b) if a + b else 0.0, mcnemar(a, b), a + b)
