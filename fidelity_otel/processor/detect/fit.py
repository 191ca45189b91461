"""Fitting the risk to what reviewers found: weighted, shrunk to the prior, cross-fitted.

The weights β minimise Σ wᵢ·log-loss + ½·Σ (βⱼ − bⱼ)²/σ², where b are the prior weights of the table
of modes: a Gaussian prior, so that few reviews move little. Calibration (Platt) and all quality
figures come from predictions of folds that did not see the review, split by cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from fidelity_otel.processor.detect.features import prior_weight
from fidelity_otel.processor.detect.risk import PRIOR, RiskModel

__all__ = ["Drift", "Reviewed", "auc", "cross_fit", "drift", "fit_risk"]

Array = NDArray[np.float64]

_FOLDS: Final = 5
_SIGMA_FINDING: Final = 1.0
_SIGMA_CHEAP: Final = 0.3
_FEWEST: Final = 30
_FEWEST_OF_EACH: Final = 5
_RAREST: Final = 3


class Reviewed(NamedTuple):
    """A reviewed trace: its features, whether it was wrong (0 to 1), weight 1/π, cluster."""

    features: dict[str, float]
    wrong: float
    weight: float = 1.0
    cluster: str = ""


class Drift(NamedTuple):
    """How far reviews are from what a model predicted: mean wrong, mean predicted, and z."""

    observed: float
    predicted: float
    z: float
    n: int


def fit_risk(rows: Sequence[Reviewed], *, fitted_ns: int = 0) -> RiskModel:
    """Fit the risk to reviewed traces.

    Args:
        rows: reviewed traces; hand-picked ones have no place here.
        fitted_ns: the time to note on the model.

    Returns:
        The prior, with n noted, where there are fewer than 30 reviews or fewer than 5 right or
        wrong ones, or where the fitted weights predict held-out reviews worse than the prior does.
    """
    wrong = np.array([r.wrong for r in rows], dtype=float)
    n = len(rows)
    rare = min((wrong > 0.5).sum(), (wrong <= 0.5).sum()) if n else 0  # noqa: PLR2004
    if n < _FEWEST or rare < _FEWEST_OF_EACH:
        return RiskModel(n=n, fitted_ns=fitted_ns)
    weight = _normed(np.array([r.weight for r in rows], dtype=float))
    held = cross_fit(rows)
    slope, shift = _platt(held, wrong, weight)
    before = np.array([PRIOR.probability(r.features) for r in rows])
    brier_prior = float(np.average((before - wrong) ** 2, weights=weight))
    calibrated = expit(slope * held + shift)
    brier = float(np.average((calibrated - wrong) ** 2, weights=weight))
    figures: dict[str, Any] = {
        "n": n,
        "n_effective": float(weight.sum() ** 2 / (weight**2).sum()),
        "auc": auc(held, wrong, weight),
        "brier": brier,
        "brier_prior": brier_prior,
        "fitted_ns": fitted_ns,
    }
    if brier >= brier_prior:
        return RiskModel(**figures)
    model = _fitted(rows)
    return RiskModel(
        intercept=model.intercept,
        weights=model.weights,
        centers=model.centers,
        slope=slope,
        shift=shift,
        **figures,
    )


def cross_fit(rows: Sequence[Reviewed], folds: int = _FOLDS) -> Array:
    """Log-odds for each row from a model that saw no row of its cluster.

    Rows without a cluster are clusters of their own. The split is by hash: it needs no seed.
    """
    of = np.array(
        [int(sha256((r.cluster or f"#{i}").encode()).hexdigest()[:8], 16) % folds
         for i, r in enumerate(rows)]
    )  # fmt: skip
    out = np.zeros(len(rows))
    for fold in range(folds):
        inside = np.flatnonzero(of == fold).tolist()
        if not inside:
            continue
        model = _fitted([rows[i] for i in np.flatnonzero(of != fold).tolist()])
        out[inside] = [model.score(rows[i].features) for i in inside]
    return out


def auc(score: Array, wrong: Array, weight: Array | None = None) -> float | None:
    """The weighted probability that a wrong one scores higher than a right one; ties count half."""
    weight = np.ones_like(score) if weight is None else weight
    bad = weight * wrong
    good = weight * (1 - wrong)
    if bad.sum() <= 0 or good.sum() <= 0:
        return None
    _, place = np.unique(score, return_inverse=True)
    bad_at = np.bincount(place, bad)
    good_at = np.bincount(place, good)
    below = np.concatenate([[0.0], np.cumsum(good_at)[:-1]])
    return float((bad_at * (below + good_at / 2)).sum() / (bad.sum() * good.sum()))


def drift(model: RiskModel, rows: Sequence[Reviewed]) -> Drift:
    """Whether new reviews are as wrong as the model said, weighted; |z| above 3 says no."""
    if not rows:
        return Drift(0.0, 0.0, 0.0, 0)
    wrong = np.array([r.wrong for r in rows])
    said = np.array([model.probability(r.features) for r in rows])
    weight = _normed(np.array([r.weight for r in rows], dtype=float))
    apart = np.average(wrong - said, weights=weight)
    error = np.sqrt((weight**2 * said * (1 - said)).sum()) / weight.sum()
    return Drift(
        float(np.average(wrong, weights=weight)),
        float(np.average(said, weights=weight)),
        float(apart / error) if error > 0 else 0.0,
        len(rows),
    )


def _normed(weight: Array) -> Array:
    return weight * (len(weight) / weight.sum()) if weight.sum() > 0 else np.ones_like(weight)


def _fitted(rows: Sequence[Reviewed]) -> RiskModel:
    """The shrunken logistic regression, uncalibrated."""
    counts: dict[str, int] = {}
    for row in rows:
        for name in row.features:
            counts[name] = counts.get(name, 0) + 1
    names = sorted(n for n, c in counts.items() if c >= _RAREST)
    x = np.array([[r.features.get(n, 0.0) for n in names] for r in rows]).reshape(-1, len(names))
    wrong = np.array([r.wrong for r in rows])
    weight = _normed(np.array([r.weight for r in rows], dtype=float))
    finding = np.array([":" in n for n in names], dtype=bool)
    center = np.where(finding, 0.0, np.average(x, axis=0, weights=weight)) if names else np.zeros(0)
    spread = np.where(finding, 1.0, np.maximum(x.std(axis=0), 1e-6)) if names else np.ones(0)
    prior = np.array([prior_weight(n) for n in names])
    sigma = np.where(finding, _SIGMA_FINDING, _SIGMA_CHEAP / spread)
    z = x - center

    def loss(beta: Array) -> tuple[float, Array]:
        eta = beta[0] + z @ beta[1:]
        p = expit(eta)
        value = (weight * (np.logaddexp(0, eta) - wrong * eta)).sum()
        apart = (beta[1:] - prior) / sigma
        slack = weight * (p - wrong)
        gradient = np.concatenate([[slack.sum()], z.T @ slack + apart / sigma])
        return float(value + 0.5 * (apart**2).sum()), gradient

    share = np.clip(np.average(wrong, weights=weight), 0.02, 0.98)
    start = np.concatenate([[logit(share)], prior])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    beta: Array = found.x
    return RiskModel(
        intercept=float(beta[0]),
        weights={n: float(b) for n, b in zip(names, beta[1:], strict=True)},
        centers={n: float(c) for n, c in zip(names, center, strict=True) if c},
    )


def _platt(score: Array, wrong: Array, weight: Array) -> tuple[float, float]:
    """Slope and shift that calibrate scores, with a weak prior at slope 1 (Platt 1999)."""

    def loss(ab: Array) -> tuple[float, Array]:
        eta = ab[0] * score + ab[1]
        slack = weight * (expit(eta) - wrong)
        value = (weight * (np.logaddexp(0, eta) - wrong * eta)).sum() + 2 * (ab[0] - 1) ** 2
        return float(value), np.array([(slack * score).sum() + 4 * (ab[0] - 1), slack.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B")
    return max(0.05, float(found.x[0])), float(found.x[1])
