"""The summary: against a known truth, and what it must refuse to say."""

from __future__ import annotations

import json
import random

import msgspec
import numpy as np
import pytest
from report_frames import DAY_NS, NOW_NS, Arm, FakeStore, Mark, Row, World, world

from fidelity_otel.model import Estimate
from fidelity_otel.report.estimates import (
    Estimates,
    insufficient,
    shifted,
)
from fidelity_otel.report.evidence import outcomes_wrong
from fidelity_otel.report.frame import read_frame
from fidelity_otel.report.numbers import ReportSettings, summary
from fidelity_otel.report.summary import Summary


@pytest.fixture(scope="module")
def made() -> tuple[World, Summary]:
    worldly = world()
    return worldly, summary(worldly.store, now_ns=NOW_NS, settings={"report.benchmark": 0.92})


def test_counts_are_a_census(made: tuple[World, Summary]) -> None:
    rows, s = made[0].store.rows, made[1]
    assert s.activity.traces == len(rows)
    assert s.activity.reported_success == sum(r.reported_success for r in rows)
    assert sum(w.traces for w in s.workflows) == len(rows)
    assert sum(r.traces for r in s.releases) == len(rows)
    for line in s.modes:
        having = [r for r in rows if line.mode in r.modes]
        assert line.traces == len(having)
        assert line.traces == line.recovered + line.unrecovered + line.escalated
    in_trouble = [r for r in rows if r.modes]
    assert s.troubled == len(in_trouble)
    assert s.troubled_recovered == sum(set(r.states) == {"recovered"} for r in in_trouble)
    reviews = s.reviews
    assert reviews.selected == sum(r.selected for r in rows)
    assert reviews.selected == reviews.judged + reviews.cannot_tell + reviews.waiting
    assert reviews.undrawn == sum(r.pi is None for r in rows)


def test_intervals_hold_the_truth(made: tuple[World, Summary]) -> None:
    truth, s = made
    assert s.fidelity.low is not None
    assert s.fidelity.high is not None
    assert s.fidelity.low <= truth.fidelity <= s.fidelity.high
    assert s.silent_failure.low is not None
    assert s.silent_failure.high is not None
    assert s.silent_failure.low <= truth.silent <= s.silent_failure.high
    assert s.fidelity.n == s.reviews.judged


def test_coverage_over_many_worlds() -> None:
    """Of 60 seeded worlds, a 95% interval may miss the truth in a few: 8 or more has p < 1%."""
    misses = {"fidelity": 0, "silent": 0}
    for seed in range(60):
        truth = world(seed=100 + seed, traces=500, budget=0.25)
        frame = read_frame(truth.store)
        make = Estimates(0.95, 10)
        wrong = outcomes_wrong(frame, ("*",))
        fidelity = make.fidelity(frame, wrong)
        silent = make.silent_failure(frame, wrong)
        for name, estimate, value in (
            ("fidelity", fidelity, truth.fidelity),
            ("silent", silent, truth.silent),
        ):
            assert estimate.low is not None
            assert estimate.high is not None
            misses[name] += not estimate.low <= value <= estimate.high
    assert max(misses.values()) < 8, misses


def test_weights_undo_a_biased_draw() -> None:
    """Wrong answers are drawn five times as often; the plain mean is far off, the estimate isn't."""
    draw = random.Random(7)
    rows, truth, plain = [], [], []
    for k in range(3000):
        right = draw.random() < 0.8
        pi = 0.08 if right else 0.4
        selected = draw.random() < pi
        truth.append(right)
        arm = Arm("estimation", pi, selected, "s")
        verdict = Mark("ann", "right" if right else "wrong")
        if selected:
            plain.append(right)
        rows.append(
            Row(
                f"{k:032x}",
                pi=pi,
                selected=selected,
                arms=(arm,),
                reviews=(verdict,) if selected else (),
            )
        )
    found = summary(FakeStore(rows), now_ns=NOW_NS).fidelity
    assert found.low is not None
    assert found.high is not None
    share = sum(truth) / len(truth)
    assert found.low <= share <= found.high
    assert not found.low <= sum(plain) / len(plain) <= found.high


def test_hand_picked_reviews_never_enter_an_estimate(made: tuple[World, Summary]) -> None:
    truth, before = made
    picked = tuple(Mark("lead", "wrong", "loop", hand_picked=True) for _ in range(3))
    rows = [r._replace(reviews=(*r.reviews, *picked)) for r in truth.store.rows]
    after = summary(FakeStore(rows), now_ns=NOW_NS, settings={"report.benchmark": 0.92})
    assert after.fidelity == before.fidelity
    assert after.silent_failure == before.silent_failure
    assert after.reviews.hand_picked == 3 * len(rows)
    assert [(m.mode, m.named) for m in after.modes] == [(m.mode, m.named) for m in before.modes]


def test_below_the_minimum_there_is_no_number() -> None:
    arm = Arm("estimation", 0.5, True, "s")
    rows = [
        Row(
            f"{k:032x}",
            arms=(arm,),
            pi=0.5,
            selected=True,
            reviews=(Mark("ann", "right"),) if k < 9 else (),
        )
        for k in range(40)
    ]
    s = summary(FakeStore(rows), now_ns=NOW_NS, settings={"report.minimum_n": 10})
    assert s.fidelity.estimate is None
    assert s.fidelity.n == 9
    assert s.status == "too_few"
    assert "not known yet: 9 reviewed, at least 10 are needed" in s.sentence
    assert "100%" not in s.sentence
    assert all(w.fidelity.low is None for w in s.windows)


def test_nothing_at_all() -> None:
    s = summary(FakeStore([]), now_ns=NOW_NS)
    assert s.status == "empty"
    assert s.fidelity.estimate is None
    assert s.course == ()
    assert s.worst_workflow is None
    assert msgspec.json.decode(msgspec.json.encode(s), type=Summary) == s


def test_undrawn_windows_are_no_failures() -> None:
    """A fresh window without reviews must not pull the estimate anywhere."""
    truth = world(traces=600)
    late = [Row(f"f{k:031x}", start_ns=NOW_NS - 1000) for k in range(400)]
    before = summary(truth.store, now_ns=NOW_NS)
    after = summary(FakeStore(truth.store.rows + late), now_ns=NOW_NS)
    assert after.fidelity.estimate == before.fidelity.estimate
    assert after.reviews.undrawn == before.reviews.undrawn + 400


def test_what_outcomes_call_wrong_needs_no_review() -> None:
    rows = [
        Row(
            f"{k:032x}",
            arms=(Arm("estimation", 0.5, k % 2 == 0, "s"),),
            pi=0.5,
            selected=k % 2 == 0,
            reviews=(Mark("ann", "right"),) if k % 2 == 0 else (),
            outcomes={"resolved": 0.0} if k < 20 else {"resolved": 1.0},
        )
        for k in range(200)
    ]
    s = summary(FakeStore(rows), now_ns=NOW_NS, settings={"report.outcomes": ("resolved",)})
    assert s.wrong_by_outcome == s.silent_by_outcome == 20
    assert s.silent_failure.estimate == pytest.approx(0.1)
    assert s.fidelity.estimate == pytest.approx(0.9)
    assert s.silent_failure.low is not None
    assert s.silent_failure.low >= 0.1
    assert s.fidelity.high is not None
    assert s.fidelity.high <= 0.9
    unheard = summary(FakeStore(rows), now_ns=NOW_NS, settings={"report.outcomes": ("refund",)})
    assert unheard.wrong_by_outcome == 0
    assert unheard.silent_failure.estimate == pytest.approx(0.0)
    assert unheard.fidelity.estimate == pytest.approx(1.0)


def test_loud_failures_are_not_silent() -> None:
    arm = Arm("estimation", 1.0, True, "s")
    rows = [
        Row(
            f"{k:032x}",
            arms=(arm,),
            pi=1.0,
            selected=True,
            reported_success=k % 2 == 0,
            reviews=(Mark("ann", "wrong"),),
        )
        for k in range(40)
    ]
    s = summary(FakeStore(rows), now_ns=NOW_NS)
    assert s.fidelity.estimate == 0.0
    assert s.silent_failure.estimate == pytest.approx(0.5)


def test_non_response_is_made_up_for_within_its_stratum() -> None:
    """All hard ones of a stratum that is reviewed half as often count twice."""
    rows = []
    for k in range(400):
        hard = k % 2 == 0
        answered = not hard or k % 4 == 0
        stratum = "hard" if hard else "easy"
        verdict = Mark("ann", "wrong" if hard else "right")
        rows.append(
            Row(
                f"{k:032x}",
                stratum=stratum,
                pi=0.5,
                selected=True,
                arms=(Arm("estimation", 0.5, True, stratum),),
                reviews=(verdict,) if answered else (),
            )
        )
    frame = read_frame(FakeStore(rows))
    hard = frame.stratum == frame.strata.index("hard")
    assert set(np.round(frame.answered[hard & frame.judged], 9)) == {0.25}
    assert set(np.round(frame.answered[~hard], 9)) == {0.5}
    assert summary(FakeStore(rows), now_ns=NOW_NS).fidelity.estimate == pytest.approx(0.5)


def test_mode_share_of_wrong_answers_is_weighted() -> None:
    """Ten wrong ones with the mode stand for thirty, ten without it for ten; right ones for none."""
    rows = []
    for k in range(40):
        mode, right = k < 10, k >= 20
        pi = 1 / 3 if mode else 0.9
        rows.append(
            Row(
                f"{k:032x}",
                pi=pi,
                selected=True,
                arms=(Arm("estimation", pi, True, "s"),),
                modes=("loop",) if mode or right else (),
                states=("recovered",) if mode or right else (),
                reviews=(Mark("ann", "right" if right else "wrong"),),
            )
        )
    (line,) = summary(FakeStore(rows), now_ns=NOW_NS).modes
    share = line.among_wrong
    assert share.estimate == pytest.approx(30 / (30 + 10 / 0.9))
    assert share.n == 20
    assert share.low is not None
    assert share.high is not None
    assert share.low < 0.73 < share.high
    few = summary(FakeStore(rows), now_ns=NOW_NS, settings={"report.minimum_n": 21})
    assert few.modes[0].among_wrong.estimate is None


def test_noisy_outcomes_sharpen_and_do_not_bias() -> None:
    """A fifth of the outcomes are wrong; by default they only order the traces."""
    gains, errors = [], []
    for seed in range(30):
        draw = random.Random(seed)
        rows, right = [], 0
        for k in range(600):
            truth = draw.random() < 0.7
            right += truth
            selected = draw.random() < 0.2
            rows.append(
                Row(
                    f"{k:032x}",
                    pi=0.2,
                    selected=selected,
                    arms=(Arm("estimation", 0.2, selected, "s"),),
                    reviews=(Mark("ann", "right" if truth else "wrong"),) if selected else (),
                    outcomes={"resolved": float(truth if draw.random() < 0.8 else not truth)},
                )
            )
        silent = [r._replace(outcomes={}) for r in rows]
        with_them = summary(FakeStore(rows), now_ns=NOW_NS).fidelity
        without = summary(FakeStore(silent), now_ns=NOW_NS).fidelity
        assert with_them.estimate is not None
        errors.append(with_them.estimate - right / 600)
        gains.append(with_them.n_effective / without.n_effective)
    spread = np.std(errors) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < 3 * spread
    assert np.median(gains) > 1.15
    counted = summary(FakeStore(rows), now_ns=NOW_NS, settings={"report.outcomes": ("*",)})
    assert counted.fidelity.high is not None
    assert counted.fidelity.high < right / 600  # as verdicts they would have biased it


def test_change_is_seen_only_where_there_is_one() -> None:
    def rows(after: float, seed: int) -> list[Row]:
        draw = random.Random(seed)
        return [
            Row(
                f"{k:032x}",
                start_ns=NOW_NS - (300 - k) * 10**12,
                pi=0.5,
                selected=True,
                arms=(Arm("estimation", 0.5, True, "s"),),
                reviews=(
                    Mark(
                        "ann", "right" if draw.random() < (0.92 if k < 150 else after) else "wrong"
                    ),
                ),
            )
            for k in range(300)
        ]

    settings = {"report.objective": 0.9}
    calm = summary(FakeStore(rows(0.92, 3)), now_ns=NOW_NS, settings=settings).changes
    sunk = summary(FakeStore(rows(0.6, 3)), now_ns=NOW_NS, settings=settings).changes
    assert [c.workflow for c in sunk] == [None, "support.answer"]
    assert calm[0].evidence < 1 <= sunk[0].evidence
    assert calm[0].since_ns is None
    assert sunk[0].since_ns is not None
    assert 100 <= 300 - (NOW_NS - sunk[0].since_ns) / 10**12 <= 200
    assert summary(FakeStore(rows(0.6, 3)), now_ns=NOW_NS).changes == ()


def test_a_benchmark_of_few_cases_widens_the_gap() -> None:
    store = world(traces=600).store
    store.meta["report.benchmark"] = json.dumps({"score": 0.9, "cases": 40})
    few = summary(store, now_ns=NOW_NS).benchmark
    store.meta["report.benchmark"] = json.dumps({"score": 0.9})
    exact = summary(store, now_ns=NOW_NS).benchmark
    assert few is not None
    assert exact is not None
    assert few.gap.estimate == exact.gap.estimate
    assert few.gap.high - few.gap.low > exact.gap.high - exact.gap.low  # type: ignore[operator]


def test_shifting_turns_the_interval_over() -> None:
    made = Estimate("f", 0.78, 0.74, 0.81, 0.95, "m", 100, 90.0, 1000)
    gap = shifted(made, scale=-1, offset=0.92, name="gap")
    assert (gap.low, gap.estimate, gap.high) == pytest.approx((0.11, 0.14, 0.18))
    assert shifted(insufficient("f", level=0.95, n=3), scale=-1).estimate is None


def test_windows_hold_what_began_in_them(made: tuple[World, Summary]) -> None:
    rows, s = made[0].store.rows, made[1]
    everything = [w for w in s.windows if w.workflow is None]
    assert [w.name for w in everything] == ["1d", "3d", "7d", "28d", "all"]
    for line, days in zip(everything, (1, 3, 7, 28, 10_000), strict=True):
        inside = [r for r in rows if r.start_ns >= NOW_NS - days * DAY_NS]
        assert line.traces == len(inside)
        gap = line.benchmark_gap
        assert gap is not None
        if line.fidelity.estimate is not None:
            assert gap.estimate == pytest.approx(0.92 - line.fidelity.estimate)


def test_a_report_since_gives_no_window_longer_than_that(made: tuple[World, Summary]) -> None:
    since = NOW_NS - 5 * DAY_NS
    s = summary(made[0].store, now_ns=NOW_NS, since_ns=since)
    assert {w.name for w in s.windows} == {"1d", "3d", "all"}
    assert s.activity.first_ns is not None
    assert s.activity.first_ns >= since


def test_the_course_covers_all_traffic_in_equal_stretches(made: tuple[World, Summary]) -> None:
    course = made[1].course
    assert 2 <= len(course) <= 12
    assert sum(p.traces for p in course) == made[1].activity.traces
    lengths = {p.end_ns - p.start_ns for p in course}
    assert len(lengths) == 1
    assert all(p.start_ns % (3600 * 10**9) == 0 for p in course)


def test_worst_workflow_is_the_lowest_estimate(made: tuple[World, Summary]) -> None:
    assert made[1].worst_workflow == "refund.decide"


def test_workflows_beyond_the_limit_are_one_line() -> None:
    rows = [Row(f"{k:032x}", workflow=f"w{k % 20:02d}") for k in range(200)]
    s = summary(FakeStore(rows), now_ns=NOW_NS, settings={"report.max_workflows": 5})
    assert [w.workflow for w in s.workflows] == ["w00", "w01", "w02", "w03", "other"]
    assert s.workflows[-1].traces == 160


def test_benchmark_and_truth_come_from_the_store_where_settings_are_silent() -> None:
    store = world(traces=300).store
    store.meta["report.benchmark"] = json.dumps({"score": 0.9, "source": "120 clean questions"})
    store.meta["report.truth"] = json.dumps({"fidelity": 0.8, "silent_failure": 0.1})
    s = summary(store, now_ns=NOW_NS)
    assert s.benchmark is not None
    assert (s.benchmark.score, s.benchmark.source) == (0.9, "120 clean questions")
    assert s.truth is not None
    assert s.truth.fidelity == 0.8
    assert summary(store, now_ns=NOW_NS, settings={"report.benchmark": 0.7}).benchmark.score == 0.7  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["{", "[1]", '{"x": 1}', '"high"'])
def test_a_damaged_note_in_the_store_is_no_error(text: str) -> None:
    store = world(traces=50).store
    store.meta |= {"report.truth": text, "report.benchmark": text}
    s = summary(store, now_ns=NOW_NS)
    assert s.truth is None
    assert s.benchmark is None


def test_settings_default_to_the_table() -> None:
    from fidelity_otel.settings import by_name

    assert ReportSettings.of(None).minimum_n == by_name()["report.minimum_n"].default
    assert ReportSettings.of({"report.level": 0.9}).level == 0.9


def test_a_release_is_compared_with_the_one_before() -> None:
    """Right in 9 of 10, then in 5 of 10: the difference has an interval of its own."""
    rows = []
    for k in range(200):
        release, right = ("r1", k % 10 != 0) if k < 100 else ("r2", k % 2 == 0)
        rows.append(
            Row(
                f"{k:032x}",
                release=release,
                start_ns=NOW_NS - (200 - k) * 10**9,
                arms=(Arm("estimation", 0.5, True, "s"),),
                pi=0.5,
                selected=True,
                reviews=(Mark("ann", "right" if right else "wrong"),),
            )
        )
    first, second = summary(FakeStore(rows), now_ns=NOW_NS).releases
    assert first.difference is None
    made = second.difference
    assert made is not None
    assert made.estimate == pytest.approx(-0.4)
    assert made.low is not None
    assert made.high is not None
    assert made.low < -0.4 < made.high < -0.25
    assert made.name == "r2 − r1"
