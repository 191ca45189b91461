"""Quick exact checks of every formula, run on the package and on copies with planted errors.

Each check takes `load`, which gives a module of the statistics (or of the sampler) by name, and
fails by AssertionError. None needs data or more than a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
from scipy import stats as oracle

Load = Callable[[str], Any]
CHECKS: list[Callable[[Load], None]] = []

Y = np.array([1.0, 0.0, 0.5, 1.0, 0.0, 1.0])
F = np.array([0.9, 0.3, 0.3, 0.2, 0.6, 0.8])
PI = np.array([0.9, 0.2, 0.5, 0.35, 0.6, 0.15])
ONE = np.ones(1)


def check(function: Callable[[Load], None]) -> Callable[[Load], None]:
    CHECKS.append(function)
    return function


def near(got: Any, wanted: Any, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


def zeros(n: int) -> np.ndarray:
    return np.zeros(n, dtype=np.intp)


@check
def horvitz_thompson(load: Load) -> None:
    weights = load("weights")
    first = second = variance = 0.0
    for bits in product([False, True], repeat=6):
        chosen = np.array(bits)
        chance = np.prod(np.where(chosen, PI, 1 - PI))
        got = weights.horvitz_thompson(Y[chosen], PI[chosen], 6)
        first += chance * got.value
        second += chance * got.value**2
        variance += chance * got.variance
    near(first, Y.mean())
    near(variance, second - first**2)


@check
def hajek_and_kish(load: Load) -> None:
    weights = load("weights")
    w = 1 / PI
    mean = (w @ Y) / w.sum()
    got = weights.hajek(Y, PI)
    near(got.value, mean)
    near(got.variance, 6 / 5 * ((1 - PI) * (w * (Y - mean)) ** 2).sum() / w.sum() ** 2)
    near(weights.effective_size(np.array([0.5, 0.1])), 144 / 104)
    near(weights.combined_probability(np.array([0.5]), np.array([0.2])), 0.6)


@check
def stratified_mean_and_variance(load: Load) -> None:
    moments, combine = load("moments"), load("combine")
    stratum = np.array([0, 0, 0, 1, 1, 1])
    share = np.array([0.7, 0.3])
    found = combine.combine(moments.gather(Y, PI, stratum, 2), share)
    value = variance = unit = satterthwaite = 0.0
    for h in (0, 1):
        y, pi = Y[stratum == h], PI[stratum == h]
        w = 1 / pi
        mean = (w @ y) / w.sum()
        a, u = (1 - pi) * w**2, w / w.sum()
        correction = a.sum() / (a * (1 - 2 * u + (u**2).sum())).sum()
        part = share[h] ** 2 * correction * (a * (y - mean) ** 2).sum() / w.sum() ** 2
        value += share[h] * mean
        variance += part
        satterthwaite += part**2 / 2
        unit += share[h] ** 2 * (w**2).sum() / w.sum() ** 2
    near((found.value, found.variance, found.unit), (value, variance, unit))
    near(found.df, variance**2 / satterthwaite)


@check
def difference_estimator(load: Load) -> None:
    moments, combine = load("moments"), load("combine")
    values, variances = [], []
    for sample in combinations(range(6), 4):
        i = np.array(sample)
        sums = moments.gather(Y[i], np.full(4, 4 / 6), zeros(4), 1, F[i])
        got = combine.combine(sums, ONE, np.array([F.mean()]), np.asarray(0.7))
        values.append(float(got.value))
        variances.append(float(got.variance) * float(got.df) / (float(got.df) + 1))
    near(np.mean(values), Y.mean())
    near(np.mean(variances), np.var(values))


@check
def tuned_weight(load: Load) -> None:
    moments, combine = load("moments"), load("combine")
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.5).astype(float)
    f = 0.5 * y + rng.normal(0, 0.3, 400)
    sums = moments.gather(y, np.full(400, 0.1), zeros(400), 1, f)
    slope = np.cov(y, f)[0, 1] / np.var(f, ddof=1)
    left = ((y - y.mean() - slope * (f - f.mean())) ** 2).sum()
    t2 = slope**2 * ((f - f.mean()) ** 2).sum() / (left / 398)
    near(combine.optimal_power(sums, ONE), slope * (1 - 1 / t2), 1e-6)
    noise = moments.gather(y, np.full(400, 0.1), zeros(400), 1, rng.random(400))
    assert abs(float(combine.optimal_power(noise, ONE))) < 0.1
    rare = moments.gather(np.r_[0.0, np.ones(399)], np.full(400, 0.1), zeros(400), 1, f)
    near(combine.optimal_power(rare, ONE), 0.0)


@check
def binomial_limits(load: Load) -> None:
    limits = load("limits")
    n, x = 30, np.arange(31)
    p = x / n
    args = (p, p * (1 - p) / n, np.full(31, 1 / n))
    plain = {"df": np.full(31, 29.0), "plain_df": np.full(31, 29.0), "level": 0.95}
    exact = limits.limits(*args, **plain, guard=1.0)
    near(exact.low[1:], oracle.beta.ppf(0.025, x[1:], n - x[1:] + 1), 1e-8)
    near(exact.high[:-1], oracle.beta.ppf(0.975, x[:-1] + 1, n - x[:-1]), 1e-8)
    got = limits.limits(*args, **plain)
    tail = 0.65 * oracle.binom.cdf(x[1:-1], n, got.high[1:-1])
    tail = tail + 0.35 * oracle.binom.cdf(x[1:-1] - 1, n, got.high[1:-1])
    near(tail, 0.025, 1e-7)
    some = tuple(np.asarray(v) for v in (0.3, 0.01, 0.05))
    few, many = (
        limits.limits(*some, df=np.asarray(df), plain_df=np.asarray(19.0), level=0.95)
        for df in (4.0, 19.0)
    )
    assert 1.15 < float((few.high - few.low) / (many.high - many.low)) < 1.5


@check
def intervals(load: Load) -> None:
    module = load("intervals")
    near(module.wilson(7, 50), (0.0695083, 0.2618619), 1e-6)
    near(module.clopper_pearson(7, 50), (0.0581917, 0.267396), 1e-6)
    near(module.clopper_pearson(0, 30), (0.0, 0.1157033), 1e-6)
    low, high = module.mid_p(7, 50)
    near(oracle.binom.sf(7, 50, low) + oracle.binom.pmf(7, 50, low) / 2, 0.025)
    near(oracle.binom.cdf(6, 50, high) + oracle.binom.pmf(7, 50, high) / 2, 0.025)
    low, _ = module.logit_t(0.9, 0.001, 30.0)
    near(np.log(low / (1 - low)), np.log(9) - oracle.t.ppf(0.975, 30) * 0.001**0.5 / 0.09)


@check
def clusters(load: Load) -> None:
    moments, combine, cluster = load("moments"), load("combine"), load("cluster")
    y = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    group = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    pi = np.full(8, 0.01)
    alone = combine.combine(moments.gather(y, pi, zeros(8), 1), ONE)
    z, u = cluster.linear_scores(y, pi, zeros(8), ONE)
    near((z.sum(), u.sum()), (0.0, 1.0))
    got = cluster.clustered(alone, z, u, group)
    totals = np.array([((y - y.mean()) * (group == c)).sum() / 8 for c in range(4)])
    near(got.variance, 4 / 3 * (totals**2).sum())
    weights = np.bincount(group) / 8
    alike = (weights**2).sum() * 8
    effect = float(got.variance) / ((y - y.mean()) ** 2 / 64).sum()
    similarity = min(max((effect - 1) / (alike - 1), 0), 1)
    drawn = (3 * similarity + 1) / 4
    near(got.unit, (1 + (alike - 1) * drawn) / 8)
    each = (1 - similarity) * weights / 8 + similarity * weights**2
    of_sizes = each.sum() ** 2 / (each**2).sum() - 1
    uneven = (totals**4).sum() - (totals**2).sum() ** 2 / 4
    near(got.df, min(of_sizes, 2 * (totals**2).sum() ** 2 / uneven))
    near(_freedom_of(cluster, [0.1, -0.1, 0.1, -0.1], [2, 2, 2, 2], 0.3), 3.0)
    near(_freedom_of(cluster, [0.1, -0.1, 0.1, -0.1], [1, 1, 2, 2], 1.0), 100 / 34 - 1)
    near(_freedom_of(cluster, [0.1, -0.1, 0.1, -0.1], [1, 1, 2, 2], 0.0), 36 / 10 - 1)
    near(
        _freedom_of(cluster, [0.3] + [-0.01] * 30, [1] * 31, 0.2),
        2 * 0.093**2 / (0.0081003 - 0.093**2 / 31),
    )


def _freedom_of(cluster: Any, totals: list[float], sizes: list[int], alike: float) -> float:
    """Degrees of freedom of clusters of so many rows, all of one weight."""
    weights = np.array(sizes) / sum(sizes)
    return float(cluster._freedom(np.array(totals), weights, weights / sum(sizes), alike))


@check
def calibration_is_cross_fitted(load: Load) -> None:
    calibrate = load("calibrate")
    rng = np.random.default_rng(1)
    values = np.linspace(0, 1, 60)
    y = (rng.random(60) < values).astype(float)
    bins = np.arange(60)
    one = calibrate.cross_fitted(y, np.ones(60), bins, values)
    for i in (3, 30, 57):
        other = y.copy()
        other[i] = 1 - other[i]
        got = calibrate.cross_fitted(other, np.ones(60), bins, values)
        near(got.sample[i], one.sample[i])
    assert (np.diff(one.by_bin) >= -1e-12).all()
    assert np.corrcoef(one.by_bin, values)[0, 1] > 0.8
    falling = calibrate.cross_fitted(1 - y, np.ones(60), bins, values)
    near(falling.by_bin, 1 - one.by_bin)


@check
def frame_counts(load: Load) -> None:
    frame = load("frame")
    cell = np.array([0, 0, 1, 1, 1])
    f = np.array([0.2, 0.4, 0.4, 0.9, 0.9])
    counted, bins = frame.frame_of(cell, np.array([2.0, 3.0]), f, np.ones(5))
    near(counted.mean_of(counted.bins), (0.3, 2.2 / 3))
    near(counted.share, (0.4, 0.6))
    near(counted.bins[bins], f)


@check
def published_prediction_powered_mean(load: Load) -> None:
    ppi = load("ppi")
    rng = np.random.default_rng(2)
    y, f = rng.random(80), rng.random(80)
    y = 0.5 * y + 0.5 * f
    rest = rng.random(900)
    spread = np.var(np.r_[f, rest], ddof=1)
    lam = ((y - y.mean()) * (f - f.mean())).mean() / ((1 + 80 / 900) * spread)
    got = ppi.ppi_mean(y, f, rest, 0.9)
    half = oracle.norm.ppf(0.95) * (lam**2 * rest.var() / 900 + (y - lam * f).var() / 80) ** 0.5
    near((got.power, got.value), (lam, lam * rest.mean() + (y - lam * f).mean()))
    near((got.low, got.high), (got.value - half, got.value + half))


@check
def response_rates(load: Load) -> None:
    response = load("response")
    pi = np.array([0.5] * 8 + [0.25] * 8)
    answered = np.array([True] * 6 + [False] * 2 + [True] * 5 + [False] * 3)
    got = response.respond(pi, answered, ["a"] * 8 + ["b"] * 8)
    near(np.nansum(1 / got.pi), (1 / pi).sum())
    near([got.rate["a"], got.rate["b"]], [0.75, 0.625])
    near(response.second_phase(np.array([0.5]), np.array([0.2])), 0.1)


@check
def betting(load: Load) -> None:
    sequence = load("sequence")
    rng = np.random.default_rng(3)
    excluded = 0
    for _ in range(60):
        y = (rng.random(300) < 0.3).astype(float)
        got = sequence.betting_sequence(y, 0.8, grid=100)
        excluded += bool((got.low > 0.3).any() or (got.high < 0.3).any())
    assert excluded <= 20
    assert float((got.high - got.low)[-1]) < 0.25
    near(sequence.betting_sequence(y[:50], 0.8, grid=100).low, got.low[:50])
    w = rng.uniform(0.5, 1.5, 300)
    fair = sequence.betting_sequence(y, 0.8, w, grid=100)
    assert abs(float(fair.low[-1]) - float(got.low[-1])) < 0.1


@check
def change_detectors(load: Load) -> None:
    change = load("change")
    x = np.array([1, 1, 0, 0, 1, 0, 0, 0, 1, 0], dtype=float)
    s, path = 0.0, []
    for value in x:
        s = max(0.0, s + (np.log(0.7 / 0.9) if value else np.log(0.3 / 0.1)))
        path.append(s)
    near(change.cusum(x, 0.9, 0.7, 50.0).statistic, np.array(path) / np.log(50))
    # e-SR: E[M_t] = t exactly while the mean is p0, over all 2^8 streams
    expected = np.zeros(8)
    for bits in product([0.0, 1.0], repeat=8):
        stream = np.array(bits)
        chance = np.prod(np.where(stream == 1, 0.8, 0.2))
        expected += chance * change.e_shiryaev_roberts(stream, 0.8, 1.0).statistic
    near(expected, np.arange(1, 9))
    found = change.locate_change(np.r_[np.ones(30), np.zeros(20)])
    assert (found.at, found.before, found.after) == (30, 1.0, 0.0)


@check
def survival(load: Load) -> None:
    module = load("survival")
    t = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35.0])
    d = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    curve = module.kaplan_meier(t, d)
    near(curve.at([6, 10, 23]), [0.8571, 0.7529, 0.4482], 5e-5)
    near((curve.low[0], curve.high[0]), (0.61972, 0.95155), 1e-4)
    assert curve.median == 23.0
    exact = module.turnbull(t, np.where(d, t, np.inf))
    near([exact.survival_at(a)[1] for a in curve.time], curve.survival, 1e-6)


@check
def agreement(load: Load) -> None:
    module = load("agreement")
    text = "1 1 * 1;2 2 3 2;3 3 3 3;3 3 3 3;2 2 2 2;1 2 3 4;4 4 4 4;1 1 2 1;2 2 2 2;* 5 5 5;* * 1 1;* * 3 *"
    four = np.array(
        [[int(v) - 1 if v.isdigit() else -1 for v in r.split()] for r in text.split(";")]
    )
    near(module.gwet_ac1(four, 5).value, 0.77544, 6e-6)
    near(module.krippendorff_alpha(four, 5).value, 0.74342, 6e-6)
    a, b = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 1, 1, 1, 0, 0])
    near(module.cohen_kappa(a, b, 2).value, 1 / 3)
    near(module.fleiss_kappa(np.column_stack([a, b]), 2).value, 1 / 3)
    left = [module.cohen_kappa(np.delete(a, i), np.delete(b, i), 2).value for i in range(6)]
    spread = 5 / 6 * ((np.array(left) - np.mean(left)) ** 2).sum()
    near(module.cohen_kappa(a, b, 2).low, max(-1, 1 / 3 - oracle.t.ppf(0.975, 5) * spread**0.5))


@check
def pairs(load: Load) -> None:
    paired = load("paired")
    near(paired.mcnemar(1, 9), 2 * oracle.binom.cdf(1, 10, 0.5))
    near(
        paired.mcnemar(1, 9, mid=True),
        2 * oracle.binom.cdf(1, 10, 0.5) - oracle.binom.pmf(1, 10, 0.5),
    )
    # 1/p is at most the running maximum of a martingale that starts at 1: exact mean 1 at any n
    expected = 0.0
    for bits in product([0.0, 1.0], repeat=7):
        a = np.array(bits)
        last = paired.always_valid_p(a, 1 - a)
        b, c = a.sum(), 7 - a.sum()
        from scipy.special import beta

        e = beta(b + 1, c + 1) * 2.0**7
        assert last[-1] <= min(1.0, 1 / e) + 1e-12
        expected += e / 2**7
    near(expected, 1.0)
    got = paired.paired_difference(np.r_[np.ones(8), np.zeros(2)], np.r_[np.ones(5), np.zeros(5)])
    near(got.estimate, 0.3)
    centre, squares = 3 / 12, (3 + 1) / 12
    half = oracle.t.ppf(0.975, 9) * ((squares - centre**2) / 12) ** 0.5
    near((got.low, got.high), (centre - half, centre + half))


@check
def ratios(load: Load) -> None:
    module = load("ratio")
    rng = np.random.default_rng(4)
    x = rng.choice([0.0, 0.5, 1.0], 60)
    y = x * (rng.random(60) < 0.4)
    pi = rng.uniform(0.1, 0.9, 60)
    got = module.ratio(y, x, pi=pi)
    w = 1 / pi
    value = (w @ y) / (w @ x)
    inside = x > 0
    z = (w * (y - value * x) / (w @ x))[inside]
    n = int(inside.sum())
    near(got.estimate, value)
    near(
        got.n_effective, value * (1 - value) / (n / (n - 1) * ((1 - pi[inside]) * z**2).sum()), 1e-6
    )


@check
def differences(load: Load) -> None:
    module = load("difference")
    gap = module.difference(module.benchmark_estimate(0.9, 100), module.benchmark_estimate(0.7, 50))
    one, two = module.benchmark_estimate(0.9, 100), module.benchmark_estimate(0.7, 50)
    near(gap.low, 0.2 - ((0.9 - one.low) ** 2 + (two.high - 0.7) ** 2) ** 0.5)
    near(gap.high, 0.2 + ((one.high - 0.9) ** 2 + (0.7 - two.low) ** 2) ** 0.5)


@check
def reviewer_errors(load: Load) -> None:
    module, difference = load("misclassification"), load("difference")
    near(module.error_from_doubles(18, 100).value, 0.1)
    error = module.ErrorRate(0.1, 0.05, 0.15, 100)
    got = module.corrected(difference.benchmark_estimate(0.74, 400), error, error)
    near(got.estimate, (0.74 + 0.9 - 1) / 0.8)
    assert got.high - got.low > 1 / 0.8 * 0.08


@check
def reviewer_quality(load: Load) -> None:
    module = load("dawid_skene")
    rng = np.random.default_rng(5)
    truth = (rng.random(1500) < 0.7).astype(int)
    item, reviewer = np.repeat(np.arange(1500), 3), np.tile(np.arange(3), 1500)
    wrong = rng.random(4500) < np.array([0.05, 0.1, 0.4])[reviewer]
    fit = module.dawid_skene(item, reviewer, truth[item] ^ wrong, 2)
    near([1 - c.diagonal().mean() for c in fit.confusion], [0.05, 0.1, 0.4], 0.07)
    near(fit.prevalence[1], truth.mean(), 0.05)


@check
def plans(load: Load) -> None:
    module, limits = load("plan"), load("limits")
    n = module.reviews_for_width(0.8, 0.05)
    low, high = limits.limits_of_count(0.8 * n, n)
    assert (high - low) / 2 <= 0.05
    low, high = limits.limits_of_count(0.8 * (n - 1), n - 1)
    assert (high - low) / 2 > 0.05
    near(module.reviews_for_drop(0.9, 0.1), 199, 1.0)  # statsmodels' power of two proportions: 199
    assert 30 < module.cusum_delay(0.9, 0.2, 1000.0).to_alarm < 60


@check
def many(load: Load) -> None:
    module, moments, combine = load("many"), load("moments"), load("combine")
    rng = np.random.default_rng(6)
    stratum, pi = rng.integers(0, 3, 90), rng.uniform(0.05, 0.5, 90)
    labels = (rng.random((2, 90)) < 0.5).astype(float)
    size = np.array([100.0, 700.0, 200.0])
    got = module.table(labels, pi, stratum, size)
    one = combine.combine(moments.gather(labels[1], pi, stratum, 3), size / size.sum())
    near(got.value[1], one.value)
    alone = combine.combine(
        moments.gather(labels[1][stratum == 1], pi[stratum == 1], zeros((stratum == 1).sum()), 1),
        ONE,
    )
    near(got.by_stratum.value[1, 1], alone.value)


@check
def whole_estimate(load: Load) -> None:
    estimate = load("estimate").estimate
    label = np.r_[np.ones(10), np.full(90, np.nan), np.zeros(10), np.full(290, np.nan)]
    got = estimate(label, stratum=np.r_[np.zeros(100), np.ones(300)])
    near((got.estimate, got.N, got.n), (0.25, 400, 20))
    weighted = estimate(
        np.r_[np.ones(20), np.zeros(20)], pi=np.r_[np.full(20, 0.5), np.full(20, 0.1)]
    )
    near((weighted.estimate, weighted.N), (40 / 240, 240))
    tight = estimate(np.r_[np.tile([0.0, 1.0], 40), np.full(20, np.nan)])
    loose = estimate(np.r_[np.tile([0.0, 1.0], 40), np.full(9000, np.nan)])
    assert (tight.high - tight.low) < 0.6 * (loose.high - loose.low)
    grouped = estimate(np.tile([0.0, 1.0], 20).repeat(5), cluster=np.arange(40).repeat(5))
    assert grouped.n_effective < 50


@check
def rows_of_many_units(load: Load) -> None:
    estimate = load("estimate").estimate
    rng = np.random.default_rng(4)
    f = rng.choice([0.2, 0.6, 0.9], 300)
    label = np.where(np.arange(300) < 100, (rng.random(300) < f).astype(float), np.nan)
    units = np.where(np.isnan(label), np.where(f > 0.5, 7, 1), 1)
    stratum = rng.integers(0, 2, 300)
    rows = np.repeat(np.arange(300), units)
    short = estimate(label, prediction=f, stratum=stratum, units=units)
    long = estimate(label[rows], prediction=f[rows], stratum=stratum[rows])
    near((short.estimate, short.low, short.N), (long.estimate, long.low, long.N))


@check
def head_sampling(load: Load) -> None:
    """All that was kept is reviewed: the variance of a share of n of N, (1 − n/N)·p·q/n."""
    head, estimate = load("head"), load("estimate").estimate
    y, rest = np.tile([0.0, 1.0], 40), {"units": np.full(80, 5.0), "size": 400.0}
    u, none = np.full(80, 1 / 80), np.zeros(80)
    near(head.head_variance(y, none, u, **rest), 0.8 * 0.25 / 80)
    near(head.head_variance(y, u * (y - 0.5), u, **rest), 0.0)
    alike = {"pi": np.full(80, 0.2), "units": rest["units"]}
    one, two = estimate(y, **alike), estimate(y, stratum=y, **alike)
    near((one.low, one.high, one.N), (two.low, two.high, two.N), 0.003)


@check
def draws(load: Load) -> None:
    priority, allocate = load("priority"), load("allocate")
    rng = np.random.default_rng(7)
    size = np.array([0.3, 0.65, 0.4, 0.5])
    y = np.array([1.0, 2.0, 0.0, 4.0])
    for k in (0.4, 1.0, 1.7):
        totals = []
        for _ in range(2500):
            got = priority.bottom_k(size, 1.0 - rng.random(4), k)
            totals.append((y / np.where(got.selected, got.probability, np.inf)).sum())
        assert abs(np.mean(totals) - 7.0) < 4 * np.std(totals) / 50, k
    near(
        list(allocate.allocate({"a": 1000, "b": 3000}, {"a": 0.4, "b": 0.2}, 100.0, 5.0).values()),
        [40, 60],
    )
    near(
        sum(allocate.allocate({"a": 10, "b": 3000}, {"a": 0.5, "b": 0.1}, 100.0, 20.0).values()),
        100.0,
    )
    weight = {"a": 0.4, "b": 0.4}
    beside = allocate.allocate_beside({"a": 800, "b": 200}, weight, 90.0, 2.0, {"b": 10.0})
    near(list(beside.values()), [80, 10])
    assert priority.hashed(b"a", "x", "t") != priority.hashed(b"b", "x", "t")
