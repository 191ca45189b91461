"""The frame in small: units per stratum and prediction bin, additive over replicas and windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats, Ints

__all__ = ["BINS", "Frame", "binned", "frame_of"]

BINS = 1024
"""Most distinct predictions that are kept apart; more are put into bins of equal width."""


class Frame(NamedTuple):
    """Counts of all units, reviewed or not.

    `size` is N_h, shape (strata,). `bins` are prediction values, shape (bins,), ascending, and
    `counts` the units per stratum and bin, shape (strata, bins); one empty bin without predictions.
    """

    size: Floats
    bins: Floats
    counts: Floats

    @property
    def share(self) -> Floats:
        """W_h = N_h/N, shape (strata,)."""
        return np.asarray(self.size / self.size.sum())

    def mean_of(self, m: Floats) -> Floats:
        """The frame's mean per stratum of a function of the bin, m of shape (bins,)."""
        total = self.counts.sum(axis=1)
        return np.asarray(self.counts @ m / np.where(total > 0.0, total, 1.0))


def binned(prediction: Floats) -> tuple[Ints, Floats]:
    """Put predictions into at most `BINS` bins; estimates stay unbiased whatever the bins are.

    Args:
        prediction: finite, shape (N,).

    Returns:
        The bin of each row, shape (N,), and the bins' values (their distinct value, or centre).
    """
    if prediction.size <= 200_000:
        values, inverse = np.unique(prediction, return_inverse=True)
        if values.size <= BINS:
            return inverse.astype(np.intp, copy=False), values
    low, high = float(prediction.min()), float(prediction.max())
    width = (high - low) / BINS
    if not width > 0.0:
        return np.zeros(prediction.size, dtype=np.intp), np.array([low])
    bins = np.minimum(((prediction - low) / width).astype(np.intp), BINS - 1)
    centres: Floats = np.asarray(low + width * (np.arange(BINS) + 0.5), dtype=np.float64)
    return np.asarray(bins, dtype=np.intp), centres


def frame_of(
    cell: Ints, size: Floats, prediction: Floats | None, units: Floats
) -> tuple[Frame, Ints]:
    """Count a frame's rows.

    Args:
        cell: stratum of each row, shape (rows,).
        size: N_h, shape (strata,).
        prediction: finite, shape (rows,), or None.
        units: how many units each row stands for, shape (rows,).

    Returns:
        The counts, and each row's bin, shape (rows,).
    """
    strata = size.shape[0]
    if prediction is None:
        return Frame(size, np.zeros(1), size[:, None]), np.zeros(cell.size, dtype=np.intp)
    bins, values = binned(prediction)
    place = cell * values.size + bins
    counts = np.bincount(place, weights=units, minlength=strata * values.size)
    return Frame(size, values, counts.reshape(strata, -1).astype(np.float64)), bins
