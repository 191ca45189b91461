"""Has it become worse? Sequential detection with a stated rate of false alarms.

Two detectors. LR-CUSUM (Page, Biometrika 41, 1954; optimal after Moustakides 1986) wants the share
before (p0) and the drop worth an alarm (p1). e-SR (Shin, Ramdas and Rinaldo, "E-detectors", New
England J. of Statistics in Data Science 2, 2024) assumes only that the mean had been at least p0,
takes weights, and its average run length to a false alarm is proven, not tuned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.arrays import Floats, Ints, check_level

__all__ = ["Alarm", "Change", "cusum", "e_shiryaev_roberts", "locate_change", "strata_of_change"]

_BETS = (0.05, 0.1, 0.2, 0.4, 0.7)
_BLOCK = 32


class Alarm(NamedTuple):
    """A detector's path. `statistic` is in units of its threshold (alarm at ≥ 1), shape (T,).

    `first` is the index of the first alarm, None without one. `since` is the index after which the
    evidence piled up: the first guess of when it became worse.
    """

    statistic: Floats
    first: int | None
    since: int | None


class Change(NamedTuple):
    """When it changed: the most likely index of the first worse review, and a likelihood set."""

    at: int
    low: int
    high: int
    before: float
    after: float


def cusum(right: Floats, p0: float, p1: float, run_length: float = 1000.0) -> Alarm:
    """LR-CUSUM for a drop of a share from p0 to p1.

    S_t = max(0, S_{t−1} + y_t·ln(p1/p0) + (1−y_t)·ln((1−p1)/(1−p0))), alarm at S ≥ ln(run_length):
    then the average run length to a false alarm is at least `run_length` (Lorden, Annals of
    Mathematical Statistics 42, 1971).

    Args:
        right: 1 right, 0 wrong (partly: between), in order of time, shape (T,).
        p0: the share as it should be, 0 < p1 < p0 < 1.
        p1: the share that is worth an alarm.
        run_length: reviews between false alarms, on average at least.

    Raises:
        DesignError: p0 and p1 are not in that order.
    """
    if not 0.0 < p1 < p0 < 1.0:
        raise DesignError(f"0 < p1 < p0 < 1 is wanted, not p1 = {p1:g}, p0 = {p0:g}")
    gain = right * np.log(p1 / p0) + (1.0 - right) * np.log((1.0 - p1) / (1.0 - p0))
    total = np.concatenate([[0.0], np.cumsum(gain)])
    lowest = np.minimum.accumulate(total)
    statistic = (total - lowest)[1:] / np.log(run_length)
    return _alarm(
        statistic, np.maximum.accumulate(np.where(total <= lowest, np.arange(total.size), 0))
    )


def e_shiryaev_roberts(
    right: Floats, p0: float, run_length: float = 1000.0, weight: Floats | None = None
) -> Alarm:
    """The e-Shiryaev–Roberts detector for a mean below p0, without a model of what comes after.

    M_t = (M_{t−1} + 1)·E_t, E_t = 1 + b·(w_t·(1−y_t) − (1−p0))/(1−p0), alarm at M ≥ run_length,
    averaged over bets b of .05 to .7. While the mean is ≥ p0 each E_t has expectation ≤ 1, hence
    the average run length is ≥ run_length whatever the distribution.

    Args:
        right: outcomes 0–1 in order of time, shape (T,).
        p0: the mean that had been promised, 0 < p0 < 1.
        run_length: reviews between false alarms, on average at least.
        weight: w_t = π₀/π_t, mean 1 in expectation, shape (T,); ones by default.

    Raises:
        DesignError: p0 is not within 0–1, or weights are negative or of another length.
    """
    if not 0.0 < p0 < 1.0:
        raise DesignError(f"0 < p0 < 1 is wanted, not {p0:g}")
    w = np.ones_like(right) if weight is None else weight
    if w.shape != right.shape or (w < 0.0).any():
        raise DesignError("weight: one non-negative weight per outcome is wanted")
    excess = w * (1.0 - right) / (1.0 - p0) - 1.0
    with np.errstate(over="ignore"):  # beyond all bounds is an alarm like any other
        wealth = _wealth(1.0 + np.multiply.outer(_BETS, excess))
        statistic = wealth.mean(axis=0)
    before = np.concatenate([np.zeros((len(_BETS), 1)), wealth[:, :-1]], axis=1)
    start = np.maximum.accumulate(np.where(before < 1.0, np.arange(right.size), 0), axis=1)
    since = np.zeros(right.size + 1, dtype=np.intp)
    since[1:] = start[wealth.argmax(axis=0), np.arange(right.size)]
    return _alarm(statistic / run_length, since)


def _wealth(growth: Floats) -> Floats:
    """M_t = (M_{t−1} + 1)·E_t from M_0 = 0, for E of shape (bets, T) that are all positive.

    Within a block of steps M_t = P_t·(M_0 + Σ_{s≤t} 1/P_{s−1}), with P the product since its
    start: a sum of positive terms, hence as exact as the recursion.
    """
    bets, length = growth.shape
    padded = np.ones((bets, -(-length // _BLOCK), _BLOCK))
    padded.reshape(bets, -1)[:, :length] = growth
    product = padded.cumprod(axis=2)
    paid = (padded / product).cumsum(axis=2)
    held = np.zeros((bets, padded.shape[1], 1))
    for block in range(1, padded.shape[1]):
        last = block - 1
        held[:, block, 0] = product[:, last, -1] * (held[:, last, 0] + paid[:, last, -1])
    wealth: Floats = product * (held + paid)
    return wealth.reshape(bets, -1)[:, :length]


def _alarm(statistic: Floats, since: Ints) -> Alarm:
    over = np.flatnonzero(statistic >= 1.0)
    if not over.size:
        return Alarm(statistic, None, None)
    first = int(over[0])
    return Alarm(statistic, first, int(since[first + 1]))


def locate_change(right: Floats, level: float = 0.95, *, margin: int = 5) -> Change:
    """Since when: the index that splits a series best, and the indices hardly less likely.

    Binomial likelihood of one change (Hinkley, Biometrika 57, 1970); the set holds all indices
    whose log-likelihood is within ln(1/(1 − level)) + 1 of the best, which covers at the nominal
    level for changes of .1 and more in simulation (`make bench-stats`).

    Args:
        right: outcomes 0–1 in order of time, shape (T,), T ≥ 2·margin.
        level: confidence level of the set.
        margin: least reviews on either side.

    Raises:
        DesignError: the series is too short.
    """
    check_level(level)
    T = right.size
    if 2 * margin > T:
        raise DesignError(f"{T} reviews: at least {2 * margin} are wanted to locate a change")
    k = np.arange(margin, T - margin + 1)
    total = np.concatenate([[0.0], np.cumsum(right)])
    before, after = total[k] / k, (total[-1] - total[k]) / (T - k)
    likelihood = -(k * _entropy(before) + (T - k) * _entropy(after))
    best = int(np.argmax(likelihood))
    near = np.flatnonzero(likelihood >= likelihood[best] - np.log(1.0 / (1.0 - level)) - 1.0)
    return Change(
        int(k[best]),
        int(k[near[0]]),
        int(k[near[-1]]),
        float(before[best]),
        float(after[best]),
    )


def strata_of_change(right: Floats, stratum: Ints, strata: int, at: int) -> Floats:
    """Which stratum: standardised fall of each stratum's mean from before `at` to after it.

    Args:
        right: outcomes in order of time, shape (T,).
        stratum: code of each, shape (T,).
        strata: number of strata.
        at: index of the first review after the change.

    Returns:
        (before − after)/s.e. per stratum, shape (strata,); NaN with fewer than two on either side.
    """
    found = np.full(strata, np.nan)
    for h in range(strata):
        mine = stratum == h
        a, b = right[:at][mine[:at]], right[at:][mine[at:]]
        if a.size < 2 or b.size < 2:
            continue
        pooled = (a.sum() + b.sum() + 1.0) / (a.size + b.size + 2.0)
        error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / a.size + 1.0 / b.size))
        found[h] = (a.mean() - b.mean()) / error
    return found


def _entropy(p: Floats) -> Floats:
    inner = (p > 0.0) & (p < 1.0)
    q = np.where(inner, p, 0.5)
    return np.where(inner, -(q * np.log(q) + (1.0 - q) * np.log(1.0 - q)), 0.0)
