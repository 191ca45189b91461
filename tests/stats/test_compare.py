"""Ratios, differences, pairs, reviewers: figures made of more than one mean."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.agreement import cohen_kappa, gwet_ac1, krippendorff_alpha
from fidelity_otel.stats.dawid_skene import dawid_skene
from fidelity_otel.stats.difference import benchmark_estimate, difference
from fidelity_otel.stats.estimate import estimate
from fidelity_otel.stats.many import table
from fidelity_otel.stats.misclassification import ErrorRate, corrected, error_from_doubles
from fidelity_otel.stats.paired import always_valid_p, mcnemar, order_effect, paired_difference
from fidelity_otel.stats.plan import reviews_for_drop, reviews_for_width, width_of
from fidelity_otel.stats.ratio import ratio

sys.path.insert(0, str(Path(__file__).parent))
import published

NAN = float("nan")


# --- ratios ------------------------------------------------------------------------------------


def test_ratio_of_equal_weights_is_the_domain_mean() -> None:
    inside = np.array([1.0] * 40 + [0.0] * 60)
    top = np.array([1.0] * 10 + [0.0] * 90)
    got = ratio(top, inside)
    alone = estimate(top[:40])
    assert (got.n, got.estimate) == (40, 0.25)
    assert (got.low, got.high) == pytest.approx((alone.low, alone.high), abs=1e-6)


def test_ratio_covers_under_unequal_weights_and_clusters() -> None:
    rng = np.random.default_rng(2)
    hits = grouped_hits = 0
    for _ in range(300):
        cluster = np.repeat(np.arange(60), 4)
        common = rng.random(60)[cluster] < 0.5
        bottom = (rng.random(240) < 0.7).astype(float)
        grouped = bottom * np.where(rng.random(240) < 0.6, common, rng.random(240) < 0.5)
        pi = rng.uniform(0.05, 0.3, 240)
        own = ratio(bottom * (rng.random(240) < 0.3), bottom, pi=pi)
        hits += own.low <= 0.3 <= own.high
        got = ratio(grouped, bottom, cluster=cluster)
        grouped_hits += got.low <= 0.5 <= got.high
    assert hits >= 276  # 92% of 300: nominal 95%
    assert grouped_hits >= 276


def test_ratio_refuses_and_abstains() -> None:
    with pytest.raises(DesignError, match="top ≤ bottom"):
        ratio([1.0], [0.0])
    few = ratio([1.0, 0.0], [1.0, 1.0])
    assert few.estimate is None
    assert "insufficient data: 2 reviewed" in few.warnings[0]


# --- differences -------------------------------------------------------------------------------


def test_difference_to_a_benchmark_and_between_releases() -> None:
    production = estimate([1.0] * 156 + [0.0] * 44)
    benchmark = benchmark_estimate(0.92, 500)
    gap = difference(benchmark, production)
    assert gap.estimate == pytest.approx(0.14)
    assert gap.low < 0.14 < gap.high
    fixed = difference(benchmark_estimate(0.92), production)
    assert fixed.high - fixed.low < gap.high - gap.low
    assert any("taken as exact" in w for w in fixed.warnings)
    none = difference(production, estimate([1.0]))
    assert none.estimate is None
    with pytest.raises(DesignError, match="levels differ"):
        difference(production, estimate([1.0] * 20, level=0.9))
    with pytest.raises(DesignError, match="score"):
        benchmark_estimate(1.2)


def test_difference_covers() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        a, b = estimate(1.0 * (rng.random(60) < 0.97)), estimate(1.0 * (rng.random(80) < 0.9))
        gap = difference(a, b)
        hits += gap.low <= 0.07 <= gap.high
    assert hits >= 372


# --- pairs -------------------------------------------------------------------------------------


def test_paired_difference_covers_and_uses_the_pairing() -> None:
    rng = np.random.default_rng(6)
    hits, widths, loose = 0, [], []
    for _ in range(400):
        hard = rng.random(80)
        a, b = 1.0 * (hard < 0.8), 1.0 * (hard < 0.7)
        got = paired_difference(a, b)
        hits += got.low <= 0.1 <= got.high
        widths.append(got.high - got.low)
        gap = difference(estimate(a), estimate(b))
        loose.append(gap.high - gap.low)
    assert hits >= 372
    assert np.mean(widths) < 0.7 * np.mean(loose)


def test_always_valid_p_may_be_looked_at_every_time() -> None:
    rng = np.random.default_rng(7)
    false = np.mean(
        [
            always_valid_p(1.0 * (rng.random(500) < 0.5), 1.0 * (rng.random(500) < 0.5)).min()
            < 0.05
            for _ in range(400)
        ]
    )
    assert false <= 0.07
    seen = always_valid_p(1.0 * (rng.random(500) < 0.8), 1.0 * (rng.random(500) < 0.6))
    assert seen[-1] < 0.001
    assert (np.diff(seen) <= 0).all()
    assert always_valid_p(np.ones(5), np.ones(5)) == pytest.approx(np.ones(5))


def test_order_effect() -> None:
    got = order_effect(np.array([True] * 30 + [False] * 10), np.array([False] * 30 + [True] * 10))
    assert (got.advantage, got.n) == (0.5, 40)
    assert got.p_value == mcnemar(30, 10) < 0.01


def test_weights_enter_pairs() -> None:
    a, b = np.array([1.0, 1.0, 0.0, 0.0] * 10), np.array([0.0, 1.0, 1.0, 0.0] * 10)
    w = np.array([3.0, 1.0, 1.0, 1.0] * 10)
    assert paired_difference(a, b).estimate == pytest.approx(0.0)
    assert paired_difference(a, b, weight=w).estimate == pytest.approx(2 / 6)
    with pytest.raises(DesignError):
        paired_difference(a, b[:3])


# --- reviewers ---------------------------------------------------------------------------------


def test_double_reviews_give_back_the_error_and_the_truth() -> None:
    rng = np.random.default_rng(9)
    truth = rng.random(40_000) < 0.8
    first, second = (truth ^ (rng.random(40_000) < 0.1) for _ in range(2))
    error = error_from_doubles(int((first != second).sum()), 40_000)
    assert error.low < 0.1 < error.high
    apparent = estimate(first.astype(float))
    assert apparent.estimate == pytest.approx(0.74, abs=0.01)
    got = corrected(apparent, error, error)
    assert got.low < 0.8 < got.high
    assert got.estimate == pytest.approx(0.8, abs=0.01)
    with pytest.raises(DesignError, match="better than chance"):
        corrected(apparent, ErrorRate(0.5, 0.4, 0.6, 10), ErrorRate(0.45, 0.4, 0.6, 10))
    cut = corrected(estimate([1.0] * 50), ErrorRate(0.2, 0.1, 0.3, 50), ErrorRate(0.0, 0, 0, 50))
    assert cut.estimate == 1.0
    assert any("outside" in w for w in cut.warnings)
    assert corrected(estimate([1.0]), error, error).estimate is None
    with pytest.raises(DesignError, match="pairs"):
        error_from_doubles(3, 2)


def test_rogan_gladen_identity(data_sets) -> None:
    """FRANK: FactCC ≥ .5 as the judge; with its true error rates the correction is exact."""
    d = published.frank(data_sets)
    truth, judge = d["y"] >= 0.5, d["FactCC"] >= 0.5
    se, sp = judge[truth].mean(), (~judge)[~truth].mean()
    assert (judge.mean(), se, sp) == pytest.approx((0.5450, 0.8314, 0.7530), abs=6e-5)
    exact = (ErrorRate(1 - p, 1 - p, 1 - p, 1) for p in (se, sp))
    got = corrected(estimate(judge.astype(float)), *exact)
    assert got.estimate == pytest.approx(truth.mean(), abs=1e-12)


def test_agreement_limits_cover_and_degenerate_cases_say_so() -> None:
    rng = np.random.default_rng(10)
    hits = 0
    for _ in range(200):
        truth = rng.random(150) < 0.5
        a, b = ((truth ^ (rng.random(150) < 0.1)).astype(int) for _ in range(2))
        got = cohen_kappa(a, b, 2)
        hits += got.low <= 0.64 <= got.high  # 1 − 2·(.18)
    assert hits >= 184
    same = np.zeros((9, 2), dtype=int)
    assert np.isnan(cohen_kappa(same[:, 0], same[:, 1], 2).value)
    assert gwet_ac1(same, 2).value == pytest.approx(1.0)
    assert np.isnan(krippendorff_alpha(same, 2).value)
    with pytest.raises(DesignError, match="ratings"):
        gwet_ac1(np.array([[0, 5]]), 2)


def test_weights_count_as_copies_in_agreement() -> None:
    rng = np.random.default_rng(12)
    a, b = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    copies = rng.integers(1, 4, 50)
    weighted = cohen_kappa(a, b, 3, weight=copies.astype(float))
    repeated = cohen_kappa(np.repeat(a, copies), np.repeat(b, copies), 3)
    assert weighted.value == pytest.approx(repeated.value)
    pairs = np.column_stack([a, b])
    assert gwet_ac1(pairs, 3, weight=copies.astype(float)).value == pytest.approx(
        gwet_ac1(np.repeat(pairs, copies, axis=0), 3).value
    )


def test_dawid_skene_finds_the_bad_reviewer() -> None:
    rng = np.random.default_rng(13)
    truth = (rng.random(800) < 0.7).astype(int)
    item = np.repeat(np.arange(800), 4)
    reviewer = np.tile(np.arange(4), 800)
    wrong = rng.random(3200) < np.array([0.05, 0.1, 0.1, 0.45])[reviewer]
    fit = dawid_skene(item, reviewer, truth[item] ^ wrong, 2)
    errors = 1 - np.array([np.diag(c).mean() for c in fit.confusion])
    assert errors == pytest.approx([0.05, 0.1, 0.1, 0.45], abs=0.05)
    assert fit.prevalence[1] == pytest.approx(truth.mean(), abs=0.03)
    assert (fit.posterior.argmax(axis=1) == truth).mean() > 0.93
    assert fit.confusion.sum(axis=2) == pytest.approx(np.ones((4, 2)))


def test_dawid_skene_on_published_votes(data_sets) -> None:
    """AdultContent2: better than the majority where it differs, on items with gold."""
    items, reviewers, labels, gold = published.votes(data_sets)
    rows = np.isin(items, list(gold))
    names, item = np.unique(items[rows], return_inverse=True)
    _, reviewer = np.unique(reviewers[rows], return_inverse=True)
    categories, said = np.unique(labels[rows], return_inverse=True)
    fit = dawid_skene(item, reviewer, said, categories.size, smoothing=0.01, most=60)
    truth = np.searchsorted(categories, [gold[n] for n in names])
    count = np.zeros((names.size, categories.size))
    np.add.at(count, (item, said), 1)
    mine = (fit.posterior.argmax(axis=1) == truth).mean()
    majority = (count.argmax(axis=1) == truth).mean()
    assert mine > 0.7
    assert mine > majority - 0.02


# --- many at once ------------------------------------------------------------------------------


def test_table_equals_one_by_one() -> None:
    rng = np.random.default_rng(14)
    stratum = rng.integers(0, 4, 300)
    size = np.array([4000.0, 900.0, 100.0, 5000.0])
    pi = rng.uniform(0.02, 0.4, 300)
    labels = (rng.random((3, 300)) < np.array([[0.9], [0.2], [0.0]])).astype(float)
    got = table(labels, pi, stratum, size)
    frame = np.repeat(np.arange(4), size.astype(int))
    place = np.concatenate([np.flatnonzero(frame == h)[: (stratum == h).sum()] for h in range(4)])
    order = np.argsort(stratum, kind="stable")
    for row in range(3):
        label, p = np.full(10_000, NAN), np.full(10_000, NAN)
        label[place], p[place] = labels[row][order], pi[order]
        one = estimate(label, pi=p, stratum=frame)
        assert got.value[row] == pytest.approx(one.estimate)
        assert got.high[row] == pytest.approx(one.high, abs=1e-6)
        assert got.low[row] == pytest.approx(one.low, abs=1e-6)
    alone = estimate(labels[0][stratum == 2], pi=pi[stratum == 2])
    assert got.by_stratum is not None
    assert got.by_stratum.value[0, 2] == pytest.approx(alone.estimate)
    assert got.by_stratum.low[0, 2] == pytest.approx(alone.low, abs=1e-6)
    few = table(labels[:, :5], pi[:5], stratum[:5], size)
    assert np.isnan(few.value).all()
    with pytest.raises(DesignError):
        table(labels, pi[:5], stratum, size)


# --- plans -------------------------------------------------------------------------------------


def test_plans_hold() -> None:
    n = reviews_for_width(0.9, 0.03)
    assert width_of(0.9, n) <= 0.03 < width_of(0.9, n - 1)
    assert reviews_for_width(0.9, 0.03, frame=500) < n
    assert reviews_for_width(0.9, 0.03, gain=2.0) == pytest.approx(n / 2, abs=1)
    rng, seen = np.random.default_rng(15), 0
    m = reviews_for_drop(0.9, 0.1)
    for _ in range(300):
        a, b = estimate(1.0 * (rng.random(m) < 0.9)), estimate(1.0 * (rng.random(m) < 0.8))
        seen += difference(a, b).low > 0
    assert 0.72 < seen / 300 < 0.88
    for wrong in (lambda: reviews_for_width(1.0, 0.1), lambda: reviews_for_drop(0.1, 0.2)):
        with pytest.raises(DesignError):
            wrong()
