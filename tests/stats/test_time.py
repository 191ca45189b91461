"""Looking every day, and change over time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.change import cusum, e_shiryaev_roberts, locate_change, strata_of_change
from fidelity_otel.stats.plan import cusum_delay
from fidelity_otel.stats.sequence import betting_sequence
from fidelity_otel.stats.survival import kaplan_meier, turnbull


@pytest.mark.parametrize("p", [0.05, 0.5, 0.97])
def test_sequences_hold_at_all_times_at_once(p: float) -> None:
    """At most 10% of streams are ever excluded at level .9 (here of 120 streams of 600)."""
    rng = np.random.default_rng(21)
    excluded = 0
    for _ in range(120):
        y = (rng.random(600) < p).astype(float)
        got = betting_sequence(y, 0.9, grid=200)
        excluded += bool((got.low > p).any() or (got.high < p).any())
    assert excluded <= 18  # P(Binomial(120, .1) > 18) < 3%


def test_weighted_sequences_hold_where_plain_ones_fail() -> None:
    """Failures are reviewed four times as often: only weights bring back the mean."""
    rng = np.random.default_rng(22)
    excluded, plain_excluded = 0, 0
    for _ in range(60):
        y = (rng.random(8000) < 0.8).astype(float)
        pi = np.where(y == 1, 0.1, 0.4)
        chosen = rng.random(8000) < pi
        x, w = y[chosen], 0.16 / pi[chosen]
        got, plain = betting_sequence(x, 0.9, w, grid=200), betting_sequence(x, 0.9, grid=200)
        excluded += bool((got.low > 0.8).any() or (got.high < 0.8).any())
        plain_excluded += bool((plain.high < 0.8).any())
    assert excluded <= 11
    assert plain_excluded > 50


@given(y=st.lists(st.floats(0, 1), min_size=1, max_size=150))
@settings(max_examples=40, deadline=None)
def test_sequences_only_tighten_and_mirror(y: list[float]) -> None:
    x = np.array(y)
    got = betting_sequence(x, 0.9, grid=100)
    assert (np.diff(got.low) >= 0).all()
    assert (np.diff(got.high) <= 0).all()
    assert (got.low >= 0).all()
    assert (got.high <= 1).all()
    other = betting_sequence(1 - x, 0.9, grid=100)
    assert other.low == pytest.approx(1 - got.high, abs=0.0101)


def test_sequence_narrows_to_the_mean() -> None:
    y = (np.random.default_rng(1).random(10_000) < 0.9).astype(float)
    got = betting_sequence(y)
    assert got.low[-1] < y.mean() < got.high[-1]
    assert got.high[-1] - got.low[-1] < 0.035
    with pytest.raises(DesignError, match=r"y = 1\.5"):
        betting_sequence(np.array([1.5]))
    with pytest.raises(DesignError, match="weight"):
        betting_sequence(np.array([1.0]), weight=np.array([-1.0]))


def test_false_alarms_are_as_rare_as_stated() -> None:
    """While nothing changes: P(alarm within T) ≤ T/A for e-SR; CUSUM's run length is above h."""
    rng = np.random.default_rng(31)
    streams = (rng.random((300, 400)) < 0.85).astype(float)
    assert (
        np.mean([e_shiryaev_roberts(x, 0.85, 8_000.0).first is not None for x in streams]) <= 0.09
    )
    assert np.mean([cusum(x, 0.85, 0.75, 400.0).first is not None for x in streams]) <= 0.2
    skewed = np.where(rng.random((100, 400)) < 0.5, 0.7, 1.0)  # not binary, mean .85
    assert np.mean([e_shiryaev_roberts(x, 0.85, 8_000.0).first is not None for x in skewed]) <= 0.09


@pytest.mark.parametrize("length", [1, 32, 33, 2000])
def test_the_detector_is_its_recursion(length: int) -> None:
    """M_t = (M_{t−1} + 1)·E_t for each bet, however the steps are taken together."""
    rng = np.random.default_rng(40)
    x, w = rng.choice([0.0, 0.5, 1.0], length, p=[0.3, 0.1, 0.6]), rng.exponential(size=length)
    wealth, since = np.zeros((length + 1, 5)), np.zeros((length + 1, 5), dtype=int)
    for t in range(length):
        excess = w[t] * (1 - x[t]) / 0.3 - 1
        since[t + 1] = np.where(wealth[t] < 1, t, since[t])
        wealth[t + 1] = (wealth[t] + 1) * (1 + np.array([0.05, 0.1, 0.2, 0.4, 0.7]) * excess)
    got = e_shiryaev_roberts(x, 0.7, 3.0, w)
    np.testing.assert_allclose(got.statistic, wealth[1:].mean(axis=1) / 3.0, rtol=1e-12)
    over = np.flatnonzero(got.statistic >= 1)
    assert got.first == (over[0] if over.size else None)
    if over.size:
        assert got.since == since[over[0] + 1][wealth[over[0] + 1].argmax()]


def test_evidence_grows_beyond_all_bounds_without_a_word() -> None:
    assert e_shiryaev_roberts(np.zeros(3000), 0.9).statistic[-1] == np.inf


def test_the_sequence_is_what_trying_every_candidate_finds() -> None:
    """The bound is the largest candidate below which all were refuted at some time."""
    rng = np.random.default_rng(41)
    x = (rng.random(1500) < 0.7) * rng.choice([0.5, 1.0], 1500)
    mean = np.r_[0.5, (0.5 + np.cumsum(x)) / np.arange(2.0, 1502.0)]
    spent = np.r_[0.25, 0.25 + np.cumsum((x - mean[:-1]) ** 2)] / np.arange(1.0, 1502.0)
    t = np.arange(1.0, 1501.0)
    bet = np.sqrt(2 * np.log(1 / 0.025) / (spent[:-1] * t * np.log1p(t)))[:, None]
    m = np.arange(1, 201) / 200
    wealth = np.cumsum(np.log1p(np.minimum(bet, 0.75 / m) * (x[:, None] - m)), axis=0)
    gone = np.logical_or.accumulate(wealth >= np.log(1 / 0.025), axis=0)
    expected = gone.cumprod(axis=1).sum(axis=1) / 200
    assert expected[-1] > 0.4
    np.testing.assert_array_equal(betting_sequence(x, grid=200).low, expected)


def test_a_drop_is_seen_soon_and_dated() -> None:
    rng = np.random.default_rng(32)
    delays, e_delays, covered = [], [], 0
    for _ in range(80):
        x = np.r_[rng.random(200) < 0.9, rng.random(300) < 0.6].astype(float)
        alarm = cusum(x[150:], 0.9, 0.75, 1000.0)
        delays.append(alarm.first - 49)
        assert 0 <= alarm.since <= alarm.first
        e_delays.append(e_shiryaev_roberts(x[150:], 0.9, 1e5).first - 49)
        found = locate_change(x[: 200 + 150])
        covered += found.low <= 200 <= found.high
    assert np.median(delays) < 45
    assert np.median(e_delays) < 55
    assert covered >= 74  # nominal 95%: 76 of 80


def test_the_plan_foretells_the_detector() -> None:
    rng = np.random.default_rng(33)
    plan = cusum_delay(0.9, 0.1, 200.0)
    late = [
        cusum((rng.random(1000) < 0.8).astype(float), 0.9, 0.8, 200.0).first + 1 for _ in range(250)
    ]
    assert np.mean(late) == pytest.approx(plan.to_alarm, rel=0.12)
    calm = [
        cusum((rng.random(60_000) < 0.9).astype(float), 0.9, 0.8, 20.0).first + 1
        for _ in range(150)
    ]
    assert np.mean(calm) == pytest.approx(
        cusum_delay(0.9, 0.1, 20.0).between_false_alarms, rel=0.25
    )


def test_weighted_detector_sees_what_weights_say() -> None:
    """Reviewed failures are over-sampled fourfold: no drop, so no alarm with weights."""
    rng = np.random.default_rng(34)
    y = (rng.random(6000) < 0.9).astype(float)
    pi = np.where(y == 1, 0.05, 0.2)
    chosen = rng.random(6000) < pi
    x, w = y[chosen], 0.065 / pi[chosen]
    assert e_shiryaev_roberts(x, 0.9, 1e4).first is not None
    assert e_shiryaev_roberts(x, 0.9, 1e4, w).first is None


def test_the_stratum_that_fell_is_named() -> None:
    rng = np.random.default_rng(35)
    stratum = rng.integers(0, 3, 600)
    p = np.where((np.arange(600) >= 300) & (stratum == 1), 0.4, 0.9)
    right = (rng.random(600) < p).astype(float)
    scores = strata_of_change(right, stratum, 4, 300)
    assert int(np.nanargmax(scores)) == 1
    assert np.isnan(scores[3])


@pytest.mark.parametrize(
    "call",
    [
        lambda: cusum(np.ones(3), 0.5, 0.6),
        lambda: e_shiryaev_roberts(np.ones(3), 1.0),
        lambda: e_shiryaev_roberts(np.ones(3), 0.5, weight=np.ones(2)),
        lambda: locate_change(np.ones(4)),
        lambda: kaplan_meier(np.array([-1.0]), np.array([True])),
        lambda: kaplan_meier(np.array([1.0]), np.array([True, False])),
        lambda: turnbull(np.array([2.0]), np.array([1.0])),
        lambda: cusum_delay(0.04, 0.05),
    ],
)
def test_wrong_use_is_refused(call) -> None:
    with pytest.raises(DesignError):
        call()


def test_weights_count_as_copies_in_survival() -> None:
    time = np.array([1.0, 2.0, 2.0, 5.0, 7.0])
    failed = np.array([True, False, True, True, False])
    weight = np.array([2.0, 1.0, 3.0, 1.0, 2.0])
    copies = np.repeat(np.arange(5), weight.astype(int))
    one = kaplan_meier(time, failed, weight=weight)
    many = kaplan_meier(time[copies], failed[copies])
    assert one.survival == pytest.approx(many.survival)
    assert (one.high - one.low >= many.high - many.low - 1e-12).all()
    assert turnbull(time, np.where(failed, time, np.inf), weight).mass == pytest.approx(
        turnbull(time[copies], np.where(failed, time, np.inf)[copies]).mass, abs=1e-6
    )
