"""Agreement with independent libraries, which only the tests need."""

from __future__ import annotations

import datasketches
import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_leukemia
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as sm_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as sm_fleiss
from statsmodels.stats.proportion import proportion_confint

from fidelity_otel.processor.sample import bottom_k
from fidelity_otel.stats.agreement import cohen_kappa, fleiss_kappa
from fidelity_otel.stats.intervals import clopper_pearson, logit_t, mid_p, wilson
from fidelity_otel.stats.paired import mcnemar
from fidelity_otel.stats.survival import kaplan_meier, turnbull

COUNTS = [(0, 20), (1, 20), (7, 50), (50, 50), (199, 200), (500, 1000)]


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("x", "n"), COUNTS)
def test_wilson_and_clopper_pearson_against_statsmodels(x: int, n: int, level: float) -> None:
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "beta")):
        low, high = proportion_confint(x, n, 1 - level, method)
        got = ours(x, n, level)
        assert (float(got.low), float(got.high)) == pytest.approx(
            (np.nan_to_num(low), high), abs=1e-9
        )


@pytest.mark.parametrize(("x", "n"), COUNTS)
def test_mid_p_solves_its_equation(x: int, n: int) -> None:
    low, high = (float(b) for b in mid_p(x, n))
    if x > 0:
        assert stats.binom.sf(x, n, low) + stats.binom.pmf(x, n, low) / 2 == pytest.approx(
            0.025, abs=1e-9
        )
    if x < n:
        assert stats.binom.cdf(x - 1, n, high) + stats.binom.pmf(x, n, high) / 2 == pytest.approx(
            0.025, abs=1e-9
        )


def test_logit_t_is_symmetric_on_its_scale() -> None:
    low, high = (float(b) for b in logit_t(0.9, 0.001, 30.0))
    half = stats.t.ppf(0.975, 30) * 0.001**0.5 / 0.09
    assert np.log(high / (1 - high)) == pytest.approx(np.log(9) + half)
    assert np.log(low / (1 - low)) == pytest.approx(np.log(9) - half)
    assert np.isnan(logit_t(1.0, 0.0, 5.0).low)


def test_kappas_against_statsmodels() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 200)
    b = np.where(rng.random(200) < 0.7, a, rng.integers(0, 3, 200))
    table = np.zeros((3, 3))
    np.add.at(table, (a, b), 1)
    oracle = cohens_kappa(table)
    got = cohen_kappa(a, b, 3)
    assert got.value == pytest.approx(oracle.kappa)
    assert (got.low, got.high) == pytest.approx((oracle.kappa_low, oracle.kappa_upp), abs=0.01)
    ratings = np.column_stack([a, b, rng.integers(0, 3, 200)])
    counts = np.stack([(ratings == c).sum(axis=1) for c in range(3)], axis=1)
    assert fleiss_kappa(ratings, 3).value == pytest.approx(sm_fleiss(counts))


def test_kaplan_meier_against_lifelines() -> None:
    data = load_leukemia()
    for arm, medians in ((0, 23.0), (1, 8.0)):
        mine = data[data.Rx == arm]
        fit = KaplanMeierFitter().fit(mine.t, mine.status)
        got = kaplan_meier(mine.t.to_numpy(float), mine.status.to_numpy(bool))
        limits = fit.confidence_interval_.loc[got.time].to_numpy()
        assert got.survival == pytest.approx(fit.survival_function_.loc[got.time].to_numpy()[:, 0])
        inner = got.survival > 0
        assert got.low[inner] == pytest.approx(limits[inner, 0], abs=1e-9)
        assert got.high[inner] == pytest.approx(limits[inner, 1], abs=1e-9)
        assert got.median == medians
    six = kaplan_meier(
        data.t[data.Rx == 0].to_numpy(float), data.status[data.Rx == 0].to_numpy(bool)
    )
    assert six.at([6, 10, 23]) == pytest.approx([0.8571, 0.7529, 0.4482], abs=5e-5)
    assert float(six.at(0.5)) == 1.0


def test_turnbull_against_lifelines_and_kaplan_meier() -> None:
    rng = np.random.default_rng(2)
    low = np.round(rng.uniform(0, 8, 40), 3)  # no ties: lifelines closes intervals on both sides
    high = np.where(rng.random(40) < 0.2, np.inf, np.round(low + rng.uniform(0.5, 4, 40), 3))
    fit = KaplanMeierFitter().fit_interval_censoring(low, high, tol=1e-9)
    got = turnbull(low, high)
    assert got.mass.sum() == pytest.approx(1.0)
    for a, b in zip(got.low, got.high, strict=True):
        if np.isfinite(b):
            oracle = fit.survival_function_.loc[:b].iloc[-1].to_numpy()
            least, most = got.survival_at(b)
            assert least - 2e-3 <= oracle.min() <= most + 2e-3, (a, b)
    # checks at common ages: nobody seen to fail within the first interval, half in the second
    grid = turnbull(np.array([0.0, 2.0, 2.0, 4.0]), np.array([4.0, 4.0, 4.0, np.inf]))
    assert grid.survival_at(2.0) == pytest.approx((1.0, 1.0), abs=1e-6)
    assert grid.survival_at(4.0) == pytest.approx((0.25, 0.25), abs=1e-6)
    # exact times and right censoring: Turnbull is Kaplan–Meier
    time = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    failed = np.array([True, False, True, True, False])
    exact = turnbull(time, np.where(failed, time, np.inf))
    curve = kaplan_meier(time, failed)
    for t, s in zip(curve.time, curve.survival, strict=True):
        assert exact.survival_at(t)[1] == pytest.approx(s, abs=1e-6)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 0), (1, 9), (12, 12), (40, 22)])
def test_mcnemar_against_statsmodels(b: int, c: int) -> None:
    oracle = sm_mcnemar([[5, b], [c, 7]], exact=True).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(oracle)
    assert mcnemar(b, c, mid=True) <= mcnemar(b, c)


def test_priority_sampling_is_about_as_good_as_varopt() -> None:
    """Subset sums: as unbiased as `datasketches`' VarOpt, with at most a little more spread."""
    rng = np.random.default_rng(4)
    size = rng.uniform(0.3, 0.65, 300)
    mine, theirs, truth = [], [], size[:60].sum()
    for _ in range(300):
        drawn = bottom_k(size, 1.0 - rng.random(300), 40)
        weight = np.where(drawn.selected, size / drawn.probability, 0.0)
        mine.append(weight[:60].sum())
        sketch = datasketches.var_opt_sketch(40)
        for i, s in enumerate(size):
            sketch.update(i, s)
        theirs.append(sketch.estimate_subset_sum(lambda i: i < 60)["estimate"])
    assert np.mean(mine) == pytest.approx(truth, rel=4 * np.std(mine) / truth / 300**0.5)
    assert np.mean(theirs) == pytest.approx(truth, rel=4 * np.std(theirs) / truth / 300**0.5)
    assert np.std(mine) < 1.35 * np.std(theirs)
