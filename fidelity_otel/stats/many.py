"""All estimates of a page at once: every label (outcome, silent, each mode) in every stratum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.arrays import Floats, Ints, check_level
from fidelity_otel.stats.combine import Combined, combine, interval_of
from fidelity_otel.stats.moments import gather

__all__ = ["Table", "table"]


class Table(NamedTuple):
    """Estimates with limits; `overall` fields have shape (labels,), `strata` (labels, strata).

    Values are NaN where fewer than `minimum_n` reviews speak. `n` and `n_effective` likewise.
    """

    value: Floats
    low: Floats
    high: Floats
    n: Floats
    n_effective: Floats
    by_stratum: Table | None = None


def table(
    labels: Floats,
    pi: Floats,
    stratum: Ints,
    size: Floats,
    *,
    level: float = 0.95,
    minimum_n: int = 10,
) -> Table:
    """Estimate many labels on the same reviews, overall and in each stratum.

    Needs the reviews and the strata's sizes only, so a frame of any size costs nothing. Strata with
    fewer than two reviews are joined for the overall figures.

    Args:
        labels: 0–1, shape (labels, n).
        pi: inclusion probabilities, shape (n,).
        stratum: stratum of each review, shape (n,).
        size: N_h of the frame, shape (strata,).
        level: confidence level.
        minimum_n: reviews below which a value is NaN.

    Raises:
        DesignError: shapes that don't fit.
    """
    check_level(level)
    rows, n = labels.shape
    if pi.shape != (n,) or stratum.shape != (n,):
        raise DesignError(f"pi and stratum: {n} values are wanted")
    strata = size.size
    counts = np.bincount(stratum, minlength=strata)
    kept = _joined(counts, size)
    cells = int(kept.max()) + 1
    joined_size = np.bincount(kept, weights=size, minlength=cells)
    overall = _combined(labels, pi, kept[stratum], cells, joined_size / joined_size.sum())
    single = gather(labels.ravel(), np.tile(pi, rows), _cells(stratum, rows, strata), rows * strata)
    each = combine(single.reshape(rows, strata, 1), np.ones(1))
    return _table(overall, np.full(rows, float(n)), level, minimum_n)._replace(
        by_stratum=_table(each, np.tile(counts.astype(np.float64), (rows, 1)), level, minimum_n)
    )


def _combined(labels: Floats, pi: Floats, cell: Ints, cells: int, share: Floats) -> Combined:
    rows = labels.shape[0]
    moments = gather(labels.ravel(), np.tile(pi, rows), _cells(cell, rows, cells), rows * cells)
    return combine(moments.reshape(rows, cells), share)


def _cells(cell: Ints, rows: int, cells: int) -> Ints:
    return (np.arange(rows)[:, None] * cells + cell[None, :]).ravel()


def _joined(counts: Ints, size: Floats) -> Ints:
    """A code per stratum, the same for all with fewer than two reviews."""
    thin = counts < 2
    target = np.arange(counts.size)
    if thin.any() and not thin.all():
        rest = np.flatnonzero(~thin)
        small = rest[np.argmin(size[rest])]
        target[thin] = small if counts[thin].sum() < 2 else int(np.argmax(thin))
    elif thin.all():
        target[:] = 0
    return np.unique(target, return_inverse=True)[1].astype(np.intp, copy=False)


def _table(combined: Combined, n: Floats, level: float, minimum_n: int) -> Table:
    enough = n >= max(minimum_n, 1)
    unit = np.where(combined.unit > 0.0, combined.unit, 1.0)
    found, effective = interval_of(combined._replace(unit=unit), level)
    return Table(
        value=np.where(enough, np.clip(combined.value, 0.0, 1.0), np.nan),
        low=np.where(enough, found.low, np.nan),
        high=np.where(enough, found.high, np.nan),
        n=n,
        n_effective=np.where(n > 0.0, effective, 0.0),
    )
