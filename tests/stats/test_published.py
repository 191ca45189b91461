"""Numbers that others published, reproduced from their data (README of the data sets)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fidelity_otel.stats.agreement import fleiss_kappa, gwet_ac1, krippendorff_alpha
from fidelity_otel.stats.change import cusum, e_shiryaev_roberts
from fidelity_otel.stats.estimate import estimate
from fidelity_otel.stats.intervals import clopper_pearson, wilson
from fidelity_otel.stats.ppi import classical_mean, ppi_mean

sys.path.insert(0, str(Path(__file__).parent))
import published

N_LABELLED = 300


@pytest.mark.parametrize(
    ("threshold", "classical", "one", "tuned", "truth"),
    [
        (None, (0.45322, 0.53711), (0.43354, 0.51460), (0.44965, 0.51938), 0.47203),
        (0.5, (0.48931, 0.58402), (0.47053, 0.56061), (0.48494, 0.56608), 0.50980),
    ],
)
def test_frank_with_factcc(data_sets, *, threshold, classical, one, tuned, truth) -> None:
    d = published.frank(data_sets)
    y = d["y"] if threshold is None else (d["y"] >= threshold).astype(float)
    f = d["FactCC"]
    head, tail = slice(N_LABELLED), slice(N_LABELLED, None)
    assert y.mean() == pytest.approx(truth, abs=6e-6)
    for got, wanted in (
        (classical_mean(y[head], 0.9), classical),
        (ppi_mean(y[head], f[head], f[tail], 0.9, 1.0), one),
        (ppi_mean(y[head], f[head], f[tail], 0.9), tuned),
    ):
        assert (got.low, got.high) == pytest.approx(wanted, abs=6e-6)


def test_no_estimator_repairs_a_biased_sample_but_ours_says_so(data_sets) -> None:
    d = published.frank(data_sets)
    back = np.argsort(d["place"])
    y, f = d["y"][back], d["FactCC"][back]
    got = ppi_mean(y[:N_LABELLED], f[:N_LABELLED], f[N_LABELLED:], 0.9)
    assert (got.low, got.high) == pytest.approx((0.726, 0.778), abs=6e-4)
    label = np.where(np.arange(y.size) < N_LABELLED, y, np.nan)
    assert any("not representative" in w for w in estimate(label, prediction=f).warnings)


def test_frank_gain_over_random_review(data_sets) -> None:
    """Effective reviews per review at n = 300, over seeded repeats of the whole estimator."""
    d = published.frank(data_sets)
    y, rng = d["y"], np.random.default_rng(11)
    gain: dict[str, list[float]] = {"FactCC": [], "Rouge L": []}
    for _ in range(25):
        label = np.full(y.size, np.nan)
        chosen = rng.choice(y.size, N_LABELLED, replace=False)
        label[chosen] = y[chosen]
        plain = estimate(label, level=0.9)
        for metric, found in gain.items():
            got = estimate(label, prediction=d[metric], level=0.9)
            found.append(((plain.high - plain.low) / (got.high - got.low)) ** 2)
    assert np.mean(gain["FactCC"]) > 1.46
    assert 0.98 < np.mean(gain["Rouge L"]) < 1.15


def test_degradation_on_llmdrift(data_sets) -> None:
    march, june = published.llmdrift(data_sets)
    assert (march.mean(), june.mean()) == pytest.approx((0.84, 0.511))
    p0, rng = 0.84, np.random.default_rng(7)
    late, false, e_late, e_false = [], 0, [], 0
    for _ in range(60):
        x = np.concatenate([rng.permutation(march), rng.permutation(june)])
        first = cusum(x, p0, p0 - 0.1, 1000.0).first
        false += first < 1000
        late.append(first - 999)
        first = e_shiryaev_roberts(x[800:1200], p0, 1e5).first
        e_false += first < 200
        e_late.append(first - 199)
    assert np.median([d for d in late if d > 0]) <= 38
    assert false <= 3
    assert np.median(e_late) <= 35
    assert e_false <= 1


@pytest.mark.parametrize(
    ("x", "n", "exact", "score"),
    [
        (0, 30, (0, 0.1157), (0, 0.1135)),
        (7, 50, (0.0582, 0.2674), (0.0695, 0.2619)),
        (0, 300, (0, 0.01222), None),
    ],
)
def test_binomial_intervals(x, n, exact, score) -> None:
    assert tuple(clopper_pearson(x, n)) == pytest.approx(exact, abs=6e-5)
    if score:
        assert tuple(wilson(x, n)) == pytest.approx(score, abs=6e-5)


def codes(text: str) -> np.ndarray:
    return np.array(
        [[int(v) - 1 if v.isdigit() else -1 for v in row.split()] for row in text.split(";")]
    )


def test_krippendorff_documented_example() -> None:
    """The example of the `krippendorff` package's documentation."""
    reviewers = codes(
        "* * * * * 3 4 1 2 1 1 3 3 * 3;1 * 2 1 3 3 4 3 * * * * * * *;* * 2 1 3 4 4 * 2 1 1 3 3 * 4"
    )
    assert krippendorff_alpha(reviewers.T, 4).value == pytest.approx(0.69136, abs=5e-6)
    assert krippendorff_alpha(reviewers.T, 4, metric="interval").value == pytest.approx(
        0.81084, abs=6e-6
    )


def test_fleiss_textbook_table() -> None:
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    ratings = np.array([np.repeat(np.arange(5), row) for row in table])
    assert fleiss_kappa(ratings, 5).value == pytest.approx(0.20993, abs=5e-6)


def test_gwet_four_raters() -> None:
    ratings = codes(
        "1 1 * 1;2 2 3 2;3 3 3 3;3 3 3 3;2 2 2 2;1 2 3 4;4 4 4 4;1 1 2 1;2 2 2 2;* 5 5 5;* * 1 1;* * 3 *"
    )
    assert gwet_ac1(ratings, 5).value == pytest.approx(0.77544, abs=6e-6)
    assert krippendorff_alpha(ratings, 5).value == pytest.approx(0.74342, abs=6e-6)
