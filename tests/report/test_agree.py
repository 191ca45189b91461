"""Agreement coefficients: against statsmodels, and where they are not defined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import fleiss_kappa

from fidelity_otel.report.agree import CATEGORIES, pair_statistics

pairs = st.lists(st.tuples(st.sampled_from(CATEGORIES), st.sampled_from(CATEGORIES)), min_size=3)


@given(pairs)
def test_kappa_is_that_of_fleiss(given_pairs: list[tuple[str, str]]) -> None:
    made = pair_statistics(given_pairs)
    if len({v for pair in given_pairs for v in pair}) == 1:
        assert made.kappa is None  # chance alone would agree
        return
    table = np.array([[pair.count(c) for c in CATEGORIES] for pair in given_pairs])
    assert made.kappa == pytest.approx(fleiss_kappa(table))


@given(pairs)
def test_order_within_pairs_does_not_matter(given_pairs: list[tuple[str, str]]) -> None:
    assert pair_statistics(given_pairs) == pair_statistics([(b, a) for a, b in given_pairs])


def test_by_hand() -> None:
    """Ten pairs, eight agree; q = .75, .05, .20."""
    made = pair_statistics(
        [("right", "right")] * 7 + [("wrong", "wrong")] + [("right", "wrong"), ("partly", "wrong")]
    )
    assert (made.pairs, made.same) == (10, 8)
    assert made.kappa == pytest.approx((0.8 - 0.605) / (1 - 0.605))
    assert made.ac1 == pytest.approx((0.8 - 0.1975) / (1 - 0.1975))


def test_rare_categories_do_not_upset_ac1() -> None:
    made = pair_statistics([("right", "right")] * 98 + [("right", "wrong"), ("wrong", "right")])
    assert made.kappa is not None
    assert made.kappa < 0
    assert made.ac1 is not None
    assert made.ac1 > 0.9


def test_nothing() -> None:
    assert pair_statistics([]).kappa is None
    assert pair_statistics([("right", "wrong")] * 2).kappa is None
    assert pair_statistics([("right", "right")] * 3).ac1 == pytest.approx(1.0)
