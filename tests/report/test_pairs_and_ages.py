"""Shadow pairs and second looks: against a known truth, and kept out of what users got."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from report_frames import NOW_NS, Arm, FakeStore, Mark, Row

from fidelity_otel.model import Decision, Trace
from fidelity_otel.processor.sample import Sampler, draw
from fidelity_otel.report.html import render_html
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.pairs import _both
from fidelity_otel.report.text import render_text
from fidelity_otel.stats.survival import still_right


def answer(name: str, workflow: str, verdict: str | None, pi: float = 0.5) -> Row:
    """A drawn answer, judged where a verdict is given."""
    return Row(
        trace_id=name,
        workflow=workflow,
        stratum=workflow,
        arms=(Arm("estimation", pi, True, workflow),),
        pi=pi,
        selected=True,
        reviews=(Mark("ann", verdict),) if verdict else (),
    )


def shadowed(better: int, worse: int, alike: int) -> FakeStore:
    rows, marks = [], []
    outcomes = [("wrong", "right")] * better + [("right", "wrong")] * worse
    for k, (one, other) in enumerate(outcomes + [("right", "right")] * alike):
        rows += [answer(f"i{k}", "ask", one), answer(f"c{k}", "ask~new", other)]
        marks += [(f"i{k}", "incumbent", f"p{k}"), (f"c{k}", "candidate", f"p{k}")]
    return FakeStore(rows, shadows=marks)


def test_a_candidate_is_compared_and_never_counted() -> None:
    made = summary(shadowed(better=18, worse=2, alike=20), now_ns=NOW_NS)
    assert made.activity.traces == 40, "no user got the candidate's answers"
    assert [w.workflow for w in made.workflows] == ["ask"]
    assert made.fidelity.estimate == pytest.approx(22 / 40)
    (line,) = made.pairs
    assert (line.incumbent, line.candidate) == ("ask", "ask~new")
    assert (line.pairs, line.judged, line.candidate_only, line.incumbent_only) == (40, 40, 18, 2)
    assert line.difference.estimate == pytest.approx(0.4)
    assert line.difference.low is not None
    assert line.difference.low > 0
    assert line.p_value < 0.01
    assert "40 points" in render_text(made)
    assert "ask~new" in render_html(made)


def test_few_or_half_judged_pairs_are_not_compared() -> None:
    store = shadowed(better=3, worse=0, alike=2)
    store.rows[1] = answer("c0", "ask~new", None)
    store.shadows.append(("gone", "candidate", "p9"))
    made = summary(store, now_ns=NOW_NS)
    (line,) = made.pairs
    assert (line.pairs, line.judged) == (5, 4)
    assert not line.difference.sufficient
    assert "insufficient data" in render_text(made)


def test_verdicts_that_follow_the_order_are_noticed() -> None:
    """What Ann judges first is always right, whichever of the two it is."""
    store = shadowed(better=15, worse=15, alike=0)
    for k, row in enumerate(store.rows):
        won = row.reviews[0].verdict == "right"
        mark = row.reviews[0]._replace(finished_ns=10 * k + (1 if won else 12))
        store.rows[k] = row._replace(reviews=(mark,))
    (line,) = summary(store, now_ns=NOW_NS).pairs
    assert line.order_p is not None
    assert line.order_p < 0.001
    fair = shadowed(better=15, worse=15, alike=0)
    for k, row in enumerate(fair.rows):
        mark = row.reviews[0]._replace(finished_ns=k)
        fair.rows[k] = row._replace(reviews=(mark,))
    (line,) = summary(fair, now_ns=NOW_NS).pairs
    assert line.order_p == pytest.approx(1.0)
    (line,) = summary(shadowed(better=15, worse=15, alike=0), now_ns=NOW_NS).pairs
    assert line.order_p is None, "at one moment: no order"


def test_a_missed_look_leaves_the_time_of_failure_open() -> None:
    """Of 60 looked at after a day half were wrong; 40 others missed that look, and half are wrong
    after a week: most of those have been wrong since the first day as well."""
    rows = []
    for k in range(100):
        marks = [Mark("ann", "right")]
        verdict = "wrong" if k % 2 else "right"
        if k < 60:
            marks.append(Mark("ben", verdict, phase="recheck-1"))
        if k >= 60 or verdict == "right":
            marks.append(Mark("ann", verdict, phase="recheck-7"))
        rows.append(answer(f"{k}", "ask", None)._replace(reviews=tuple(marks)))
    made = summary(FakeStore(rows), now_ns=NOW_NS)
    day, week = made.ages
    assert day.still_right.estimate == pytest.approx(0.7)
    assert day.with_missed == pytest.approx(0.5)
    assert week.still_right.estimate == pytest.approx(0.5, abs=0.03)
    assert week.with_missed is None or week.with_missed == pytest.approx(0.5)
    assert "50% with missed looks" in render_text(made)
    assert "50% with missed looks" in render_html(made)


class Candidate:
    """A row of a window, as the draw wants it."""

    def __init__(self, decision: Decision, modes: tuple[str, ...] = ()) -> None:
        self.decision = decision
        self.modes = modes


def shadow_pair(k: int, modes: tuple[str, ...], workflows: tuple[str, str]) -> list[Trace]:
    return [
        Trace(f"{role[0]}{k}", (), workflow=workflow, keys=((f"shadow.{role}", f"p{k}"),))
        for role, workflow in zip(("incumbent", "candidate"), workflows, strict=True)
    ]


@pytest.mark.parametrize("reviews", [0.8, 3.0, 12.0], ids="{:g} a window".format)
@pytest.mark.parametrize("workflows", [("ask", "new"), ("ask", "ask")], ids="-".join)
def test_both_of_a_pair_are_drawn_as_often_as_the_weights_say(
    reviews: float, workflows: tuple[str, str]
) -> None:
    """The sampler's own draw over salts: 1/P(both) over the pairs drawn counts all pairs.

    Quotas are fractions of a review, as they are in hourly windows; of half of the pairs both
    answers have the same failure mode, so that they meet in one cell of the discovery arm.
    """
    modes = [("loop",), (), ("auth",), (), (), ("loop",), (), (), ("loop",), ()]
    pairs = [shadow_pair(k, found, workflows) for k, found in enumerate(modes)]
    totals, expected, together, alone, taken = [], 0.0, 0, 0, 0
    for n in range(1500):
        given = {"sample.reviews_per_day": reviews, "sample.window_seconds": 86400.0}
        sampler = Sampler(given | {"sample.stratum_floor": 0.1}, f"salt {n}")
        rows = [
            Candidate(sampler.candidate(t, (), 0.1 + 0.02 * k, NOW_NS), modes[k])
            for k, pair in enumerate(pairs)
            for t in pair
        ]
        drawn = draw(rows, sampler.budget(), {}, sampler.salt, floor=0.1)
        total = 0.0
        for one, other in pairs:
            a, b = drawn.arms[one.trace_id], drawn.arms[other.trace_id]
            hits = any(x.selected for x in a), any(x.selected for x in b)
            expected += _both(a, b)
            total += 1.0 / _both(a, b) if all(hits) else 0.0
            together += all(hits)
            alone += sum(hits) == 1
            taken += sum(hits)
        totals.append(total)
    error = 4 * float(np.std(totals)) / len(totals) ** 0.5
    assert float(np.mean(totals)) == pytest.approx(len(pairs), abs=error)
    assert together == pytest.approx(expected, abs=3 * expected**0.5)
    assert expected > 300
    assert taken / len(totals) <= reviews * 1.02, "and no more are drawn than there are reviews"
    assert together > 2 * alone, "a pair is drawn together or not at all, nearly always"


def test_second_looks_give_the_share_still_right() -> None:
    chance = random.Random(4)
    rows = []
    for k in range(400):
        pi, gone = (0.2, 0.1) if k % 2 else (0.8, 0.4)  # after a week; none before
        marks = [Mark("ann", "right"), Mark("ben", "right", phase="recheck-1")]
        if k < 300:  # the others are not a week old
            fell = chance.random() < gone
            marks.append(Mark("ann", "wrong" if fell else "right", phase="recheck-7"))
        row = answer(f"{k}", "ask", None, pi)._replace(stratum=f"{k % 2}", reviews=tuple(marks))
        drawn = chance.random() < pi
        rows.append(row if drawn else row._replace(selected=False, reviews=()))
    made = summary(FakeStore(rows), now_ns=NOW_NS)
    day, week = made.ages
    assert (day.days, week.days) == (1, 7)
    assert day.still_right.estimate == 1.0
    assert day.still_right.low is not None
    assert 0.9 < day.still_right.low < 1.0, "none seen is not none"
    assert week.still_right.low is not None
    assert week.still_right.high is not None
    assert week.still_right.low < 0.75 < week.still_right.high
    assert "7 days" in render_text(made)
    assert "7 days" in render_html(made)


def test_rechecks_never_change_the_first_estimate() -> None:
    looks = (Mark("ann", "right"), Mark("ben", "wrong", phase="recheck-7"))
    rows = [answer(f"{k}", "ask", None)._replace(reviews=looks) for k in range(20)]
    made = summary(FakeStore(rows), now_ns=NOW_NS)
    assert made.fidelity.estimate == 1.0
    assert made.ages[0].still_right.estimate == 0.0
    assert made.ages[0].still_right.high is not None
    assert made.ages[0].still_right.high > 0.0


def test_still_right_covers() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        weight = rng.choice([1.0, 3.0], 120)
        at = rng.choice([1.0, 7.0, 42.0, 99.0], 120, p=[0.1, 0.2, 0.2, 0.5])
        seen = rng.choice([1.0, 7.0, 42.0], 120)
        failed = at <= seen
        got: Any = still_right(7.0, np.where(failed, at, seen), failed, weight)
        hits += got.low <= 0.7 <= got.high
    assert 0.92 <= hits / 300 <= 0.99


def test_reviewers_errors_are_taken_out_where_doubles_tell() -> None:
    rng = random.Random(1)

    def said(truth: bool) -> str:
        return "right" if truth ^ (rng.random() < 0.08) else "wrong"

    rows, right = [], 0
    for k in range(3000):
        truth = k % 10 != 0
        right += truth
        looks = (Mark("ann", said(truth)), Mark("ben", said(truth)))
        rows.append(answer(f"{k}", "ask", None)._replace(reviews=looks))
    made = summary(FakeStore(rows), now_ns=NOW_NS)
    assert made.fidelity.estimate == pytest.approx(0.9 * 0.92 + 0.1 * 0.08, abs=0.02)
    assert made.corrected is not None
    assert made.corrected.low is not None
    assert made.corrected.high is not None
    assert made.corrected.low <= right / 3000 <= made.corrected.high
    assert made.corrected.estimate == pytest.approx(0.9, abs=0.02)
    assert summary(FakeStore(rows[:15]), now_ns=NOW_NS).corrected is None, "too few pairs"
