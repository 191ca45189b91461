"""Variance between clusters: turns of one conversation, or requests of one user, are alike."""

from __future__ import annotations

import numpy as np

from fidelity_otel.stats.arrays import Floats, Ints
from fidelity_otel.stats.combine import Combined

__all__ = ["clustered", "linear_scores"]

_PRIOR_FAILURES = 1.0


def linear_scores(residual: Floats, pi: Floats, cell: Ints, share: Floats) -> tuple[Floats, Floats]:
    """Each unit's part in the estimate's deviation, and its weight in the estimate.

    z_i = W_h·w_i·(r_i − r̄_h)/Σw and u_i = W_h·w_i/Σw, so Σ z = 0 and Σ u = 1 (Binder, International
    Statistical Review 51, 1983).

    Args:
        residual: y, or y − λ·m where predictions are used, shape (n,).
        pi: inclusion probabilities, shape (n,).
        cell: stratum of each unit, shape (n,).
        share: W_h, shape (strata,).
    """
    w = 1.0 / pi
    sum_w = np.bincount(cell, weights=w, minlength=share.size)
    sum_r = np.bincount(cell, weights=w * residual, minlength=share.size)
    safe = np.where(sum_w > 0.0, sum_w, 1.0)
    u = share[cell] * w / safe[cell]
    return u * (residual - (sum_r / safe)[cell]), u


def clustered(combined: Combined, z: Floats, u: Floats, cluster: Ints) -> Combined:
    """The same estimate with the variance between clusters.

    V = m/(m−1)·Σ_c (Σ_{i∈c} z_i)², the ultimate-cluster estimator (Kalton 1979; Liang and Zeger,
    Biometrika 73, 1986), without finite-population correction; its degrees of freedom are those of
    `_freedom`. The limits' typical unit becomes (1 + (D − 1)·ρ)/n*, D the design effect of clusters
    that are alike throughout, ρ the observed similarity drawn towards 1 by one failure's worth:
    with few failures seen one cannot know that they don't come in clusters.

    Args:
        combined: the estimate as if rows were independent; scalars.
        z: linear scores, shape (n,).
        u: weights in the estimate, shape (n,).
        cluster: cluster code of each reviewed row, shape (n,).
    """
    _, inverse = np.unique(cluster, return_inverse=True)
    totals, weights, squares = (
        np.asarray(np.bincount(inverse, weights=each), dtype=np.float64) for each in (z, u, u * u)
    )
    m = totals.size
    between = float((totals * totals).sum()) * m / max(m - 1, 1)
    alone = float((z * z).sum())
    alike = max(float((weights**2).sum() / (u * u).sum()), 1.0)
    effect = between / alone if alone > 0.0 else 1.0
    similarity = float(np.clip((effect - 1.0) / max(alike - 1.0, 1e-9), 0.0, 1.0))
    value = float(np.clip(combined.value, 0.0, 1.0))
    failures = min(value, 1.0 - value) / float(combined.unit)
    drawn = (failures * similarity + _PRIOR_FAILURES) / (failures + _PRIOR_FAILURES)
    return combined._replace(
        variance=np.asarray(between),
        df=np.asarray(_freedom(totals, weights, squares, similarity)),
        unit=combined.unit * (1.0 + (alike - 1.0) * drawn),
    )


def _freedom(totals: Floats, weights: Floats, squares: Floats, similarity: float) -> float:
    """Degrees of freedom of Σ t_c²: the lesser of two, at least 1.

    Those of clusters of these sizes, whose variances are as (1 − ρ)·Σu² + ρ·(Σu)²: m − 1 where they
    are equal (Satterthwaite, Biometrics Bulletin 2, 1946; Bell and McCaffrey, Survey Methodology
    28, 2002). And 2·(Σt²)² / (Σt⁴ − (Σt²)²/m), Satterthwaite's with the variance of Σt² estimated
    from the t_c themselves: few, where a few clusters make most of what was seen.

    Args:
        totals: t_c = Σ z of each cluster, shape (m,).
        weights: Σ u of each cluster, shape (m,).
        squares: Σ u² of each cluster, shape (m,).
        similarity: ρ, how alike the rows of a cluster are, 0–1.
    """
    expected = (1.0 - similarity) * squares + similarity * weights**2
    of_sizes = float(expected.sum() ** 2 / (expected**2).sum()) - 1.0
    spread = totals * totals
    uneven = float((spread**2).sum() - spread.sum() ** 2 / totals.size)
    seen = 2.0 * float(spread.sum()) ** 2 / uneven if uneven > 0.0 else of_sizes
    return max(min(of_sizes, seen), 1.0)
