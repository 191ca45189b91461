"""What has sunk, since when and where: reviews, late outcomes, checks on all traffic."""

from __future__ import annotations

import random

import numpy as np
import pytest
from report_frames import DAY_NS, NOW_NS, Arm, FakeStore, Mark, Row

from fidelity_otel.report.change import checks_changed
from fidelity_otel.report.html import render_html
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.summary import ChangeLine, Summary
from fidelity_otel.report.text import render_text

HOUR = 3600 * 10**9


def reported(rows: list[Row], objective: float | None = None) -> Summary:
    return summary(FakeStore(rows), now_ns=NOW_NS, settings={"report.objective": objective})


def reviewed(draw: random.Random, k: int, chance: float, workflow: str) -> Row:
    verdict = "right" if draw.random() < chance else "wrong"
    start = NOW_NS - 20 * DAY_NS + k * HOUR
    mark = Mark("ann", verdict, finished_ns=start + HOUR)
    arms = (Arm("estimation", 0.1, True, workflow),)
    more = {"arms": arms, "pi": 0.1, "selected": True, "reviews": (mark,), "stratum": workflow}
    return Row(f"{k:032x}", workflow, start_ns=start, end_ns=start + 10**9, **more)


def test_reviews_name_the_beginning_its_interval_and_what_fell() -> None:
    """Workflow b falls from .9 to .4 at hour 240; a stays."""
    draw = random.Random(5)
    rows = []
    for k in range(480):
        workflow = "ab"[k % 2]
        sunk = workflow == "b" and k >= 240
        rows.append(reviewed(draw, k, 0.4 if sunk else 0.9, workflow))
    made = reported(rows, objective=0.85)
    lines = {c.workflow: c for c in made.changes if c.watch == "reviews"}
    whole, calm, fallen = lines[None], lines["a"], lines["b"]
    change = NOW_NS - 20 * DAY_NS + 240 * HOUR
    assert calm.evidence < 1
    assert calm.since_ns is None
    for line in (whole, fallen):
        assert line.evidence >= 1
        assert line.low_ns <= line.since_ns <= line.high_ns
        assert line.low_ns <= change <= line.high_ns
        assert line.before > 0.8
        assert line.after < 0.7
    assert whole.fell == ("b",)
    assert fallen.fell == (), "one stratum: nothing to tell apart"
    for page in (render_text(made), render_html(made)):
        assert "b: reviews" in page
        assert "all requests: reviews" in page
        assert "a: reviews" not in page


def with_outcome(k: int, value: float, time: int) -> Row:
    start = NOW_NS - 40 * DAY_NS
    times = {"outcome_times": {"resolved": time}}
    return Row(f"{k:032x}", start_ns=start, end_ns=start, outcomes={"resolved": value}, **times)


@pytest.mark.parametrize(("later", "alarm"), [(0.9, False), (0.6, True)])
def test_outcomes_are_held_against_what_they_said_earlier(later: float, alarm: bool) -> None:
    """In the order in which they came: all these requests were made at one moment."""
    draw = random.Random(7)
    rows = []
    for k in range(600):
        time = NOW_NS - 38 * DAY_NS + k * HOUR
        chance = 0.9 if k < 400 else later
        rows.append(with_outcome(k, float(draw.random() < chance), time))
    draw.shuffle(rows)
    line = next(c for c in reported(rows).changes if c.workflow is None)
    assert line.watch == "outcome:resolved"
    assert 0.8 < line.expected < 0.9
    assert (line.evidence >= 1) is alarm
    assert (line.since_ns is not None) is alarm
    if line.since_ns is not None:
        assert line.low_ns <= NOW_NS - 38 * DAY_NS + 400 * HOUR <= line.high_ns


def test_few_outcomes_tell_nothing() -> None:
    rows = [with_outcome(k, 0.0 if k > 50 else 1.0, NOW_NS - k) for k in range(99)]
    assert reported(rows).changes == ()


def hours(chance: np.ndarray, seed: int = 3) -> list[ChangeLine]:
    rng = np.random.default_rng(seed)
    start = NOW_NS - chance.size * HOUR + np.arange(chance.size) * HOUR
    traces = np.full(chance.size, 400.0)
    quiet = rng.binomial(400, chance).astype(float)
    return list(checks_changed([("w", start, traces, quiet)], now_ns=NOW_NS))


def test_checks_see_a_fall_within_a_day_and_not_the_hours_of_the_day() -> None:
    """Nights are two points worse than days: that is how it always was."""
    count = 42 * 24
    wave = 0.93 + 0.01 * np.sin(np.arange(count) / 24 * 2 * np.pi)
    (calm,) = hours(wave)
    assert calm.evidence < 1
    assert calm.since_ns is None
    sunk = wave - 0.06 * (np.arange(count) >= count - 30)
    (line,) = hours(sunk)
    assert line.watch == "checks"
    assert line.evidence >= 1
    assert line.low_ns <= NOW_NS - 30 * HOUR <= line.high_ns


def test_checks_need_days_to_compare_with() -> None:
    assert hours(np.full(30, 0.9)) == []
    assert hours(np.zeros(0)) == []


def test_checks_raise_few_false_alarms() -> None:
    """Forty systems for six weeks, each day a little different from the last, and nothing wrong."""
    rng = np.random.default_rng(11)
    alarms = 0
    for seed in range(40):
        days = np.clip(rng.normal(0.92, 0.01, 42), 0, 1)
        (line,) = hours(np.repeat(days, 24), seed)
        alarms += line.since_ns is not None
    assert alarms <= 2


def test_the_report_counts_hours_whether_folded_or_not() -> None:
    rows = []
    for k in range(40 * 24 * 4):
        start = NOW_NS - 40 * DAY_NS + k // 4 * HOUR
        quiet = k % 10 != 0 if k < 36 * 24 * 4 else k % 3 != 0
        row = Row(f"{k:032x}", start_ns=start, end_ns=start, reported_success=quiet)
        rows.append(row)
    line = next(c for c in reported(rows).changes if c.workflow is None)
    assert (line.watch, line.since_ns is not None) == ("checks", True)
    assert line.low_ns <= NOW_NS - 4 * DAY_NS <= line.high_ns


def test_reviewers_are_told_apart_by_what_others_say() -> None:
    """Cleo calls a third of what is wrong right; Ann and Ben hardly err."""
    draw = random.Random(2)
    miss = {"ann": 0.03, "ben": 0.03, "cleo": 0.35}
    rows = []
    for k in range(600):
        right = draw.random() < 0.7
        marks = []
        for who in draw.sample(sorted(miss), 2):
            slips = draw.random() < (0.03 if right else miss[who])
            marks.append(Mark(who, "right" if right != slips else "wrong"))
        arms = (Arm("estimation", 0.5, True, "s"),)
        rows.append(Row(f"{k:032x}", arms=arms, pi=0.5, selected=True, reviews=tuple(marks)))
    made = reported(rows)
    seen = {line.reviewer: line.wrong_seen for line in made.reviewers}
    assert seen["cleo"] == pytest.approx(0.65, abs=0.12)
    assert min(seen["ann"], seen["ben"]) > 0.88
    assert all(line.right_kept > 0.9 for line in made.reviewers)
    assert "cleo" in render_text(made)
    assert "cleo" in render_html(made)
    assert reported(rows[:12]).reviewers == (), "too few to tell"


def test_the_interval_for_daily_lookers_holds_the_truth_and_is_wider() -> None:
    draw = random.Random(9)
    missed = 0
    for _ in range(20):
        rows = [reviewed(draw, k, 0.8, "a") for k in range(150)]
        rows += [Row(f"u{k}", "a", stratum="a", pi=0.1) for k in range(1350)]
        made = reported(rows)
        always = made.always
        assert always is not None
        assert always.n == 150
        assert always.high - always.low > made.fidelity.high - made.fidelity.low
        missed += not always.low <= 0.8 <= always.high
    assert missed <= 3
    assert "every day" in render_text(made)
