"""Numbers as text claim no more than the numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_frames import DAY_NS, NOW_NS

from fidelity_otel.model import Estimate
from fidelity_otel.report.words import (
    duration,
    interval,
    percent,
    plus_minus,
    points,
    span_of_time,
)

shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.9999, ">99.9%"),
        (0.9962, "99.6%"),
        (0.0004, "<0.1%"),
        (0.002, "0.2%"),
        (0.784, "78%"),
        (None, "–"),
    ],
)
def test_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


@given(shares)
def test_only_all_is_everything_and_only_none_is_nothing(share: float) -> None:
    assert (percent(share) == "100%") == (share == 1)
    assert (percent(share) == "0%") == (share == 0)


@given(st.lists(shares, min_size=3, max_size=3).map(sorted))
def test_plus_minus_covers_the_interval(ends: list[float]) -> None:
    low, middle, high = ends
    made = Estimate("f", middle, low, high, 0.95, "m", 10, 10.0, 100)
    found = re.fullmatch(r".*± (\d+)%", plus_minus(made))
    half = int(found[1]) / 100 if found else 0.0
    assert middle - half <= low + 1e-9
    assert high <= middle + half + 1e-9


def test_what_is_not_known_is_not_a_number() -> None:
    made = Estimate("f", None, None, None, 0.95, "none", 3, 3.0, 100)
    assert plus_minus(made) == "insufficient data"
    assert interval(made) == "–"


def test_intervals_and_points() -> None:
    made = Estimate("f", 0.78, 0.741, 0.82, 0.95, "m", 10, 10.0, 100)
    assert interval(made) == "74–82%"
    assert [points(x) for x in (0.11, -0.031, 0.012, None)] == [
        "11 points",
        "−3 points",
        "1 point",
        "–",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.84, "840 ms"), (2.31, "2.3 s"), (240, "4 min"), (21_600, "6 h"), (260_000, "3 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_spans_of_time() -> None:
    assert span_of_time(NOW_NS - 8 * DAY_NS, NOW_NS - DAY_NS) == "7–14 Nov 2026"
    assert span_of_time(NOW_NS, NOW_NS + 3600 * 10**9) == "15 Nov 2026, 00:00–01:00 UTC"
    assert span_of_time(NOW_NS - 40 * DAY_NS, NOW_NS) == "6 Oct – 15 Nov 2026"
    assert span_of_time(None, None) == "no traffic"
