"""The limits that every estimate has: exact coverage for plain counts, sense everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fidelity_otel.stats.intervals import clopper_pearson, mid_p
from fidelity_otel.stats.limits import GUARD, limits, limits_of_count


def widths(p, variance, unit, level, df=1e12, *, guard=GUARD):
    every = np.asarray(1e12)
    return limits(p, variance, unit, df=np.asarray(df), plain_df=every, level=level, guard=guard)


def binomial_limits(n: int, level: float, guard: float = GUARD) -> tuple[np.ndarray, np.ndarray]:
    """Limits for x = 0…n with the variance p(1−p)/n that makes the betas exact."""
    p = np.arange(n + 1) / n
    got = widths(p, p * (1 - p) / n, np.full(n + 1, 1 / n), level, guard=guard)
    return got.low, got.high


@pytest.mark.parametrize("n", [3, 20, 137])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_equal_weights_give_the_binomial_limits(n: int, level: float) -> None:
    x = np.arange(n + 1)
    for guard, oracle in ((1.0, clopper_pearson), (0.5, mid_p)):
        low, high = binomial_limits(n, level, guard)
        wanted = oracle(x, n, level)
        assert low == pytest.approx(wanted.low, abs=1e-8)
        assert high == pytest.approx(wanted.high, abs=1e-8)


@pytest.mark.parametrize(("level", "least"), [(0.9, 0.87), (0.95, 0.935), (0.99, 0.983)])
@pytest.mark.parametrize("n", [20, 50, 200])
def test_exact_coverage_of_plain_counts(n: int, level: float, least: float) -> None:
    """Σ over all counts, no simulation: every p between .003 and .997."""
    low, high = np.array([limits_of_count(x, n, level) for x in range(n + 1)]).T
    p = np.linspace(0.003, 0.997, 800)
    chance = stats.binom.pmf(np.arange(n + 1)[None, :], n, p[:, None])
    coverage = (chance * ((low <= p[:, None]) & (p[:, None] <= high))).sum(axis=1)
    assert coverage.min() > least
    assert coverage.mean() < level + (0.55 if n > 20 else 0.6) * (1 - level)


@given(
    p=st.floats(0, 1),
    n=st.floats(1, 1e6),
    deff=st.floats(0.2, 20),
    df=st.floats(1, 1e5),
    level=st.floats(0.5, 0.999),
)
@settings(max_examples=200, deadline=None)
def test_limits_make_sense(p: float, n: float, deff: float, df: float, level: float) -> None:
    variance = deff * p * (1 - p) / n
    low, high = (float(b) for b in widths(*map(np.asarray, (p, variance, 1 / n)), level, df))
    assert 0 <= low <= p <= high <= 1
    mirrored = widths(*map(np.asarray, (1 - p, variance, 1 / n)), level, df)
    assert float(mirrored.low) == pytest.approx(1 - high, abs=1e-7)
    wider = widths(*map(np.asarray, (p, 2 * variance, 1 / n)), level, df)
    if n * min(p, 1 - p) > 20 * max(deff, 1) and df > 4 and level > 0.7:
        assert float(wider.high) >= high - 1e-9
        assert float(wider.low) <= low + 1e-9


def test_nothing_seen_still_bounds() -> None:
    low, high = limits_of_count(0, 30)
    assert low == 0
    assert mid_p(0, 30).high < high < clopper_pearson(0, 30).high
