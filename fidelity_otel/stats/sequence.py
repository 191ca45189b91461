"""Confidence sequences: intervals that hold at every moment at once, for people who look every day.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (J. Royal
Statistical Society B 86, 2024), and for importance weights Waudby-Smith, Wu, Ramdas, Karampatziakis
and Mineiro, "Anytime-valid off-policy inference" (2022). For each candidate mean m a gambler bets
that the truth is larger, with wealth ∏(1 + λ_t(m)·(w_t·y_t − m)): a non-negative martingale if the
truth is m, so that it ever reaches 2/α has probability at most α/2 (Ville). The candidates with
little wealth on either side remain. The other side bets on failures, w_t·(1 − y_t) against 1 − m.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.arrays import Floats, Ints, check_level, shares

__all__ = ["Sequence", "betting_sequence"]

_CAP = 0.75
_GRID = 1000
_TOGETHER = 25
_BLOCK, _LONGEST = 64, 1024


class Sequence(NamedTuple):
    """Bounds after each observation, shape (T,); they only ever tighten."""

    low: Floats
    high: Floats


def betting_sequence(
    y: Floats, level: float = 0.95, weight: Floats | None = None, *, grid: int = _GRID
) -> Sequence:
    """A (1 − α) confidence sequence for a mean in 0–1, valid at all times at once.

    Bets are predictable plug-ins: λ_t = √(2·ln(2/α) / (σ̂²_{t−1}·t·ln(1 + t))), cut at .75/m.

    Args:
        y: outcomes 0–1 in the order of review, shape (T,).
        level: confidence level 1 − α.
        weight: w_t = π₀/π_t, a plain random choice's probability over that of the design, with
            mean 1 in expectation, shape (T,); ones by default.
        grid: candidates for m; bounds are rounded outwards to 1/grid.

    Raises:
        DesignError: outcomes outside 0–1, negative weights, or another length.
    """
    check_level(level)
    shares(y, "y")
    w = np.ones_like(y) if weight is None else weight
    if w.shape != y.shape or (w < 0.0).any():
        raise DesignError("weight: one non-negative weight per outcome is wanted")
    low = _lower(w * y, level, grid)
    high = 1.0 - _lower(w * (1.0 - y), level, grid)
    return Sequence(low, np.maximum(high, low))


def _lower(x: Floats, level: float, grid: int) -> Floats:
    """Lower bounds for the mean of x ≥ 0 after each observation, shape (T,).

    Candidates are strictly inside (0, 1); the bound is the largest one below which all are refuted,
    rounded down to its left neighbour. Candidates are tried in ascending order until some are never
    refuted, for those above them then make no difference.
    """
    alpha = (1.0 - level) / 2.0
    bets = _bets(x, alpha)
    candidates = (np.arange(grid) + 1.0) / grid
    when: list[Ints] = []
    for start in range(0, grid, _TOGETHER):
        when.append(_refuted(x, bets, candidates[start : start + _TOGETHER], -np.log(alpha)))
        if (when[-1] == x.size).any():
            break
    below = np.maximum.accumulate(np.concatenate(when))  # when all up to it are refuted
    gone = np.searchsorted(below, np.arange(x.size), side="right")
    return np.minimum(gone, grid - 1) / grid


def _refuted(x: Floats, bets: Floats, candidates: Floats, goal: float) -> Ints:
    """The index at which each candidate's log-wealth reaches the goal, T where it never does.

    Wealth is summed block by block, and only for candidates that are not refuted yet.
    """
    found = np.full(candidates.size, x.size, dtype=np.intp)
    left, wealth = np.arange(candidates.size), np.zeros(candidates.size)
    start, size = 0, _BLOCK
    while start < x.size and left.size:
        part = slice(start, start + size)
        mean = candidates[left, None]
        stake = np.minimum(bets[part], _CAP / mean)
        path = wealth[:, None] + np.cumsum(np.log1p(stake * (x[part] - mean)), axis=1)
        over = path >= goal
        ever = over.any(axis=1)
        found[left[ever]] = start + over[ever].argmax(axis=1)
        left, wealth = left[~ever], path[~ever, -1]
        start, size = start + size, min(2 * size, _LONGEST)
    return found


def _bets(x: Floats, alpha: float) -> Floats:
    """Predictable plug-in bets: each uses only the observations before it, shape (T,)."""
    t = np.arange(1.0, x.size + 1.0)
    mean = (0.5 + np.cumsum(x)) / (t + 1.0)
    before = np.concatenate([[0.5], mean[:-1]])
    variance = (0.25 + np.cumsum((x - before) ** 2)) / (t + 1.0)
    known = np.concatenate([[0.25], variance[:-1]])
    return np.asarray(np.sqrt(2.0 * np.log(1.0 / alpha) / (known * t * np.log1p(t))))
