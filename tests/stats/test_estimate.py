"""`estimate`: the method follows the design, and what the data can't say is not said."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.estimate import estimate

NAN = float("nan")


def masked(y: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.where(chosen, y, NAN)


def test_insufficient_data_gives_no_number() -> None:
    got = estimate([1.0] * 9 + [NAN] * 50)
    assert (got.estimate, got.low, got.high) == (None, None, None)
    assert (got.n, got.N) == (9, 59)
    assert "insufficient data: 9 reviewed, at least 10" in got.warnings[0]
    assert estimate([NAN, NAN], minimum_n=0).estimate is None
    assert estimate([], minimum_n=0).estimate is None


def test_no_failure_seen_still_has_a_lower_bound_below_one() -> None:
    got = estimate([1.0] * 30 + [NAN] * 3000)
    assert got.estimate == got.high == 1.0
    assert got.low is not None
    assert 0.86 < got.low < 0.91
    assert any("no failure seen" in w for w in got.warnings)


def test_stratified_mean_is_exact_over_all_samples() -> None:
    """Two strata of 5 and 4, two drawn from each: the mean over all samples is the frame's."""
    y = np.array([1, 0, 1, 1, 0, 0, 0, 1, 0.5])
    stratum = np.array([0] * 5 + [1] * 4)
    found = []
    for a in combinations(range(5), 2):
        for b in combinations(range(5, 9), 2):
            chosen = np.isin(np.arange(9), a + b)
            got = estimate(masked(y, chosen), stratum=stratum, minimum_n=1)
            found.append(got.estimate)
    assert np.mean(found) == pytest.approx(y.mean(), abs=1e-12)


def test_weights_are_used() -> None:
    y = np.array([1.0] * 20 + [0.0] * 20)
    pi = np.array([0.5] * 20 + [0.1] * 20)
    got = estimate(y, pi=pi)
    assert got.estimate == pytest.approx(40 / 240)
    assert got.N == 240


def test_frame_counts_weigh_the_strata() -> None:
    label = [1.0] * 10 + [NAN] * 90 + [0.0] * 10 + [NAN] * 290
    got = estimate(label, stratum=["a"] * 100 + ["b"] * 300)
    assert got.estimate == pytest.approx(0.25)
    assert got.N == 400


def test_prediction_narrows_and_a_useless_one_does_not_harm() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(4000) < 0.6).astype(float)
    label = masked(y, np.arange(4000) < 300)
    plain = estimate(label)
    good = estimate(label, prediction=np.clip(0.6 * y + 0.2 + rng.normal(0, 0.2, 4000), 0, 1))
    useless = estimate(label, prediction=rng.random(4000))
    width = {k: e.high - e.low for k, e in (("plain", plain), ("good", good), ("useless", useless))}
    assert width["good"] < 0.7 * width["plain"]
    assert width["useless"] == pytest.approx(width["plain"], rel=0.02)
    assert good.method.startswith("PPI++")
    assert good.n_effective > 1.5 * plain.n_effective


def test_scale_and_sign_of_the_prediction_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    y = (rng.random(1000) < 0.3).astype(float)
    f = 0.4 * y + rng.normal(0, 0.3, 1000)
    label = masked(y, np.arange(1000) < 100)
    one, other = estimate(label, prediction=f), estimate(label, prediction=7 - 90 * f)
    assert (one.estimate, one.low) == pytest.approx((other.estimate, other.low))


def test_census_has_no_sampling_error() -> None:
    got = estimate([1.0, 0.0] * 20, pi=[1.0] * 40)
    assert (got.low, got.estimate, got.high) == pytest.approx((0.5, 0.5, 0.5), abs=1e-6)


def test_effective_n_of_a_simple_random_sample_is_its_size() -> None:
    """Also where the sample is a third of the frame: a review is not worth two."""
    label = np.full(120, np.nan)
    label[:40] = np.arange(40) % 3 == 0
    assert estimate(label).n_effective == pytest.approx(40, rel=0.02)


def test_clusters_widen() -> None:
    rng = np.random.default_rng(4)
    cluster = np.repeat(np.arange(40), 10)
    y = (rng.random(40) < 0.5).astype(float)[cluster]
    alone, grouped = estimate(y), estimate(y, cluster=cluster)
    assert grouped.estimate == alone.estimate
    assert 2.5 < (grouped.high - grouped.low) / (alone.high - alone.low) < 3.8
    assert grouped.n_effective < 60


def test_hand_picked_reviews_are_left_out_and_named() -> None:
    y = [1.0] * 30 + [0.0] * 10 + [NAN] * 100
    got = estimate(y, hand_picked=[False] * 30 + [True] * 10 + [False] * 100)
    assert got.n == 30
    assert any("chosen by hand" in w for w in got.warnings)


def test_doubtful_designs_are_named() -> None:
    y = [1.0, 0.0] * 20 + [NAN] * 60
    unseen = estimate(y + [NAN] * 20, stratum=["a"] * 100 + ["b"] * 20)
    assert any("strata without reviews: 'b', 16.7%" in w for w in unseen.warnings)
    wrong_pi = estimate(y, pi=[0.9] * 100)
    assert any("pi does not fit the frame" in w for w in wrong_pi.warnings)
    skewed = estimate([1.0, 0.0] * 20, pi=[0.9] * 38 + [0.01] * 2)
    assert any("weights vary too much" in w for w in skewed.warnings)
    picked = estimate(y, prediction=np.r_[np.linspace(0.8, 1, 40), np.linspace(0, 0.3, 60)])
    assert any("not representative" in w for w in picked.warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": [0.5, 1.2]}, "row 1: label = 1.2 is outside 0 to 1"),
        ({"label": [[0.5]]}, "label: one dimension"),
        ({"label": ["x"]}, "label: numbers are wanted"),
        ({"label": [1.0, 0.0], "pi": [0.5, 0.0]}, "row 1: pi = 0 is outside"),
        ({"label": [1.0, 0.0], "pi": [0.5, NAN]}, "row 1: label without pi"),
        ({"label": [1.0, 0.0], "pi": [0.5]}, "pi: 1 values for 2 rows"),
        ({"label": [1.0, 0.0], "stratum": ["a"]}, "stratum: "),
        ({"label": [1.0, 0.0], "level": 1.5}, "level = 1.5"),
        ({"label": [1.0, 0.0], "prediction": [0.1, float("inf")]}, "row 1: prediction is infinite"),
        (
            {"label": [1.0, NAN], "units": [2, 5]},
            "row 0: units = 2; 1 is wanted of a reviewed row",
        ),
        ({"label": [1.0, NAN], "units": [1, 0]}, "row 1: units = 0; more than 0"),
        ({"label": [1.0, NAN], "units": [0.5, 1]}, "row 0: units = 0.5; 1 is wanted"),
        (
            {"label": [1.0, NAN], "pi": [0.3, NAN], "units": [4, 1]},
            "row 0: units = 4; 1 is wanted of a reviewed row, or up to 1/pi",
        ),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(DesignError, match=message):
        estimate(**change)


@given(
    data=st.data(),
    n=st.integers(10, 60),
    level=st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
@settings(max_examples=150, deadline=None)
def test_invariants(data: st.DataObject, n: int, level: float) -> None:
    """Bounds contain the estimate, lie in 0–1, mirror, and don't depend on order."""
    label = data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, NAN]), min_size=n, max_size=n))
    pi = data.draw(st.lists(st.floats(0.02, 1.0), min_size=n, max_size=n))
    stratum = data.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    prediction = data.draw(st.lists(st.floats(-1, 1), min_size=n, max_size=n))
    y = np.array(label)
    got = estimate(y, pi=pi, stratum=stratum, prediction=prediction, level=level, minimum_n=1)
    if got.estimate is None:
        assert np.isnan(y).all()
        return
    assert 0 <= got.low <= got.estimate <= got.high <= 1
    assert 0 < got.n_effective <= max(got.N, got.n)
    flipped = estimate(
        1 - y, pi=pi, stratum=stratum, prediction=prediction, level=level, minimum_n=1
    )
    assert flipped.estimate == pytest.approx(1 - got.estimate, abs=1e-6)
    assert flipped.low == pytest.approx(1 - got.high, abs=1e-6)
    order = np.random.default_rng(0).permutation(n)
    shuffled = estimate(
        y[order],
        pi=np.array(pi)[order],
        stratum=np.array(stratum)[order],
        prediction=np.array(prediction)[order],
        level=level,
        minimum_n=1,
    )
    assert shuffled.low == pytest.approx(got.low, abs=1e-6)
    wider = estimate(y, pi=pi, stratum=stratum, prediction=prediction, level=0.999, minimum_n=1)
    assert wider.low <= got.low + 1e-9
    assert wider.high >= got.high - 1e-9


@given(data=st.data(), n=st.integers(12, 60))
@settings(max_examples=100, deadline=None)
def test_rows_that_stand_for_many_are_those_many(data: st.DataObject, n: int) -> None:
    """Unreviewed rows that are alike may be one row with their number: nothing else changes."""
    label = data.draw(st.lists(st.sampled_from([0.0, 1.0, NAN, NAN]), min_size=n, max_size=n))
    stratum = data.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    prediction = data.draw(st.lists(st.sampled_from([0.1, 0.5, NAN]), min_size=n, max_size=n))
    many = data.draw(st.lists(st.integers(1, 5), min_size=n, max_size=n))
    y = np.array(label)
    units = np.where(np.isnan(y), many, 1)
    rows = np.repeat(np.arange(n), units)
    short = estimate(y, stratum=stratum, prediction=prediction, units=units, minimum_n=1)
    long = estimate(
        y[rows],
        stratum=np.array(stratum)[rows],
        prediction=np.array(prediction)[rows],
        minimum_n=1,
    )
    assert short.N == long.N
    assert short.warnings == long.warnings
    if long.estimate is not None:
        for end in ("estimate", "low", "high", "n_effective"):
            assert getattr(short, end) == pytest.approx(getattr(long, end), abs=1e-6)


def test_a_prediction_that_helps_by_rounding_alone_gets_no_weight() -> None:
    """Its F is 1 exactly, and a weight of 1e-13 would cost a degree of freedom."""
    y = np.array([0.0, 0.0, 1.0, 1.0, *[NAN] * 12])
    prediction = np.full(16, 0.1)
    prediction[[3, 13]] = NAN, 0.5
    units = np.array([1] * 14 + [2, 5])
    rows = np.repeat(np.arange(16), units)
    short = estimate(y, prediction=prediction, units=units, minimum_n=1)
    long = estimate(y[rows], prediction=prediction[rows], minimum_n=1)
    assert short.n_effective == pytest.approx(long.n_effective)
