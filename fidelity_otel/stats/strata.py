"""Strata of a design: their sizes, and the joining of those with too few reviews."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats, Ints

__all__ = ["Strata", "collapse", "filled_by_stratum"]


class Strata(NamedTuple):
    """Strata after joining: `code` of every row, shape (N,), and `size` N_h, shape (strata,).

    `unseen` names the strata that had no review, `unseen_share` is their share of the frame.
    """

    code: Ints
    size: Floats
    unseen: tuple[str, ...] = ()
    unseen_share: float = 0.0

    @property
    def share(self) -> Floats:
        """W_h = N_h/N, shape (strata,)."""
        return np.asarray(self.size / self.size.sum())


def collapse(
    code: Ints,
    chosen: Ints,
    names: list[Any],
    pi: Floats,
    *,
    units: Floats,
    whole_frame: bool,
) -> Strata:
    """Join strata with fewer than two reviews, so that each has a mean and a variance.

    All thin ones become one stratum; where that is thin too, it joins the smallest other one. The
    usual remedy (Cochran, Sampling Techniques, 1977, §5A.12): means stay nearly unbiased as π is
    kept, only a stratum without any review is guessed to be like those that it joins.

    Args:
        code: stratum of every row, shape (N,).
        chosen: indices of the reviewed rows, shape (n,), n ≥ 1.
        names: of the strata.
        pi: inclusion probabilities, NaN where unknown, shape (N,).
        units: how many units each row stands for, shape (N,).
        whole_frame: whether the rows are the frame; else sizes are Σ1/π.
    """
    cells = len(names)
    n = np.bincount(code[chosen], minlength=cells)
    if whole_frame or bool(np.isnan(pi[chosen]).any()):
        size = _totals(code, units, cells)
    else:
        size = _totals(code[chosen], 1.0 / pi[chosen], cells)
    unseen = (n == 0) & (size > 0)
    thin = n < 2
    target = np.arange(cells)
    if thin.any() and cells > 1:
        joined = int(np.argmax(thin))
        target[thin] = joined
        rest = np.flatnonzero(~thin)
        if n[thin].sum() < 2 and rest.size:
            target[thin] = rest[np.argmin(size[rest])]
    kept, renamed = np.unique(target, return_inverse=True)
    return Strata(
        code=renamed[code].astype(np.intp, copy=False),
        size=_totals(renamed.astype(np.intp, copy=False), size, kept.size),
        unseen=tuple(str(names[i]) for i in np.flatnonzero(unseen)),
        unseen_share=float(size[unseen].sum() / size.sum()),
    )


def filled_by_stratum(prediction: Floats, strata: Strata, units: Floats) -> Floats:
    """Predictions with gaps (NaN) filled by the mean of their stratum, else of all; shape (N,)."""
    known = ~np.isnan(prediction)
    if known.all():
        return prediction
    cells = strata.size.size
    count = _totals(strata.code[known], units[known], cells)
    total = _totals(strata.code[known], prediction[known] * units[known], cells)
    mean = np.where(count > 0, total / np.maximum(count, 1), total.sum() / count.sum())
    return np.where(known, prediction, mean[strata.code])


def _totals(cell: Ints, values: Floats, cells: int) -> Floats:
    return np.asarray(np.bincount(cell, weights=values, minlength=cells), dtype=np.float64)
