"""Intervals for a share from a count, exact or nearly, and for a real "effective" count.

`x` successes of `n` trials may be arrays of any one shape, and need not be whole numbers where a
function says so: a survey's effective sample size is not. All levels are two-sided.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from fidelity_otel.stats.arrays import Floats

__all__ = [
    "Interval",
    "clopper_pearson",
    "logit_t",
    "mid_p",
    "normal_quantile",
    "t_quantile",
    "wilson",
]


class Interval(NamedTuple):
    """Lower and upper bounds, shapes as the input."""

    low: Floats
    high: Floats


def normal_quantile(level: float) -> float:
    """Two-sided normal quantile z, e.g. 1.96 for level .95."""
    return float(special.ndtri(0.5 + level / 2.0))


def t_quantile(level: float, df: ArrayLike) -> Floats:
    """Two-sided Student quantile at `df` degrees of freedom (any positive real)."""
    freedom = np.asarray(df, dtype=np.float64)
    return np.asarray(special.stdtrit(freedom, 0.5 + level / 2.0), dtype=np.float64)


def wilson(x: ArrayLike, n: ArrayLike, level: float = 0.95) -> Interval:
    """Wilson's score interval for a binomial share.

    Wilson (J. American Statistical Association 22, 1927). Real x and n are fine.

    Args:
        x: successes, 0 ≤ x ≤ n.
        n: trials, > 0.
        level: confidence level.
    """
    xs, ns = np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z2 = normal_quantile(level) ** 2
    centre = (xs + z2 / 2.0) / (ns + z2)
    half = np.sqrt(z2 * (xs * (ns - xs) / ns + z2 / 4.0)) / (ns + z2)
    low = np.where(xs <= 0.0, 0.0, centre - half)
    high = np.where(xs >= ns, 1.0, centre + half)
    return Interval(np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))


def clopper_pearson(x: ArrayLike, n: ArrayLike, level: float = 0.95) -> Interval:
    """The exact interval of Clopper and Pearson (Biometrika 26, 1934): never covers less.

    Real x and n are fine (Korn and Graubard, Survey Methodology 24, 1998).

    Args:
        x: successes, 0 ≤ x ≤ n.
        n: trials, > 0.
        level: confidence level.
    """
    xs, ns = np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64)
    tail = (1.0 - level) / 2.0
    none, every = xs <= 0.0, xs >= ns
    low = special.betaincinv(np.where(none, 1.0, xs), np.where(none, 1.0, ns - xs + 1.0), tail)
    high = special.betaincinv(
        np.where(every, 1.0, xs + 1.0), np.where(every, 1.0, ns - xs), 1.0 - tail
    )
    return Interval(np.where(none, 0.0, low), np.where(every, 1.0, high))


def mid_p(x: ArrayLike, n: ArrayLike, level: float = 0.95) -> Interval:
    """Clopper–Pearson with half the probability of the observed count: covers on average.

    Lancaster (JASA 56, 1961); Agresti and Gottard (Statistics in Medicine 26, 2007). The mean of
    P(X > x) and P(X ≥ x) is solved for the tail's probability; incomplete beta functions continue
    both to real x and n.

    Args:
        x: successes, 0 ≤ x ≤ n.
        n: trials, > 0.
        level: confidence level.
    """
    xs, ns = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64))
    tail = (1.0 - level) / 2.0
    low = np.where(xs <= 0.0, 0.0, _solve(xs, ns, tail))
    high = np.where(xs >= ns, 1.0, 1.0 - _solve(ns - xs, ns, tail))
    return Interval(low, high)


def _solve(x: Floats, n: Floats, tail: float) -> Floats:
    """The share p at which [P(X ≥ x) + P(X > x)] / 2 = tail, by bisection between its bounds.

    P(X ≥ x) alone gives Clopper and Pearson's bound, which is below; x / n is above.
    """
    some = x > 0.0
    xs = np.where(some, x, 1.0)
    ns = np.where(some, n, 1.0)
    low = special.betaincinv(xs, ns - xs + 1.0, tail)
    high = xs / ns
    inner = xs < ns
    rest = np.where(inner, ns - xs, 1.0)
    for _ in range(48):
        middle = 0.5 * (low + high)
        at_least = special.betainc(xs, ns - xs + 1.0, middle)
        more = np.where(inner, special.betainc(xs + 1.0, rest, middle), 0.0)
        below = 0.5 * (at_least + more) < tail
        low = np.where(below, middle, low)
        high = np.where(below, high, middle)
    return np.asarray(0.5 * (low + high), dtype=np.float64)


def logit_t(
    estimate: ArrayLike, variance: ArrayLike, df: ArrayLike, level: float = 0.95
) -> Interval:
    """Student interval on the logit scale, which stays within (0, 1) and is asymmetric as needed.

    Korn and Graubard, Analysis of Health Surveys (Wiley, 1999), §2.6; var(logit p) ≈
    var(p) / (p(1−p))². Where the estimate is 0 or 1 it has no logit: the bounds are NaN.

    Args:
        estimate: the share, 0–1.
        variance: its variance, ≥ 0.
        df: degrees of freedom of the variance, > 0.
        level: confidence level.
    """
    p, v = np.asarray(estimate, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    inner = (p > 0.0) & (p < 1.0)
    safe = np.where(inner, p, 0.5)
    half = t_quantile(level, df) * np.sqrt(v) / (safe * (1.0 - safe))
    centre = special.logit(safe)
    low = np.where(inner, special.expit(centre - half), np.nan)
    high = np.where(inner, special.expit(centre + half), np.nan)
    return Interval(low, high)
