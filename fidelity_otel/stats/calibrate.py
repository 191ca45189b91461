"""Turning a prediction of any scale into a predicted label, without using a row's own label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats, Ints

__all__ = ["Calibrated", "cross_fitted"]

FOLDS = 5
_NO_DIRECTION = 1e-9
"""Correlation below which label and prediction neither rise nor fall together."""


class Calibrated(NamedTuple):
    """A cross-fitted curve.

    `sample` are the reviewed rows' calibrated predictions, shape (n,), each from the folds without
    it; `by_bin` is the mean of the folds' curves at each bin, shape (bins,).
    """

    sample: Floats
    by_bin: Floats


def cross_fitted(
    y: Floats, w: Floats, bins: Ints, values: Floats, group: Ints | None = None
) -> Calibrated:
    """Weighted isotonic regression of the label on the prediction, cross-fitted over five folds.

    Isotonic calibration: Zadrozny and Elkan (KDD 2002). Cross-fitting keeps the difference
    estimator unbiased: Zrnic and Candès, "Cross-prediction-powered inference" (PNAS 121, 2024). The
    direction, rising or falling, is that of the weighted covariance; without one the curve is flat.
    Folds take every fifth row in order of prediction, so that each spans its range; ties are broken
    by what the rows say, so that neither their order nor calling right wrong changes anything.

    Args:
        y: labels, shape (n,).
        w: weights 1/π, shape (n,).
        bins: bin of each reviewed row, shape (n,).
        values: the bins' prediction values, ascending, shape (bins,).
        group: stratum of each row, shape (n,), to break ties by.
    """
    f = values[bins]
    sign = _direction(f, y, w)
    if sign == 0.0:
        mean = np.average(y, weights=w)
        return Calibrated(np.full_like(y, mean), np.full_like(values, mean))
    order = np.lexsort((np.zeros_like(bins) if group is None else group, sign * y, w, f))
    fold = np.empty(y.size, dtype=np.intp)
    fold[order] = np.arange(y.size) % FOLDS
    sample = np.empty_like(y)
    by_bin = np.zeros_like(values)
    for k in range(FOLDS):
        rest = fold != k
        curve = _isotonic(bins[rest], sign * y[rest], w[rest], values) * sign
        sample[~rest] = curve[bins[~rest]]
        by_bin += curve / FOLDS
    return Calibrated(sample, by_bin)


def _direction(f: Floats, y: Floats, w: Floats) -> float:
    """The sign of the weighted correlation, 0 where there is none to speak of."""
    a, b = f - np.average(f, weights=w), y - np.average(y, weights=w)
    both = float((w * a * b).sum())
    alone = float(np.sqrt((w * a * a).sum() * (w * b * b).sum()))
    return 0.0 if abs(both) <= _NO_DIRECTION * alone else float(np.sign(both))


def _isotonic(bins: Ints, y: Floats, w: Floats, values: Floats) -> Floats:
    """A rising curve through the bins' weighted means, joined by straight lines, at all bins."""
    from scipy.optimize import isotonic_regression

    weight = np.bincount(bins, weights=w, minlength=values.size)
    total = np.bincount(bins, weights=w * y, minlength=values.size)
    seen = np.flatnonzero(weight > 0.0)
    fitted = isotonic_regression(total[seen] / weight[seen], weights=weight[seen]).x
    return np.interp(values, values[seen], fitted)
