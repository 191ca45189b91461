"""How long an answer stays right: Kaplan–Meier, and Turnbull where it is checked now and then.

Times are ages of a trace (any one unit) at which its answer was last known right (censored) or
found wrong. Weights are 1/π, so that the curve speaks for the frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fidelity_otel.errors import DesignError
from fidelity_otel.model import Estimate
from fidelity_otel.stats.arrays import Bools, Floats, check_level
from fidelity_otel.stats.intervals import normal_quantile
from fidelity_otel.stats.limits import limits_of_count

__all__ = ["Curve", "Intervals", "kaplan_meier", "still_right", "turnbull"]


class Curve(NamedTuple):
    """A survival curve: after `time[i]` and before the next one, the share still right.

    All fields have shape (k,), one entry a distinct time of failure. `at_risk` counts units.
    """

    time: Floats
    survival: Floats
    low: Floats
    high: Floats
    at_risk: Floats

    def at(self, age: ArrayLike) -> Floats:
        """The share still right at an age (1 before the first failure)."""
        place = np.searchsorted(self.time, np.asarray(age, dtype=np.float64), side="right")
        return np.concatenate([[1.0], self.survival])[place]

    @property
    def median(self) -> float:
        """The first time at which at most half are still right; infinite if there is none."""
        below = np.flatnonzero(self.survival <= 0.5)
        return float(self.time[below[0]]) if below.size else float("inf")


class Intervals(NamedTuple):
    """Turnbull's estimate: mass of failures within (low, high], or at low = high; shape (k,)."""

    low: Floats
    high: Floats
    mass: Floats

    def survival_at(self, age: float) -> tuple[float, float]:
        """Bounds of the share still right at an age: within an interval the data can't say more."""
        gone = float(self.mass[self.high <= age].sum())
        perhaps = float(self.mass[(self.low < age) | (self.high <= age)].sum())
        return 1.0 - perhaps, 1.0 - gone


def kaplan_meier(
    time: Floats, failed: Bools, level: float = 0.95, weight: Floats | None = None
) -> Curve:
    """The product-limit curve with log(−log) limits.

    Kaplan and Meier (JASA 53, 1958); S(t) = ∏(1 − d/n); Greenwood's variance, on the log(−log)
    scale (Kalbfleisch and Prentice 1980). With weights d and n are weighted sums, and each term of
    the variance grows by Σw²/Σw over the failures at that time.

    Args:
        time: age at failure or at the last check, ≥ 0, shape (n,).
        failed: whether it failed then (else censored), shape (n,).
        level: confidence level of the pointwise limits.
        weight: 1/π of each, shape (n,); ones by default.

    Raises:
        DesignError: negative times, or lengths that differ.
    """
    check_level(level)
    w = np.ones_like(time) if weight is None else weight
    if not time.shape == failed.shape == w.shape:
        raise DesignError("time, failed and weight: one of each per unit is wanted")
    if (time < 0.0).any():
        raise DesignError(f"row {int(np.argmax(time < 0.0))}: a negative time")
    moments = np.unique(time[failed])
    order = np.argsort(time, kind="stable")
    sorted_time = time[order]
    first = np.searchsorted(sorted_time, moments, side="left")
    tail_w = np.concatenate([np.cumsum(w[order][::-1])[::-1], [0.0]])
    place = np.searchsorted(moments, time[failed])
    deaths = np.bincount(place, weights=w[failed], minlength=moments.size)
    squares = np.bincount(place, weights=w[failed] ** 2, minlength=moments.size)
    risk = tail_w[first]
    survival: Floats = np.asarray(np.cumprod(1.0 - deaths / risk), dtype=np.float64)
    left = np.maximum(risk - deaths, 1e-300)
    mean_w = np.where(deaths > 0.0, squares / np.maximum(deaths, 1e-300), 1.0)
    greenwood = np.cumsum(mean_w * deaths / (risk * left))
    inner = (survival > 0.0) & (survival < 1.0)
    safe = np.where(inner, survival, 0.5)
    z = normal_quantile(level)
    half = z * np.sqrt(np.where(inner, greenwood, 0.0)) / np.abs(np.log(safe))
    low = np.where(inner, safe ** np.exp(half), survival)
    high = np.where(inner, safe ** np.exp(-half), survival)
    return Curve(moments, survival, low, high, (time.size - first).astype(np.float64))


def still_right(
    age: float,
    time: Floats,
    failed: Bools,
    weight: Floats,
    *,
    level: float = 0.95,
    name: str = "still right",
) -> Estimate:
    """The share still right at an age, from `kaplan_meier`, as an `Estimate`.

    Where nothing failed by then the lower limit is that of a binomial without failures, with n* =
    (Σw)²/Σw² trials (Kish 1965): none seen is not none.

    Args:
        age: in the unit of `time`.
        time: age at failure or at the last check, ≥ 0, shape (n,), n ≥ 1.
        failed: whether it failed then (else censored), shape (n,).
        weight: 1/π of each, shape (n,).
        level: confidence level.
        name: of the estimate. Its n are the units whose fate at this age is known.
    """
    curve = kaplan_meier(time, failed, level, weight)
    known = (time >= age) | failed
    w = weight[known]
    n_star = float(w.sum() ** 2 / (w * w).sum()) if w.size else 0.0
    place = int(np.searchsorted(curve.time, age, side="right")) - 1
    if place < 0 and n_star > 0.0:
        low, value, high = limits_of_count(n_star, n_star, level)[0], 1.0, 1.0
    elif place < 0:
        low, value, high = 0.0, 1.0, 1.0
    else:
        low, value, high = (float(c[place]) for c in (curve.low, curve.survival, curve.high))
    if value == 0.0:
        high = limits_of_count(0.0, n_star, level)[1]
    return Estimate(
        name=name,
        estimate=value,
        low=low,
        high=high,
        level=level,
        method="Kaplan–Meier",
        n=int(known.sum()),
        n_effective=n_star,
        N=round(float(weight.sum())),
    )


def turnbull(
    low: Floats, high: Floats, weight: Floats | None = None, *, tolerance: float = 1e-9
) -> Intervals:
    """The curve where failures are only known to lie between two checks.

    Turnbull (J. Royal Statistical Society B 38, 1976): self-consistent masses on the innermost
    intervals, by EM.

    Args:
        low: age of the last check that found it right (0 without one), shape (n,).
        high: age of the check that found it wrong, infinite where none did, shape (n,); equal to
            `low` where the time of failure is known.
        weight: 1/π of each, shape (n,); ones by default.
        tolerance: largest change of a mass at which the iteration stops.

    Raises:
        DesignError: an interval that is empty.
    """
    if low.shape != high.shape or (high < low).any():
        raise DesignError("low ≤ high is wanted for every unit")
    w = np.ones_like(low) if weight is None else weight
    ages = np.unique(np.concatenate([low, high]))
    exact = (low == high).astype(np.intp)
    left = 3 * np.searchsorted(ages, low) + 2 * (1 - exact)  # (low, … opens after low, [t, t] at t
    right = 3 * np.searchsorted(ages, high) + 1
    lefts, rights = np.unique(left), np.unique(right)
    after = rights[np.minimum(np.searchsorted(rights, lefts), rights.size - 1)]
    following = np.concatenate([lefts[1:], [3 * ages.size]])
    inner = (after > lefts) & (after < following)
    first, last = lefts[inner], after[inner]
    inside = (left[:, None] <= first[None, :]) & (last[None, :] <= right[:, None])
    a, b = ages[first // 3], ages[last // 3]
    mass = np.full(a.size, 1.0 / a.size)
    total = w.sum()
    for _ in range(100_000):
        part = inside * mass
        expected = (w[:, None] * part / part.sum(axis=1, keepdims=True)).sum(axis=0) / total
        change = float(np.abs(expected - mass).max())
        mass = expected
        if change < tolerance:
            break
    return Intervals(a, b, mass)
