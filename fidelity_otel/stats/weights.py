"""Means and totals under unequal probabilities: Horvitz–Thompson, Hájek, effective size.

π are inclusion probabilities in (0, 1]; all arrays have shape (n,) and hold the chosen units only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats

__all__ = [
    "Mean",
    "combined_probability",
    "effective_size",
    "hajek",
    "horvitz_thompson",
]


class Mean(NamedTuple):
    """An estimate and the estimated variance of it."""

    value: float
    variance: float


def combined_probability(*arms: Floats) -> Floats:
    """Probability to be chosen by at least one of independent arms: 1 − ∏(1 − π_a).

    Args:
        arms: π of each arm, arrays of one shape; 0 where an arm cannot choose the unit.
    """
    left = np.ones_like(np.asarray(arms[0], dtype=np.float64))
    for pi in arms:
        left = left * (1.0 - np.asarray(pi, dtype=np.float64))
    return 1.0 - left


def horvitz_thompson(y: Floats, pi: Floats, N: float) -> Mean:
    """Σ(y/π)/N, unbiased for the mean of a frame of known size N.

    Horvitz and Thompson (JASA 47, 1952). Variance Σ(1−π)(y/π)²/N², unbiased for independent
    choices (Poisson sampling) and for priority sampling.

    Args:
        y: values of the chosen units.
        pi: their inclusion probabilities.
        N: units in the frame.
    """
    z = y / pi
    return Mean(float(z.sum() / N), float(((1.0 - pi) * z * z).sum() / N**2))


def hajek(y: Floats, pi: Floats, N: float | None = None) -> Mean:
    """Σ(y/π)/Σ(1/π): the weighted mean, better than Horvitz–Thompson where sizes vary.

    Hájek (in Godambe and Sprott, Foundations of Statistical Inference, 1971); linearised variance
    n/(n−1)·Σ(1−π)((y−ȳ)/π)²/N̂², NaN for a single unit.

    Args:
        y: values of the chosen units.
        pi: their inclusion probabilities.
        N: units in the frame; Σ1/π by default, as the denominator of the variance.
    """
    w = 1.0 / pi
    mean = float((w * y).sum() / w.sum())
    total = float(w.sum()) if N is None else N
    n = y.shape[0]
    if n < 2:
        return Mean(mean, float("nan"))
    z = w * (y - mean)
    return Mean(mean, float(n / (n - 1) * ((1.0 - pi) * z * z).sum() / total**2))


def effective_size(pi: Floats) -> float:
    """(Σw)²/Σw² with w = 1/π: how many equally weighted units tell as much.

    Kish, Survey Sampling (Wiley, 1965), §11.7; what unequal weights cost where they tell nothing
    about y.
    """
    w = 1.0 / pi
    return float(w.sum() ** 2 / (w * w).sum()) if w.size else 0.0
