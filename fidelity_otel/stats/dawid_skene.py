"""How good each reviewer is, from overlapping reviews without a gold standard."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fidelity_otel.stats.arrays import Floats, Ints

__all__ = ["Reviewers", "dawid_skene"]


class Reviewers(NamedTuple):
    """The fit of `dawid_skene`.

    `prevalence` shape (categories,); `confusion[r, true, said]`, rows sum to 1; `posterior` of each
    item's true category, shape (items, categories); `iterations` taken.
    """

    prevalence: Floats
    confusion: Floats
    posterior: Floats
    iterations: int


def dawid_skene(
    item: Ints,
    reviewer: Ints,
    said: Ints,
    categories: int,
    *,
    smoothing: float = 0.0,
    most: int = 500,
    tolerance: float = 1e-8,
) -> Reviewers:
    """Maximum likelihood of reviewers' confusion matrices by EM.

    Dawid and Skene (Applied Statistics 28, 1979). Starts from majority shares, so the answer is the
    mode near the majority's opinion.

    Args:
        item: item of each rating, codes from 0, shape (ratings,).
        reviewer: reviewer of each rating, codes from 0, shape (ratings,).
        said: category of each rating, codes from 0, shape (ratings,).
        categories: number of categories.
        smoothing: pseudo-ratings added to every cell of the confusion matrices.
        most: iterations at most.
        tolerance: largest change of a posterior at which it stops.
    """
    items, reviewers = int(item.max()) + 1, int(reviewer.max()) + 1
    posterior = np.zeros((items, categories))
    np.add.at(posterior, (item, said), 1.0)
    posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), 1e-300)
    prevalence = posterior.mean(axis=0)
    confusion = np.zeros((reviewers, categories, categories))
    place = reviewer * categories + said
    done = 0
    while done < most:
        done += 1
        prevalence = posterior.mean(axis=0)
        said_when = np.zeros((reviewers * categories, categories))
        np.add.at(said_when, place, posterior[item])
        confusion = said_when.reshape(reviewers, categories, categories).transpose(0, 2, 1)
        confusion = confusion + smoothing
        confusion = confusion / np.maximum(confusion.sum(axis=2, keepdims=True), 1e-300)
        likelihood = (
            np.log(np.maximum(confusion, 1e-300)).transpose(0, 2, 1).reshape(-1, categories)
        )
        score = np.tile(np.log(np.maximum(prevalence, 1e-300)), (items, 1))
        np.add.at(score, item, likelihood[place])
        score -= score.max(axis=1, keepdims=True)
        new = np.exp(score)
        new /= new.sum(axis=1, keepdims=True)
        change = float(np.abs(new - posterior).max())
        posterior = new
        if change < tolerance:
            break
    return Reviewers(prevalence, confusion, posterior, done)
