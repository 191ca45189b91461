"""From sums per stratum to an estimate, its variance and its interval.

Shapes: leading axes are many estimates at once (repeats of a simulation, failure modes), the last
axis is the strata.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats
from fidelity_otel.stats.intervals import Interval
from fidelity_otel.stats.limits import limits
from fidelity_otel.stats.moments import Moments

__all__ = ["Combined", "combine", "interval_of", "kish_unit", "leverage", "optimal_power"]

_FULL_TRUST = 5.0
_ROUNDING = 1e-9


class Combined(NamedTuple):
    """An estimate per leading index; all fields have shape (...).

    `variance` estimates the variance of `value` and has `df` degrees of freedom. `unit` is the
    weight of one more typical unit, 1/n*. `power` is λ, the weight that predictions got, `n` the
    number of labelled units.
    """

    value: Floats
    variance: Floats
    df: Floats
    unit: Floats
    power: Floats
    n: Floats


def optimal_power(moments: Moments, share: Floats) -> Floats:
    """λ that minimises the variance of the mean of y − λ·m over all strata, shrunk towards 0.

    Angelopoulos, Duchi and Zrnic, "PPI++" (2023), eq. (6), for a stratified unequal-probability
    design: λ = Σ_h s_h·S_ym / Σ_h s_h·S_mm. It is multiplied by max(0, 1 − 1/F), F the squared
    t-value of λ (positive-part James–Stein), so that a useless prediction gets no weight; and by a
    ramp from 0 at one to 1 at five effective failures (or successes), below which λ is noise.

    Args:
        moments: sums with shape (..., strata).
        share: W_h = N_h/N, shape (..., strata) or (strata,).

    Returns:
        λ with shape (...); 0 where predictions don't vary or fewer than 4 units are labelled.
    """
    scale = _scale(moments, share)
    mean_y, mean_m = _mean(moments.wy, moments), _mean(moments.wm, moments)
    ym = moments.aym - mean_y * moments.am - mean_m * moments.ay + mean_y * mean_m * moments.a
    mm = moments.amm - 2.0 * mean_m * moments.am + mean_m**2 * moments.a
    yy = moments.ayy - 2.0 * mean_y * moments.ay + mean_y**2 * moments.a
    S_ym, S_mm, S_yy = ((scale * s).sum(axis=-1) for s in (ym, mm, yy))
    some = S_mm > 1e-300
    power = np.where(some, S_ym / np.where(some, S_mm, 1.0), 0.0)
    left = np.maximum(S_yy - power * S_ym, 0.0)
    df = moments.n.sum(axis=-1) - (moments.n > 0).sum(axis=-1) - 1.0
    explained = power * S_ym
    keep = np.where(explained > 0.0, 1.0 - left / np.maximum(df * explained, 1e-300), 0.0)
    value = np.clip((share * mean_y).sum(axis=-1), 0.0, 1.0)
    events = np.minimum(value, 1.0 - value) / kish_unit(moments, share)
    trust = np.clip((events - 1.0) / (_FULL_TRUST - 1.0), 0.0, 1.0)
    keep = np.where(keep > _ROUNDING, keep, 0.0)  # F may be 1 but for rounding: no weight, no cost
    return np.where(df >= 2.0, power * keep * trust, 0.0)


def kish_unit(moments: Moments, share: Floats) -> Floats:
    """1/n*: Σ_h W_h²·Σw²/(Σw)², the weight of a typical unit; 1/n where all weigh the same.

    Kish, Survey Sampling (Wiley, 1965), §11.7.

    Args:
        moments: sums with shape (..., strata).
        share: W_h = N_h/N, shape (..., strata) or (strata,).
    """
    return np.asarray((share**2 * moments.b / _filled(moments.w) ** 2).sum(axis=-1))


def combine(
    moments: Moments, share: Floats, frame_m: Floats | None = None, power: Floats | None = None
) -> Combined:
    """The stratified Hájek mean, with a difference estimator where predictions are known.

    θ̂ = Σ_h W_h·(ȳ_h + λ·(M_h − m̄_h)), Cochran, Sampling Techniques (Wiley, 1977), ch. 5 and 7;
    PPI++ is this with λ tuned. Every stratum with W_h > 0 must have a labelled unit, and a variance
    needs two. Degrees of freedom after Satterthwaite (Biometrics Bulletin 2, 1946), less one for λ.

    Args:
        moments: sums with shape (..., strata).
        share: W_h = N_h/N, shape (..., strata) or (strata,).
        frame_m: mean calibrated prediction M_h over the frame, shape (..., strata).
        power: λ, shape (...); none (0) by default.
    """
    mean_y = _mean(moments.wy, moments)
    value = (share * mean_y).sum(axis=-1)
    lam = np.zeros_like(value) if power is None else np.asarray(power, dtype=np.float64)
    mean_m = _mean(moments.wm, moments)
    if frame_m is not None:
        value = value + lam * (share * (frame_m - mean_m)).sum(axis=-1)
    lam_h = lam[..., None]
    mean_r = mean_y - lam_h * mean_m
    squares = (
        moments.ayy
        - 2.0 * lam_h * moments.aym
        + lam_h**2 * moments.amm
        - 2.0 * mean_r * (moments.ay - lam_h * moments.am)
        + mean_r**2 * moments.a
    )
    each = _scale(moments, share) * np.maximum(squares, 0.0)
    variance = each.sum(axis=-1)
    plain = np.maximum(moments.n.sum(axis=-1) - (moments.n > 0).sum(axis=-1), 1.0)
    spread = (each**2 / np.maximum(moments.n - 1.0, 1.0)).sum(axis=-1)
    df = np.where(spread > 0.0, variance**2 / np.where(spread > 0.0, spread, 1.0), plain)
    tuned = lam != 0.0
    df_left = np.where(tuned, np.maximum(df - 1.0, 1.0), df)
    variance = np.where(tuned, variance * np.maximum(df, 1.0) / df_left, variance)
    n = moments.n.sum(axis=-1)
    return Combined(value, variance, df_left, kish_unit(moments, share), lam, n)


def interval_of(combined: Combined, level: float) -> tuple[Interval, Floats]:
    """The interval, and the number of simple random reviews that would tell as much.

    Args:
        combined: estimates, shape (...).
        level: confidence level.

    Returns:
        Limits and n_effective = θ̂(1−θ̂)/V̂, or n* where no spread was seen; shape (...).
    """
    value = np.clip(combined.value, 0.0, 1.0)
    found = limits(
        value,
        combined.variance,
        combined.unit,
        df=combined.df,
        plain_df=combined.n - 1.0,
        level=level,
    )
    spread = value * (1.0 - value)
    seen = (combined.variance > 1e-15) & (spread > 0.0)
    effective = np.where(seen, spread / np.where(seen, combined.variance, 1.0), 1.0 / combined.unit)
    return found, effective


def _filled(w: Floats) -> Floats:
    return np.where(w > 0.0, w, 1.0)


def _mean(total: Floats, moments: Moments) -> Floats:
    return total / _filled(moments.w)


def _scale(moments: Moments, share: Floats) -> Floats:
    """W_h²·c_h/(Σw)²: turns a stratum's weighted squares into its part of the variance."""
    return np.asarray(share**2 * leverage(moments) / _filled(moments.w) ** 2)


def leverage(moments: Moments) -> Floats:
    """C = Σa / Σa·(1 − 2u + Σu²), u = w/Σw: n/(n−1) where weights are equal, more where not.

    A unit of weight u draws the mean towards itself, so that its squared residual is short by the
    factor 1 − 2u + Σu² in expectation (MacKinnon and White, J. of Econometrics 29, 1985: HC2 for a
    weighted mean, in the aggregate).

    Args:
        moments: sums with shape (..., strata).
    """
    w = _filled(moments.w)
    left = moments.a - 2.0 * moments.aw / w + moments.a * moments.b / w**2
    some = (moments.a > 0.0) & (left > 0.0) & (moments.n > 1.0)
    return np.asarray(np.where(some, moments.a / np.where(some, left, 1.0), 1.0))
