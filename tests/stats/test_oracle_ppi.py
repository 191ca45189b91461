"""Prediction-powered means against `ppi-python` (MIT), by the authors of the papers.

The plain functions of `stats/ppi.py` are the papers' own, so they agree to rounding: 1e-9. What the
product shows is `estimate`, which differs on purpose: predictions are calibrated by cross-fitting, λ
is found in folds, the frame is finite, and the interval is Student's t on the logit scale. Where none
of that matters much (a calibrated predictor, 500 labels or more, a large frame, a mean away from 0
and 1) the point may differ by a fifth of the oracle's half-width, the width by a tenth.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from fidelity_otel.stats.estimate import estimate
from fidelity_otel.stats.ppi import classical_mean, ppi_mean

with warnings.catch_warnings():  # its import says simplefilter("ignore") for the whole process
    import ppi_py
    from ppi_py.baselines import classical_mean_ci

sys.path.insert(0, str(Path(__file__).parent))
import published

ROUNDING = 1e-9
PREDICTORS = ("useful", "useless", "perfect", "reversed", "badly scaled")
SIZES = [(20, 60), (100, 100), (100, 20_000), (1000, 500), (2000, 40_000)]


def world(predictor: str, n: int, N: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of n rows, their predictions, and the predictions of N others."""
    rng = np.random.default_rng(PREDICTORS.index(predictor) + 100 * n)
    chance = rng.beta(3.0, 1.0, n + N)
    y = (rng.random(n + N) < chance).astype(float)
    f = {
        "useful": chance,
        "useless": rng.random(n + N),
        "perfect": y,
        "reversed": 1.0 - chance,
        "badly scaled": 0.05 + 0.1 * chance,
    }[predictor]
    return y[:n], f[:n], f[n:]


def power_of(y: np.ndarray, f: np.ndarray, rest: np.ndarray) -> float:
    """The oracle's λ, which it keeps to itself, from the point it moves: ȳ + λ·(mean rest − mean f)."""
    point = float(np.squeeze(ppi_py.ppi_mean_pointestimate(y, f, rest)))
    return (point - y.mean()) / (rest.mean() - f.mean())


def both_agree(y: np.ndarray, f: np.ndarray, rest: np.ndarray, level: float) -> None:
    for power in (None, 0.0, 0.3, 1.0):
        ours = ppi_mean(y, f, rest, level, power)
        low, high = ppi_py.ppi_mean_ci(y, f, rest, alpha=1 - level, lam=power)
        point = ppi_py.ppi_mean_pointestimate(y, f, rest, lam=power)
        theirs = np.r_[np.ravel(point), np.ravel(low), np.ravel(high)]
        assert (ours.value, ours.low, ours.high) == pytest.approx(theirs, abs=ROUNDING), power
    tuned = ppi_mean(y, f, rest, level)
    assert tuned.power == pytest.approx(power_of(y, f, rest), abs=1e-7)
    plain = classical_mean(y, level)
    low, high = classical_mean_ci(y, alpha=1 - level)
    assert (plain.low, plain.high) == pytest.approx((low, high), abs=ROUNDING)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("n", "N"), SIZES)
@pytest.mark.parametrize("predictor", PREDICTORS)
def test_points_powers_and_intervals_against_ppi_python(
    predictor: str, n: int, N: int, level: float
) -> None:
    y, f, rest = world(predictor, n, N)
    both_agree(y, f, rest, level)


def test_the_worlds_reach_both_ends_of_the_power() -> None:
    """Else the comparison above would never see λ clipped."""
    powers = {p: ppi_mean(*world(p, 2000, 40_000)).power for p in PREDICTORS}
    assert powers["reversed"] == 0.0
    assert powers["badly scaled"] == 1.0
    assert powers["useless"] < 0.1
    assert 0.5 < powers["useful"] < 1.0
    assert powers["perfect"] == pytest.approx(1 / 1.05, abs=0.05)


@pytest.mark.data
@pytest.mark.parametrize("metric", ["FactCC", "QAGS", "FEQA", "Rouge L"])
@pytest.mark.parametrize("n", [50, 300, 1000])
def test_frank_against_ppi_python(data_sets, metric: str, n: int) -> None:
    d = published.frank(data_sets)
    known = ~np.isnan(d[metric])
    y, f = d["y"][known], d[metric][known]
    both_agree(y[:n], f[:n], f[n:], 0.9)


@pytest.mark.parametrize(("n", "N"), [(500, 20_000), (2000, 40_000)])
@pytest.mark.parametrize("predictor", ["useful", "useless"])
def test_what_the_product_shows_is_near_the_oracle(predictor: str, n: int, N: int) -> None:
    y, f, rest = world(predictor, n, N)
    point = float(np.squeeze(ppi_py.ppi_mean_pointestimate(y, f, rest)))
    low, high = (float(np.squeeze(b)) for b in ppi_py.ppi_mean_ci(y, f, rest, alpha=0.05))
    shown = estimate(np.r_[y, np.full(N, np.nan)], prediction=np.r_[f, rest], level=0.95)
    assert shown.estimate == pytest.approx(point, abs=(high - low) / 2 / 5)
    assert shown.high - shown.low == pytest.approx(high - low, rel=0.1)
