"""What it costs that somebody before us kept only some of the units: head sampling."""

from __future__ import annotations

from fidelity_otel.stats.arrays import Floats

__all__ = ["head_variance"]


def head_variance(y: Floats, z: Floats, u: Floats, *, units: Floats, size: float) -> float:
    """The part of the variance that sizes of strata have because they are estimated themselves.

    With units kept independently with probability 1/c, a mean over all units has the variance
    (1/N)·mean of (c − 1)·(y − θ)² (two phases: Särndal, Swensson and Wretman, Model Assisted Survey
    Sampling, 1992, §9.3). Weights 1/(u·π) bring in that of the residuals within strata; what is
    missing is the mean of (c − 1)·((y − θ)² − e²), taken over the reviewed rows. Where it comes out
    below zero, by the luck of the draw, it is 0.

    Args:
        y: labels of the reviewed rows, shape (n,).
        z: linear scores, u·e with e the residual, shape (n,).
        u: weights in the estimate, Σ u = 1, shape (n,).
        units: c, how many units each stands for, its neighbours dropped before, shape (n,).
        size: N, units of the frame.
    """
    spread = (y - float(u @ y)) ** 2 - (z / u) ** 2
    return max(float((u * (units - 1.0)) @ spread) / size, 0.0)
