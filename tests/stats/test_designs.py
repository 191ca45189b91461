"""Designs enumerated in full: what is called unbiased is so exactly, not on average of luck."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from fidelity_otel.stats.combine import combine, kish_unit
from fidelity_otel.stats.estimate import estimate
from fidelity_otel.stats.moments import gather
from fidelity_otel.stats.response import respond, second_phase
from fidelity_otel.stats.weights import (
    combined_probability,
    effective_size,
    hajek,
    horvitz_thompson,
)

Y = np.array([1.0, 0.0, 0.5, 1.0, 0.0, 1.0, 1.0])
PI = np.array([0.9, 0.2, 0.5, 0.35, 0.6, 0.15, 1.0])
N = Y.size


def every_poisson_sample(pi: np.ndarray):
    """All subsets with their probability under independent choices."""
    for bits in product([False, True], repeat=pi.size):
        chosen = np.array(bits)
        chance = float(np.prod(np.where(chosen, pi, 1 - pi)))
        if chance > 0:
            yield chosen, chance


def test_horvitz_thompson_and_its_variance_are_unbiased() -> None:
    mean = variance = square = 0.0
    for chosen, chance in every_poisson_sample(PI):
        got = horvitz_thompson(Y[chosen], PI[chosen], N)
        mean += chance * got.value
        square += chance * got.value**2
        variance += chance * got.variance
    assert mean == pytest.approx(Y.mean(), abs=1e-12)
    assert variance == pytest.approx(square - mean**2, abs=1e-12)


def test_simple_random_sampling_variance_is_unbiased() -> None:
    """(1−f)s²/n over all samples of 3 from 7 is the variance of the mean."""
    values, variances = [], []
    for sample in combinations(range(N), 3):
        i = np.array(sample)
        moments = gather(Y[i], np.full(3, 3 / N), np.zeros(3, dtype=np.intp), 1)
        got = combine(moments, np.ones(1))
        values.append(float(got.value))
        variances.append(float(got.variance))
    assert np.mean(values) == pytest.approx(Y.mean(), abs=1e-12)
    assert np.mean(variances) == pytest.approx(np.var(values), abs=1e-12)


def test_difference_estimator_is_unbiased_for_any_fixed_weight() -> None:
    f = np.array([0.9, 0.3, 0.3, 0.2, 0.6, 0.8, 0.7])
    for power in (0.0, 0.5, 1.0, -2.0):
        values, variances = [], []
        for sample in combinations(range(N), 4):
            i = np.array(sample)
            moments = gather(Y[i], np.full(4, 4 / N), np.zeros(4, dtype=np.intp), 1, f[i])
            got = combine(moments, np.ones(1), np.array([f.mean()]), np.asarray(power))
            values.append(float(got.value))
            variances.append(
                float(got.variance) * (float(got.df) / (float(got.df) + 1) if power else 1.0)
            )
        assert np.mean(values) == pytest.approx(Y.mean(), abs=1e-12)
        assert np.mean(variances) == pytest.approx(np.var(values), abs=1e-12)


def test_two_arms_are_one_design() -> None:
    """HT with π = 1 − ∏(1 − π_a) over all outcomes of two independent arms."""
    other = np.array([0.0, 0.5, 0.1, 0.0, 0.9, 0.3, 0.0])
    pi = combined_probability(PI, other)
    mean = 0.0
    for first, p1 in every_poisson_sample(PI):
        for second, p2 in every_poisson_sample(other):
            chosen = first | second
            mean += p1 * p2 * horvitz_thompson(Y[chosen], pi[chosen], N).value
    assert mean == pytest.approx(Y.mean(), abs=1e-12)


def test_two_phases_are_one_design() -> None:
    again = np.array([0.5, 0.5, 1.0, 0.3, 0.7, 0.9, 0.4])
    mean = 0.0
    for first, p1 in every_poisson_sample(PI):
        if not first.any():
            continue
        for second, p2 in every_poisson_sample(again[first]):
            i = np.flatnonzero(first)[second]
            mean += p1 * p2 * horvitz_thompson(Y[i], second_phase(PI, again)[i], N).value
    assert mean == pytest.approx(Y.mean(), abs=1e-12)


def test_hajek_is_a_weighted_mean() -> None:
    got = hajek(Y[:3], PI[:3])
    w = 1 / PI[:3]
    z = w * (Y[:3] - got.value)
    assert got.value == pytest.approx((w @ Y[:3]) / w.sum())
    assert got.variance == pytest.approx(1.5 * ((1 - PI[:3]) * z**2).sum() / w.sum() ** 2)
    assert np.isnan(hajek(Y[:1], PI[:1]).variance)


def test_effective_size() -> None:
    assert effective_size(np.full(9, 0.3)) == pytest.approx(9)
    assert effective_size(np.array([0.5, 0.1])) == pytest.approx(144 / 104)
    moments = gather(Y, PI, np.zeros(N, dtype=np.intp), 1)
    assert 1 / float(kish_unit(moments, np.ones(1))) == pytest.approx(effective_size(PI))


def test_sums_add_up_over_replicas() -> None:
    cell = np.array([0, 1, 0, 1, 1, 0, 2])
    whole = gather(Y, PI, cell, 3, PI)
    parts = gather(Y[:4], PI[:4], cell[:4], 3, PI[:4]) + gather(Y[4:], PI[4:], cell[4:], 3, PI[4:])
    for a, b in zip(whole, parts, strict=True):
        assert a == pytest.approx(b)


def test_nonresponse_is_reweighted_within_its_class() -> None:
    pi = np.array([0.5] * 8 + [0.25] * 8)
    group = ["a"] * 8 + ["b"] * 8
    answered = np.array([True] * 6 + [False] * 2 + [True] * 5 + [False] * 3)
    got = respond(pi, answered, group)
    assert got.rate == pytest.approx({"a": 0.75, "b": 0.625})
    assert np.nansum(1 / got.pi) == pytest.approx((1 / pi).sum())
    assert np.isnan(got.pi[~answered]).all()
    joined = respond(pi, np.array([True] * 8 + [True] + [False] * 7), group)
    assert list(joined.rate) == ["b + a"]
    assert np.nansum(1 / joined.pi) == pytest.approx((1 / pi).sum())


def test_nonresponse_that_depends_on_the_class_does_not_bias() -> None:
    """One class answers half as often and is worse: unadjusted is biased, adjusted is not."""
    rng = np.random.default_rng(8)
    y = np.r_[np.zeros(400), np.ones(600)]
    stratum = np.r_[np.zeros(400, int), np.ones(600, int)]
    plain, adjusted = [], []
    for _ in range(150):
        asked = rng.random(1000) < 0.3
        answered = asked & (rng.random(1000) < np.where(stratum == 0, 0.4, 0.9))
        pi = np.full(1000, np.nan)
        pi[asked] = respond(np.full(asked.sum(), 0.3), answered[asked], stratum[asked]).pi
        label = np.where(answered, y, np.nan)
        adjusted.append(estimate(label, pi=np.nan_to_num(pi, nan=0.3)).estimate)
        plain.append(estimate(label).estimate)
    assert np.mean(plain) > 0.7
    assert np.mean(adjusted) == pytest.approx(0.6, abs=0.01)
