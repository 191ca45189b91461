"""Binomial-type limits for any weighted estimate of a share: the interval of all our estimates.

A binomial's exact limits come from two beta distributions: the data with one success added, and the
data with one failure added. Clopper and Pearson (1934) use the first for the upper and the second
for the lower limit; mid-p takes their even mixture. Fay and Feuer (Statistics in Medicine 16, 1997)
carry the idea to weighted sums: add one unit, and match the first two moments.

Here the added unit has the *typical* weight 1/n*, n* = (Σw)²/Σw² (Kish); the moments are those of
the design (strata, unequal π, finite population, predictions, clusters); Student's t widens the
variance where its degrees of freedom are fewer than n − 1 (Korn and Graubard, Survey Methodology
24, 1998); and the mixture gives .65 to the conservative side. With equal weights this is the
binomial interval of that mixture, whose least coverage over all p at n ≥ 20 is .938 at level .95.
Where no failure was seen the limits are those of a binomial with n* trials, so there always is a
bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from fidelity_otel.stats.arrays import Floats
from fidelity_otel.stats.intervals import Interval, t_quantile

__all__ = ["GUARD", "limits"]

GUARD = 0.65
"""Share of the conservative beta: 1 is Clopper–Pearson, .5 is mid-p."""

_STEPS, _EXACT = 16, 1e-14
_NOTHING = 1e-9


def limits(
    value: Floats,
    variance: Floats,
    unit: Floats,
    *,
    df: Floats,
    plain_df: Floats,
    level: float,
    guard: float = GUARD,
) -> Interval:
    """Limits for a share from its estimate and the estimate's variance.

    Args:
        value: estimates, clipped to 0–1, shape (...).
        variance: their design variances, ≥ 0, shape (...).
        unit: weight of one more typical unit relative to the whole sample, 1/n*, shape (...).
        df: degrees of freedom of `variance`, > 0, shape (...).
        plain_df: those of a simple random sample of as many units, n − 1, shape (...): where `df`
            is not less, the binomial needs no Student's t.
        level: confidence level.
        guard: weight of the conservative beta, .5 (mid-p) to 1 (Clopper–Pearson).

    Returns:
        Lower and upper limits, shape (...), in 0–1 and around `value`.
    """
    theta = np.clip(np.asarray(value, dtype=np.float64), 0.0, 1.0)
    plain = np.maximum(plain_df, 1.0)
    wider = t_quantile(level, np.minimum(df, plain)) / t_quantile(level, plain)
    widened = variance * wider**2
    high, far = _upper(np.stack([theta, 1.0 - theta]), widened, unit, level, guard)
    low = 1.0 - far
    return Interval(np.minimum(low, theta), np.maximum(high, theta))


def _upper(theta: Floats, variance: Floats, unit: Floats, level: float, guard: float) -> Floats:
    """The share at which the mixture's upper tail is (1 − level)/2, between those of its parts."""
    tail = (1.0 - level) / 2.0
    a_more, b_more = _with_success(theta, variance, unit)
    b_less, a_less = _with_success(1.0 - theta, variance, unit)
    full, none = b_more < _NOTHING, a_less < _NOTHING
    a1, b1 = np.where(full, 1.0, a_more), np.where(full, 1.0, b_more)
    a2, b2 = np.where(none, 1.0, a_less), np.where(none, 1.0, b_less)
    one = special.betainccinv(a1, b1, tail)
    other = np.where(none, 0.0, special.betainccinv(a2, b2, tail))

    def excess(p: Floats) -> Floats:
        more = guard * special.betaincc(a1, b1, p)
        less = np.where(none, 0.0, (1.0 - guard) * special.betaincc(a2, b2, p))
        return np.asarray(more + less - tail, dtype=np.float64)

    low, high = np.minimum(one, other), np.maximum(one, other)
    return np.asarray(np.where(full, 1.0, _root(excess, low, high)), dtype=np.float64)


def _root(falling: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Where a falling function crosses 0 between two bounds, by the Illinois method.

    Dowell and Jarratt (BIT 11, 1971): false position whose stale end counts half, so that it
    converges superlinearly and never leaves the bracket.
    """
    at_low, at_high = falling(low), falling(high)
    side = np.zeros_like(low)
    middle = low
    for _ in range(_STEPS):
        gap = at_low - at_high
        share = np.where(gap > 0.0, at_low / np.where(gap > 0.0, gap, 1.0), 0.5)
        middle = low + np.clip(share, 0.0, 1.0) * (high - low)
        at = falling(middle)
        if float(np.abs(at).max(initial=0.0)) < _EXACT:
            break
        up = at > 0.0
        at_high = np.where(up & (side > 0.0), 0.5 * at_high, np.where(up, at_high, at))
        at_low = np.where(~up & (side < 0.0), 0.5 * at_low, np.where(up, at, at_low))
        low, high = np.where(up, middle, low), np.where(up, high, middle)
        side = np.where(up, 1.0, -1.0)
    return middle


def _with_success(theta: Floats, variance: Floats, unit: Floats) -> tuple[Floats, Floats]:
    """Parameters of the beta that matches the sample with one success of weight `unit` added.

    The variance is about the new mean, so its old part grows by unit·(shift)²; with equal weights
    1/n and x successes the result is Beta(x + 1, n − x). Parameters are 0 where θ is already 1.
    """
    mean = (theta + unit) / (1.0 + unit)
    spread = variance + unit * (theta - mean) ** 2 + (unit * (1.0 - mean)) ** 2
    spread = spread / (1.0 + unit) ** 2
    some = (spread > 0.0) & (mean < 1.0)
    trials = np.where(some, mean * (1.0 - mean) / np.where(some, spread, 1.0), 0.0)
    return np.where(some, mean * trials, 1.0), (1.0 - mean) * trials


def limits_of_count(x: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The same limits for a plain count: x successes in n independent trials of a large frame.

    Args:
        x: successes (partly right ones may count in part), 0 ≤ x ≤ n.
        n: trials, > 0.
        level: confidence level.
    """
    p = x / n
    degrees = np.asarray(max(n - 1.0, 1.0))
    found = limits(
        np.asarray(p),
        np.asarray(p * (1.0 - p) / degrees),
        np.asarray(1.0 / n),
        df=degrees,
        plain_df=degrees,
        level=level,
    )
    return float(found.low), float(found.high)
