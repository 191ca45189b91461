"""Ratios of two totals of the same sample: a mode's share of failures, recoveries of findings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fidelity_otel.errors import DesignError
from fidelity_otel.model import Estimate
from fidelity_otel.stats.arrays import check_level, codes, floats, shares
from fidelity_otel.stats.limits import limits
from fidelity_otel.stats.weights import effective_size

__all__ = ["ratio"]


def ratio(
    top: ArrayLike,
    bottom: ArrayLike,
    *,
    pi: ArrayLike | None = None,
    cluster: Any = None,
    name: str = "ratio",
    level: float = 0.95,
    minimum_n: int = 10,
    window: str = "",
) -> Estimate:
    """R = Σ w·top / Σ w·bottom over reviewed rows, with 0 ≤ top ≤ bottom in each: a share.

    Linearised (Särndal, Swensson and Wretman, Model Assisted Survey Sampling, 1992, §5.6): the
    variance is that of Σ w·(top − R·bottom)/Σ w·bottom, here between clusters where they are known.
    A domain's mean is the same with bottom = 1 inside it and 0 outside.

    Args:
        top: numerator of each reviewed row, shape (n,).
        bottom: denominator of each, shape (n,).
        pi: inclusion probabilities in (0, 1], shape (n,); equal by default.
        cluster: conversation or user of each, shape (n,).
        name: of the estimate.
        level: confidence level.
        minimum_n: below so many rows with bottom > 0 there is no estimate.
        window: carried into the estimate.

    Raises:
        DesignError: values outside 0–1, top > bottom, or lengths that differ.
    """
    check_level(level)
    x = shares(floats(bottom, "bottom"), "bottom")
    y = shares(floats(top, "top", length=x.size), "top")
    if (y > x).any() or np.isnan(x + y).any():
        raise DesignError("top ≤ bottom is wanted in each row, and both known")
    p = np.full(x.size, 1e-9)
    if pi is not None:
        p = shares(floats(pi, "pi", length=x.size), "pi", open_at_zero=True)
    mine = x > 0.0
    group = codes(cluster, x.size, "cluster")[0][mine] if cluster is not None else None
    x, y, p = x[mine], y[mine], p[mine]
    n = x.size
    whole = round(float((1.0 / p).sum())) if pi is not None else n
    if n < max(1, minimum_n):
        note = (f"insufficient data: {n} reviewed, at least {max(1, minimum_n)} wanted",)
        return Estimate(
            name=name,
            estimate=None,
            low=None,
            high=None,
            level=level,
            method="none",
            n=n,
            n_effective=effective_size(p),
            N=whole,
            window=window,
            warnings=note,
        )
    w = 1.0 / p
    total = float((w * x).sum())
    value = float((w * y).sum()) / total
    z = w * (y - value * x) / total
    weight = w * x / total
    if group is None:
        m = n
        variance = n / max(n - 1, 1) * float(((1.0 - p) * z * z).sum())
        unit = float((weight**2).sum())
    else:
        _, inverse = np.unique(group, return_inverse=True)
        by_cluster = np.bincount(inverse, weights=z)
        m = by_cluster.size
        variance = m / max(m - 1, 1) * float((by_cluster**2).sum())
        unit = float((np.bincount(inverse, weights=weight) ** 2).sum())
    df = np.asarray(max(m - 1.0, 1.0))
    found = limits(
        np.asarray(value),
        np.asarray(variance),
        np.asarray(unit),
        df=df,
        plain_df=np.asarray(n - 1.0),
        level=level,
    )
    effective = value * (1.0 - value) / variance if variance > 1e-15 else 1.0 / unit
    return Estimate(
        name=name,
        estimate=value,
        low=float(found.low),
        high=float(found.high),
        level=level,
        method="ratio" if group is None else "ratio, clustered",
        n=n,
        n_effective=float(effective),
        N=whole,
        window=window,
    )
