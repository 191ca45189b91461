"""Head sampling before us: traces are what was kept, the numbers are of all requests."""

from __future__ import annotations

import json
import random
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from msgspec import UNSET
from report_frames import NOW_NS, FakeStore, Mark, Row, World, world

from fidelity_otel.model import Estimate
from fidelity_otel.report import estimates
from fidelity_otel.report.census import read_census
from fidelity_otel.report.estimates import Estimates
from fidelity_otel.report.frame import LEAST_KEPT, read_frame
from fidelity_otel.report.html import render_html
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.requests import Requests
from fidelity_otel.report.summary import Summary
from fidelity_otel.report.text import render_text

KEPT = 0.2
"""Of the requests in which nothing was found; all others are kept."""


class Thinned(NamedTuple):
    """What a head sampler left of a world, and the world's numbers."""

    store: FakeStore
    whole: World


def loud(row: Row) -> bool:
    return not row.reported_success or any(state != "recovered" for state in row.states)


def chance(row: Row) -> float:
    return 1.0 if row.modes or not row.reported_success else KEPT


def thinned(seed: int, *, known: bool = True, traces: int = 2000) -> Thinned:
    """A world of which a head sampler kept what looks interesting; half of that was drawn."""
    whole = world(seed, traces=traces, budget=0.5)
    draw = random.Random(seed)
    rows = [
        row._replace(upstream=chance(row) if known else 1.0)
        for row in whole.store.rows
        if draw.random() < chance(row)
    ]
    return Thinned(FakeStore(rows), whole)


def made_of(store: FakeStore) -> Summary:
    return summary(store, now_ns=NOW_NS)


def holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


@pytest.fixture(scope="module")
def many() -> list[tuple[World, Summary, Summary]]:
    """Worlds, the report on what was kept, and what it would be if that were all."""
    found = []
    for seed in range(60):
        told, blind = thinned(seed), thinned(seed, known=False)
        found.append((told.whole, made_of(told.store), made_of(blind.store)))
    return found


def test_estimates_hold_for_all_requests(many: list[tuple[World, Summary, Summary]]) -> None:
    right = np.array([s.fidelity.estimate - w.fidelity for w, s, _ in many if s.fidelity.estimate])
    silent = [s.silent_failure.estimate or 0.0 for _, s, _ in many]
    assert right.size == len(many)
    assert abs(right.mean()) < 3 * right.std() / len(many) ** 0.5 + 0.005
    off = np.array(silent) - [w.silent for w, _, _ in many]
    assert abs(off.mean()) < 3 * off.std() / len(many) ** 0.5 + 0.005
    assert np.mean([holds(s.fidelity, w.fidelity) for w, s, _ in many]) >= 0.9
    assert np.mean([holds(s.silent_failure, w.silent) for w, s, _ in many]) >= 0.9
    assert np.mean([holds(s.windows[-4].fidelity, w.fidelity) for w, s, _ in many]) >= 0.9


def test_counting_each_trace_once_would_not(many: list[tuple[World, Summary, Summary]]) -> None:
    off = [(b.fidelity.estimate or 0.0) - w.fidelity for w, _, b in many]
    assert np.mean(off) < -0.05
    assert np.mean([holds(b.fidelity, w.fidelity) for w, _, b in many]) < 0.5
    shares = [(b.activity.success_share or 0.0) for _, _, b in many]
    true = [np.mean([r.reported_success for r in w.store.rows]) for w, _, _ in many]
    assert np.mean(np.array(shares) - true) < -0.01


def test_what_is_counted_stands_for_all_requests(
    many: list[tuple[World, Summary, Summary]],
) -> None:
    for whole, made, _ in many[:20]:
        rows, requests = whole.store.rows, made.activity.requests
        assert isinstance(requests, Requests)
        assert requests.total == pytest.approx(len(rows), rel=0.15)
        success = np.mean([row.reported_success for row in rows])
        assert made.activity.success_share == pytest.approx(success, abs=0.01)
        assert requests.loud == sum(map(loud, rows)), "those are all kept"
        assert made.recovered_share == pytest.approx(requests.recovered / requests.troubled)
        assert sum(line.asked for line in made.workflows) == pytest.approx(requests.total, abs=3)
        drawn = 0.98 * len(rows)
        assert abs(made.fidelity.N / drawn - 1.0) < 0.15


def test_a_mode_is_recovered_in_its_share_of_requests() -> None:
    """A head sampler that keeps what stayed broken makes recovery look rare."""
    states = ["recovered"] * 10 + ["unrecovered"] * 10
    rows = [
        Row(
            f"t{k}",
            modes=("loop",),
            states=(state,),
            upstream=0.1 if state == "recovered" else 1.0,
            outcomes={"resolved": float(state == "recovered")},
        )
        for k, state in enumerate(states)
    ]
    made = made_of(FakeStore(rows))
    assert (made.modes[0].traces, made.modes[0].recovered) == (20, 10)
    assert made.modes[0].recovered_share == pytest.approx(100 / 110)
    assert made.recovered_share == pytest.approx(100 / 110)
    assert made.outcomes[0].mean == pytest.approx(100 / 110)
    assert made.activity.latency.p50 == 1.0


def test_durations_are_of_requests() -> None:
    slow = [Row(f"s{k}", end_ns=NOW_NS, reported_success=False) for k in range(10)]
    quick = [Row(f"q{k}", upstream=0.05) for k in range(10)]
    store = FakeStore([*slow, *quick])
    assert made_of(store).activity.latency.p95 == 1.0
    seconds, requests = read_census(store, most=4).durations()["support.answer"]
    assert requests[seconds < 2.0].sum() == pytest.approx(200, abs=0.01)
    assert requests[seconds > 2.0].sum() == 10


def test_a_range_allows_for_how_many_quiet_requests_there_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 400 loud requests about eight are kept, so nobody knows how many of all are quiet."""
    draw = random.Random(4)
    held, blind, times = 0, 0, 300
    for _ in range(times):
        rows = [quiet_row(draw, k) for k in range(400)]
        loud_ones = sum(draw.random() < 0.02 for _ in range(400))
        rows += [
            Row(f"l{k}", reported_success=False, pi=0.5, upstream=0.02) for k in range(loud_ones)
        ]
        frame = read_frame(FakeStore(rows))
        wrong = np.zeros(len(frame), dtype=bool)
        held += holds(Estimates(0.95, 10).silent_failure(frame, wrong), 0.25)
        with monkeypatch.context() as patched:
            patched.setattr(estimates, "widened", lambda made, *_: made)
            blind += holds(Estimates(0.95, 10).silent_failure(frame, wrong), 0.25)
    assert held >= 0.92 * times
    assert blind < 0.6 * times


def quiet_row(draw: random.Random, number: int) -> Row:
    """Every second one is wrong; half are reviewed."""
    selected = draw.random() < 0.5
    mark = Mark("ann", "wrong" if number % 2 else "right")
    return Row(f"q{number}", pi=0.5, selected=selected, reviews=(mark,) if selected else ())


def test_what_is_known_of_all_that_were_kept_is_not_known_of_all() -> None:
    wrong = {"outcomes": {"resolved": 0.0}, "pi": 0.5, "upstream": 0.1}
    rows = [Row(f"w{k}", **wrong) for k in range(20)]
    rows += [Row(f"l{k}", reported_success=False, pi=0.5, upstream=0.1) for k in range(20)]
    frame = read_frame(FakeStore(rows))
    made = Estimates(0.95, 10).silent_failure(frame, np.arange(40) < 20)
    assert made.estimate == 0.5
    half = 1.96 * (0.25 / 40 * 0.9) ** 0.5
    assert (made.low, made.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)


def test_words_say_so_only_where_a_head_sampler_was() -> None:
    made, plain = made_of(thinned(1).store), made_of(world(1).store)
    kept, asked = made.activity.traces, made.activity.asked
    assert f"of about {asked:,} requests ({kept:,} kept) reported success" in made.sentence
    note = f"Of about {asked:,} requests {100 * kept / asked:.0f}% were kept, by a head sampler"
    assert note in " ".join(render_text(made, width=10_000).split())
    page = render_html(made)
    assert note in page
    assert f"about {asked:,} requests ({kept:,} kept)" in page
    for text in (render_text(plain), render_html(plain)):
        assert "head sampler" not in text
        assert "kept)" not in text


def test_outcomes_of_what_was_not_kept_are_expected_to_have_no_request() -> None:
    kept, whole = thinned(1).store, world(1).store
    for store, expected in ((kept, True), (whole, False)):
        store.orphans = 7
        page = render_html(made_of(store))
        assert "7 outcomes have no request to belong to" in page
        assert ("of those that were not kept, that is expected" in page) is expected


def test_json_has_requests_only_where_a_head_sampler_was() -> None:
    made, plain = made_of(thinned(1).store), made_of(world(1).store)
    said = json.loads(msgspec.json.encode(made))
    for place in (said["activity"], said["workflows"][0], said["releases"][0]):
        assert place["requests"]
    assert '"requests"' not in msgspec.json.encode(plain).decode()
    assert plain.activity.requests is UNSET
    whole = FakeStore([row._replace(upstream=1.0) for row in world(1).store.rows])
    assert msgspec.json.encode(made_of(whole)) == msgspec.json.encode(plain)


@pytest.mark.parametrize(
    ("upstream", "units"),
    [(0.25, 4.0), (0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1e-12, 1 / LEAST_KEPT)],
)
def test_a_row_counts_for_what_it_was_kept_with(upstream: float, units: float) -> None:
    frame = read_frame(FakeStore([Row("t", upstream=upstream)]))
    assert frame.units[0] == units
    assert (frame.traces, frame.requests) == (1, units)


def test_a_mode_has_its_share_of_the_wrong_requests() -> None:
    """Half of the wrong traces have the mode, and a head sampler kept those a tenth as often."""
    wrong = {"resolved": 0.0}
    having = [
        Row(f"h{k}", modes=("loop",), states=("recovered",), upstream=0.05) for k in range(20)
    ]
    told = [
        row._replace(outcomes=wrong, pi=0.1)
        for row in (*having, *(Row(f"n{k}", upstream=0.5) for k in range(20)))
    ]
    chosen = Mark("ann", "wrong")
    reviewed = [row._replace(outcomes={}, selected=True, reviews=(chosen,)) for row in told]
    for rows in (told, reviewed):
        settings = {"report.outcomes": ("resolved",)}
        made = summary(FakeStore(rows), now_ns=NOW_NS, settings=settings)
        assert made.modes[0].among_wrong.estimate == pytest.approx(10 / 11)
    assert made.reviews.weight_ratio == pytest.approx(20 / 11)
    assert made.always is not None
    assert made.always.N == made.fidelity.N == 440
