"""Weighted sums per stratum: all that the estimators need, small and additive over replicas.

With w = 1/π, the sums are Σw, Σwy, … for means and Σa·y² with a = (1−π)/π² for variances. The
variance of a weighted mean in a stratum is c·Σ a·(y − ȳ)² / (Σw)²: Hájek (1964) for fixed-size
unequal-probability designs, Duffield–Lund–Thorup (2007) for priority sampling (covariances are
zero), and exactly (1−f)·s²/n where π is equal. c makes up for ȳ being fitted to the same units
(`combine.leverage`). Beside y stands m, the calibrated prediction (zeros where there is none).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats, Ints

__all__ = ["Moments", "gather"]


class Moments(NamedTuple):
    """Sums over the labelled units of each cell; every field has one shape, (..., strata).

    `n` counts units, `w` is Σ1/π, `b` is Σ1/π², `a` is Σ(1−π)/π²; `wy` is Σ y/π and so on;
    `ayy`, `aym`, `amm` are Σ a·y², Σ a·y·m, Σ a·m²; `aw` is Σ a·w.
    """

    n: Floats
    w: Floats
    b: Floats
    a: Floats
    wy: Floats
    wm: Floats
    ay: Floats
    am: Floats
    ayy: Floats
    aym: Floats
    amm: Floats
    aw: Floats

    def reshape(self, *shape: int) -> Moments:
        """The same sums with another shape, e.g. (repeats, strata)."""
        return Moments(*(field.reshape(shape) for field in self))

    def __add__(self, other: object) -> Moments:
        """Sums of two disjoint samples of the same frame's strata (replicas, windows)."""
        if not isinstance(other, Moments):
            return NotImplemented
        return Moments(*(x + y for x, y in zip(self, other, strict=True)))


def gather(y: Floats, pi: Floats, cell: Ints, cells: int, m: Floats | None = None) -> Moments:
    """Sum labelled units by cell, in one pass over n units whatever the number of cells.

    Args:
        y: labels 0–1, shape (n,).
        pi: inclusion probabilities in (0, 1], shape (n,).
        cell: cell of each unit in [0, cells): a stratum, or estimate × stratum.
        cells: number of cells.
        m: calibrated predictions, shape (n,); zeros by default.

    Returns:
        Moments with fields of shape (cells,).
    """
    w = 1.0 / pi
    a = (1.0 - pi) * w * w

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(cell, weights=values, minlength=cells), dtype=np.float64)

    ay = a * y
    beside = np.zeros_like(y) if m is None else m
    am = a * beside
    return Moments(
        n=np.bincount(cell, minlength=cells).astype(np.float64),
        w=total(w),
        b=total(w * w),
        a=total(a),
        wy=total(w * y),
        wm=total(w * beside),
        ay=total(ay),
        am=total(am),
        ayy=total(ay * y),
        aym=total(am * y),
        amm=total(am * beside),
        aw=total(a * w),
    )
