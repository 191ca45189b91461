"""Turning a prediction of any scale into a predicted label, without using a row's own label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats, Ints

__all__ = ["Calibrated", "cross_fitted"]

FOLDS = 5


class Calibrated(NamedTuple):
    """A cross-fitted curve.

    `sample` are the reviewed rows' calibrated predictions, shape (n,), each from the folds without
    it; `by_bin` is the mean of the folds' curves at each bin, shape (bins,).
    """

    sample: Floats
    by_bin: Floats


def cross_fitted(y: Floats, w: Floats, bins: Ints, values: Floats) -> Calibrated:
    """Weighted isotonic regression of the label on the prediction, cross-fitted over five folds.

    Isotonic calibration: Zadrozny and Elkan (KDD 2002). Cross-fitting keeps the difference
    estimator unbiased: Zrnic and Candès, "Cross-prediction-powered inference" (PNAS 121, 2024). The
    direction, rising or falling, is that of the weighted covariance. Folds take every fifth
    row in order of prediction, so that each spans its range.

    Args:
        y: labels, shape (n,).
        w: weights 1/π, shape (n,).
        bins: bin of each reviewed row, shape (n,).
        values: the bins' prediction values, ascending, shape (bins,).
    """
    f = values[bins]
    centre = float((w * f).sum() / w.sum())
    sign = 1.0 if float((w * (f - centre) * y).sum()) >= 0.0 else -1.0
    order = np.lexsort((y, f))
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


def _isotonic(bins: Ints, y: Floats, w: Floats, values: Floats) -> Floats:
    """A rising curve through the bins' weighted means, joined by straight lines, at all bins."""
    from scipy.optimize import isotonic_regression

    weight = np.bincount(bins, weights=w, minlength=values.size)
    total = np.bincount(bins, weights=w * y, minlength=values.size)
    seen = np.flatnonzero(weight > 0.0)
    fitted = isotonic_regression(total[seen] / weight[seen], weights=weight[seen]).x
    return np.interp(values, values[seen], fitted)
