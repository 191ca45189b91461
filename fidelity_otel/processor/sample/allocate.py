"""How a window's reviews are split over strata and over failure modes.

Neyman (J. Royal Statistical Society 97, 1934): the variance of a stratified mean is least where
k_h ∝ N_h·S_h. S_h is guessed from past verdicts, smoothed towards the mean of all strata, so that
a stratum without history, or without failures so far, is never starved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

__all__ = ["History", "allocate", "allocate_beside", "mode_quotas", "spread"]

_PRIOR_REVIEWS = 5.0
_OWN_SHARE = 1.0 / 3.0
"""Of what a stratum would get alone, the part that it keeps whatever another arm reviews there."""


class History(Protocol):
    """What reviews have said of a stratum so far: raw counts."""

    @property
    def reviewed(self) -> int:
        """Verdicts given."""
        ...

    @property
    def wrong(self) -> int:
        """Of them wrong."""
        ...

    @property
    def partly(self) -> int:
        """Of them partly right, which count half."""
        ...


def spread(strata: Mapping[str, int], history: Mapping[str, History]) -> dict[str, float]:
    """The standard deviation of a verdict in each stratum, √(p(1−p)), from smoothed history.

    p = (failures + 5·p̄) / (reviews + 5), with p̄ = (failures + 1) / (reviews + 2) over all strata.

    Args:
        strata: candidates per stratum; only the names are used.
        history: counts of earlier verdicts; strata may be missing.

    Returns:
        A number in (0, 0.5] per stratum.
    """
    reviewed = sum(h.reviewed for h in history.values())
    failed = sum(h.wrong + 0.5 * h.partly for h in history.values())
    overall = (failed + 1.0) / (reviewed + 2.0)
    result: dict[str, float] = {}
    for name in strata:
        past = history.get(name)
        n = past.reviewed if past else 0
        x = past.wrong + 0.5 * past.partly if past else 0.0
        p = (x + _PRIOR_REVIEWS * overall) / (n + _PRIOR_REVIEWS)
        result[name] = (p * (1.0 - p)) ** 0.5
    return result


def allocate(
    counts: Mapping[str, int], weight: Mapping[str, float], budget: float, floor: float
) -> dict[str, float]:
    """Split a budget: k_h ∝ N_h·weight_h, between a floor and N_h.

    Where the budget cannot pay every floor, the floors shrink alike. Fractions are meant: they are
    rounded at random later, and π includes the rounding.

    Args:
        counts: candidates N_h per stratum.
        weight: S_h per stratum, > 0.
        budget: reviews to give, ≥ 0.
        floor: reviews per stratum before the rest is split.

    Returns:
        Expected reviews k_h, 0 ≤ k_h ≤ N_h, that sum to min(budget, Σ N_h).
    """
    names = [n for n in sorted(counts) if counts[n] > 0]
    total = float(sum(counts[n] for n in names))
    if budget >= total:
        return {n: float(counts[n]) for n in names}
    if budget <= 0.0:
        return dict.fromkeys(names, 0.0)
    least = {n: min(float(counts[n]), floor) for n in names}
    if sum(least.values()) >= budget:
        return _fill(names, dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.0), least, budget)
    ceiling = {n: float(counts[n]) for n in names}
    return _fill(names, {n: counts[n] * weight[n] for n in names}, least, ceiling, budget)


def allocate_beside(
    counts: Mapping[str, int],
    weight: Mapping[str, float],
    budget: float,
    floor: float,
    other: Mapping[str, float],
) -> dict[str, float]:
    """Split a budget as `allocate` does, knowing what another arm will review in each stratum.

    Both arms' reviews enter the estimate, so it is k_h + other_h that should be ∝ N_h·weight_h: a
    stratum that the other arm serves well gets less here. It keeps a third of what it would have
    got alone, so that its estimate does not hang on the other arm's choice of traces.

    Args:
        counts: candidates N_h per stratum.
        weight: S_h per stratum, > 0.
        budget: reviews to give, ≥ 0.
        floor: reviews per stratum before the rest is split.
        other: expected reviews per stratum by the other arm; strata may be missing.

    Returns:
        Expected reviews k_h, as `allocate` gives them.
    """
    alone = allocate(counts, weight, budget, floor)
    if not any(other.get(n, 0.0) > 0.0 for n in alone):
        return alone
    least = {n: min(k, max(floor, _OWN_SHARE * k)) for n, k in alone.items()}
    ceiling = {n: float(counts[n]) for n in alone}
    rate = {n: counts[n] * weight[n] for n in alone}
    return _fill(list(alone), rate, least, ceiling, min(budget, sum(ceiling.values())), other=other)


def _fill(
    names: list[str],
    rate: Mapping[str, float],
    least: Mapping[str, float],
    ceiling: Mapping[str, float],
    budget: float,
    *,
    other: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Find the level c at which k = clip(c·rate − other, least, ceiling) sums to the budget.

    Σ k is piecewise linear and increasing in c, with a knee where a stratum leaves its floor or
    reaches its ceiling: find the knees around the budget and interpolate.
    """
    given = {n: other.get(n, 0.0) if other else 0.0 for n in names}

    def at(c: float, n: str) -> float:
        return min(max(c * rate[n] - given[n], least[n]), ceiling[n])

    def total(c: float) -> float:
        return sum(at(c, n) for n in names)

    knees = sorted(
        {0.0} | {(bound[n] + given[n]) / rate[n] for n in names for bound in (least, ceiling)}
    )
    i, j = 0, len(knees) - 1
    while j - i > 1:
        middle = (i + j) // 2
        if total(knees[middle]) <= budget:
            i = middle
        else:
            j = middle
    low, high = knees[i], knees[j]
    at_low, at_high = total(low), total(high)
    share = 0.0 if at_high <= at_low else (budget - at_low) / (at_high - at_low)
    c = low + min(max(share, 0.0), 1.0) * (high - low)
    return {n: at(c, n) for n in names}


def mode_quotas(counts: Mapping[str, int], budget: float) -> dict[str, float]:
    """Split the discovery budget evenly over failure modes; what a rare one can't use, others get.

    Args:
        counts: traces per mode in this window.
        budget: reviews to give, ≥ 0.

    Returns:
        Expected reviews per mode, at most its count.
    """
    return allocate(counts, dict.fromkeys(counts, 1.0), budget, floor=budget)
