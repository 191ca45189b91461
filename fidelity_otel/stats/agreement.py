"""Do reviewers agree, beyond chance: κ (Cohen, Fleiss), Krippendorff's α, Gwet's AC1.

Ratings are an integer array of shape (items, reviewers): the category's code, −1 where absent. All
four are functions of sums over items, so the jackknife over items costs one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.arrays import Floats, Ints, check_level
from fidelity_otel.stats.intervals import t_quantile

__all__ = ["Agreement", "cohen_kappa", "fleiss_kappa", "gwet_ac1", "krippendorff_alpha"]

Metric = Literal["nominal", "interval"]


class Agreement(NamedTuple):
    """A coefficient (1 = perfect, 0 = chance), its jackknife limits, and items with ≥ 2 ratings.

    `value` is NaN where all ratings are alike: then agreement beyond chance is not defined.
    """

    value: float
    low: float
    high: float
    items: int


def _counts(ratings: Ints, categories: int) -> Floats:
    """Ratings of each category per item, shape (items, categories)."""
    shape = ratings.shape
    if len(shape) != 2 or ratings.max(initial=-1) >= categories:
        raise DesignError("ratings: codes below `categories`, shape (items, reviewers), are wanted")
    kept = ratings >= 0
    item = np.broadcast_to(np.arange(shape[0])[:, None], shape)[kept]
    flat = np.bincount(item * categories + ratings[kept], minlength=shape[0] * categories)
    return flat.reshape(shape[0], categories).astype(np.float64)


def _jackknife(parts: Floats, coefficient: Callable[[Floats], Floats], level: float) -> Agreement:
    """A coefficient of Σ parts with its delete-one-item limits (Efron and Stein 1981).

    Args:
        parts: what each item adds to the sums, shape (items, k).
        coefficient: sums of shape (..., k) to values of shape (...).
        level: confidence level.
    """
    check_level(level)
    items = parts.shape[0]
    total = parts.sum(axis=0)
    value = float(coefficient(total))
    if items < 2 or not np.isfinite(value):
        return Agreement(value, float("nan"), float("nan"), items)
    left = coefficient(total - parts)
    left = left[np.isfinite(left)]
    spread = (items - 1.0) / items * float(((left - left.mean()) ** 2).sum())
    half = float(t_quantile(level, items - 1.0)) * spread**0.5
    return Agreement(value, max(value - half, -1.0), min(value + half, 1.0), items)


def _beyond_chance(observed: Floats, chance: Floats) -> Floats:
    some = chance < 1.0 - 1e-12
    return np.where(some, (observed - chance) / np.where(some, 1.0 - chance, 1.0), np.nan)


def cohen_kappa(
    a: Ints, b: Ints, categories: int, level: float = 0.95, weight: Floats | None = None
) -> Agreement:
    """Cohen's κ of two reviewers (Educational and Psychological Measurement 20, 1960).

    Args:
        a: codes of one reviewer, shape (items,).
        b: codes of the other, shape (items,).
        categories: number of categories.
        level: confidence level.
        weight: 1/π of each item, shape (items,); ones by default.
    """
    w = np.ones(a.size) if weight is None else weight
    k = categories
    parts = np.zeros((a.size, 2 * k + 2))
    rows = np.arange(a.size)
    parts[:, 0], parts[:, 1] = w, w * (a == b)
    parts[rows, 2 + a] += w
    parts[rows, 2 + k + b] += w

    def coefficient(total: Floats) -> Floats:
        n = total[..., 0]
        chance = (total[..., 2 : 2 + k] * total[..., 2 + k :]).sum(axis=-1) / n**2
        return _beyond_chance(total[..., 1] / n, chance)

    return _jackknife(parts, coefficient, level)


def fleiss_kappa(ratings: Ints, categories: int, level: float = 0.95) -> Agreement:
    """Fleiss' κ (Psychological Bulletin 76, 1971), for any number of ratings an item ≥ 2.

    Args:
        ratings: codes, −1 where absent, shape (items, reviewers).
        categories: number of categories.
        level: confidence level.
    """
    parts = _pairs(ratings, categories)

    def coefficient(total: Floats) -> Floats:
        shares = total[..., 2:] / total[..., 2:].sum(axis=-1, keepdims=True)
        return _beyond_chance(total[..., 1] / total[..., 0], (shares**2).sum(axis=-1))

    return _jackknife(parts, coefficient, level)


def gwet_ac1(
    ratings: Ints, categories: int, level: float = 0.95, weight: Floats | None = None
) -> Agreement:
    """Gwet's AC1 (British J. of Mathematical and Statistical Psychology 61, 2008).

    Unlike κ it stays meaningful where nearly all verdicts are alike. Chance is
    Σ π_k(1 − π_k)/(q − 1), π_k the mean share of category k over all items with a rating.

    Args:
        ratings: codes, −1 where absent, shape (items, reviewers).
        categories: number of categories q.
        level: confidence level.
        weight: 1/π of each item, shape (items,); ones by default.
    """
    count = _counts(ratings, categories)
    r = count.sum(axis=1)
    w = np.ones(r.size) if weight is None else weight
    several = r >= 2
    agree = (count * (count - 1.0)).sum(axis=1) / np.where(several, r * (r - 1.0), 1.0)
    share = count / np.where(r > 0, r, 1.0)[:, None]
    rated = w * (r > 0)
    columns = [w * several, w * several * agree, rated]
    parts = np.column_stack([*columns, rated[:, None] * share])[r > 0]

    def coefficient(total: Floats) -> Floats:
        share_k = total[..., 3:] / total[..., 2:3]
        chance = (share_k * (1.0 - share_k)).sum(axis=-1) / (categories - 1.0)
        return _beyond_chance(total[..., 1] / total[..., 0], chance)

    return _jackknife(parts, coefficient, level)._replace(items=int(several.sum()))


def krippendorff_alpha(
    ratings: Ints,
    categories: int,
    level: float = 0.95,
    *,
    metric: Metric = "nominal",
    values: Floats | None = None,
) -> Agreement:
    """Krippendorff's α (Content Analysis, 4th ed., Sage, 2019, ch. 12): 1 − D_o/D_e.

    Args:
        ratings: codes, −1 where absent, shape (items, reviewers).
        categories: number of categories.
        level: confidence level.
        metric: nominal (alike or not) or interval (squared difference of values).
        values: the categories' values for `interval`; their codes by default.
    """
    v = np.arange(categories, dtype=np.float64) if values is None else values
    apart = (v[:, None] - v[None, :]) ** 2 if metric == "interval" else 1.0 - np.eye(categories)
    count = _counts(ratings, categories)
    r = count.sum(axis=1)
    count, r = count[r >= 2], r[r >= 2]
    within = np.einsum("ic,cd,id->i", count, apart, count) / np.maximum(r - 1.0, 1.0)
    parts = np.column_stack([within, count])

    def coefficient(total: Floats) -> Floats:
        n_c = total[..., 1:]
        n = n_c.sum(axis=-1)
        expected = np.einsum("...c,cd,...d->...", n_c, apart, n_c) / np.maximum(n - 1.0, 1.0)
        some = expected > 0.0
        return np.where(some, 1.0 - total[..., 0] / np.where(some, expected, 1.0), np.nan)

    return _jackknife(parts, coefficient, level)


def _pairs(ratings: Ints, categories: int) -> Floats:
    """Per item with ≥ 2 ratings: 1, share of agreeing pairs, and ratings per category."""
    count = _counts(ratings, categories)
    r = count.sum(axis=1)
    count, r = count[r >= 2], r[r >= 2]
    agree = (count * (count - 1.0)).sum(axis=1) / np.maximum(r * (r - 1.0), 1.0)
    return np.column_stack([np.ones(r.size), agree, count])
