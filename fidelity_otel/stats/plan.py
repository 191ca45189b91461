"""How many reviews: for a wanted width, or to see a drop in time. Inverts what `estimate` does."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.intervals import normal_quantile
from fidelity_otel.stats.limits import limits_of_count

__all__ = ["Delay", "cusum_delay", "reviews_for_drop", "reviews_for_width", "width_of"]


class Delay(NamedTuple):
    """LR-CUSUM for a drop: mean reviews until the alarm, and between false alarms, both exact."""

    to_alarm: float
    between_false_alarms: float


def width_of(p: float, n: float, level: float = 0.95) -> float:
    """Mean half-width of the interval of `n` effective reviews at a share p.

    Args:
        p: the share expected, 0–1.
        n: effective reviews, > 0.
        level: confidence level.
    """
    low, high = limits_of_count(p * n, n, level)
    return (high - low) / 2.0


def reviews_for_width(
    p: float, half: float, level: float = 0.95, *, gain: float = 1.0, frame: int | None = None
) -> int:
    """Reviews for an interval of p ± half.

    Args:
        p: the share expected, 0–1.
        half: half-width wanted, e.g. .03 for ±3 points.
        level: confidence level.
        gain: effective reviews per review (predictions and strata; 1.0 = simple random).
        frame: traces in the frame, for the finite-population correction; infinite by default.

    Raises:
        DesignError: p or half outside (0, 1), or gain not positive.
    """
    _check(p, half, gain)
    low, high = 1, 2
    while width_of(p, high, level) > half:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if width_of(p, middle, level) > half else (low, middle)
    needed = high / gain
    if frame is not None:
        needed = needed / (1.0 + (needed - 1.0) / frame)
    return math.ceil(needed - 1e-9)


def reviews_for_drop(
    p0: float, drop: float, level: float = 0.95, power: float = 0.8, *, gain: float = 1.0
) -> int:
    """Reviews in each of two periods so that a drop from p0 to p0 − drop shows.

    Two independent shares, one-sided at (1 + level)/2 as both bounds of a two-sided interval count
    (Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 2003, §4.2).

    Args:
        p0: the share before.
        drop: the fall worth seeing, e.g. .05.
        level: confidence level of the interval for the difference.
        power: chance to see it.
        gain: effective reviews per review.

    Raises:
        DesignError: p0 or p0 − drop outside (0, 1).
    """
    _check(p0, drop, gain)
    if drop >= p0:
        raise DesignError(f"a drop of {drop:g} from {p0:g} leaves nothing")
    p1 = p0 - drop
    mean = (p0 + p1) / 2.0
    z_level, z_power = normal_quantile(level), float(special.ndtri(power))
    top = z_level * math.sqrt(2.0 * mean * (1.0 - mean))
    top += z_power * math.sqrt(p0 * (1.0 - p0) + p1 * (1.0 - p1))
    return math.ceil((top / drop) ** 2 / gain)


def cusum_delay(p0: float, drop: float, run_length: float = 1000.0, *, states: int = 400) -> Delay:
    """How soon LR-CUSUM tells, and how seldom it errs, by its Markov chain.

    Brook and Evans (Biometrika 59, 1972): the statistic on a grid of `states`, expected time to the
    threshold ln(run_length) from (I − Q)⁻¹·1, once with the share at p0 − drop and once at p0.

    Args:
        p0: the share as it should be.
        drop: the fall to detect; the detector is tuned to it.
        run_length: reviews between false alarms, asked of the threshold.
        states: grid points.

    Raises:
        DesignError: p0 or p0 − drop outside (0, 1).
    """
    _check(p0, drop, 1.0)
    if drop >= p0:
        raise DesignError(f"a drop of {drop:g} from {p0:g} leaves nothing")
    p1 = p0 - drop
    goal = math.log(run_length)
    up, down = math.log((1.0 - p1) / (1.0 - p0)), math.log(p1 / p0)
    grid = np.linspace(0.0, goal, states, endpoint=False)
    step = goal / states

    def expected(wrong: float) -> float:
        Q = np.zeros((states, states))
        for gain, chance in ((up, wrong), (down, 1.0 - wrong)):
            place = np.maximum(grid + gain, 0.0) / step
            lower = np.floor(place).astype(np.intp)
            part = place - lower
            for cell, share in ((lower, 1.0 - part), (lower + 1, part)):
                stays = cell < states
                np.add.at(Q, (np.flatnonzero(stays), cell[stays]), (chance * share)[stays])
        return float(np.linalg.solve(np.eye(states) - Q, np.ones(states))[0])

    return Delay(expected(1.0 - p1), expected(1.0 - p0))


def _check(p: float, change: float, gain: float) -> None:
    if not 0.0 < p < 1.0:
        raise DesignError(f"share = {p:g}: a number between 0 and 1 is wanted")
    if not 0.0 < change < 1.0:
        raise DesignError(f"{change:g}: a width or drop between 0 and 1 is wanted, e.g. 0.03")
    if not gain > 0.0:
        raise DesignError(f"gain = {gain:g}: a positive number is wanted")
