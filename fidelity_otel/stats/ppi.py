"""Prediction-powered means as published, for a simple random sample and separate unlabelled rows.

`estimate` uses the finite-frame, stratified, weighted form of this; these functions are the plain
ones of the papers, to compare with and to check against their published numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats
from fidelity_otel.stats.intervals import normal_quantile

__all__ = ["PPI", "classical_mean", "ppi_mean", "ppi_power"]


class PPI(NamedTuple):
    """A mean, its normal interval, and the weight λ that the predictions got."""

    value: float
    low: float
    high: float
    power: float


def ppi_power(y: Floats, f: Floats, f_unlabelled: Floats) -> float:
    """λ* = Cov(Y, f) / ((1 + n/N)·Var f), within 0–1.

    Angelopoulos, Duchi and Zrnic, "PPI++: Efficient prediction-powered inference" (2023), §6.

    Args:
        y: labels, shape (n,).
        f: predictions of the labelled rows, shape (n,).
        f_unlabelled: predictions of the others, shape (N,).
    """
    n, N = y.shape[0], f_unlabelled.shape[0]
    spread = float(np.var(np.concatenate([f, f_unlabelled]), ddof=1))
    if spread <= 0.0:
        return 0.0
    covariance = float(((y - y.mean()) * (f - f.mean())).mean())
    return float(min(max(covariance / ((1.0 + n / N) * spread), 0.0), 1.0))


def ppi_mean(
    y: Floats, f: Floats, f_unlabelled: Floats, level: float = 0.95, power: float | None = None
) -> PPI:
    """λ·mean(f over unlabelled) + mean(Y − λ·f), with its normal interval.

    Angelopoulos, Bates, Fannjiang, Jordan and Zrnic, "Prediction-powered inference" (Science 382,
    2023) is λ = 1; PPI++ (2023) tunes λ. Variance λ²·Var(f)/N + Var(Y − λf)/n.

    Args:
        y: labels, shape (n,).
        f: predictions of the labelled rows, shape (n,).
        f_unlabelled: predictions of the others, shape (N,).
        level: confidence level.
        power: λ; tuned by default.
    """
    lam = ppi_power(y, f, f_unlabelled) if power is None else power
    rectifier = y - lam * f
    value = float(lam * f_unlabelled.mean() + rectifier.mean())
    variance = lam**2 * np.var(f_unlabelled) / f_unlabelled.size + np.var(rectifier) / y.size
    half = normal_quantile(level) * float(np.sqrt(variance))
    return PPI(value, value - half, value + half, lam)


def classical_mean(y: Floats, level: float = 0.95) -> PPI:
    """The plain mean with its normal interval, variance Var(Y)/n.

    Args:
        y: labels, shape (n,).
        level: confidence level.
    """
    half = normal_quantile(level) * float(np.sqrt(np.var(y) / y.size))
    return PPI(float(y.mean()), float(y.mean()) - half, float(y.mean()) + half, 0.0)
