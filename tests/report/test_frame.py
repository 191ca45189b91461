"""From the store's columns to arrays: which reviews count, and what a trace's state is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_frames import Arm, FakeStore, Mark, Row

from fidelity_otel.report.frame import label_of, read_frame, worst_states


@pytest.mark.parametrize(
    ("reviews", "label"),
    [
        ([Mark("ann", "right")], 1.0),
        ([Mark("ann", "partly")], 0.5),
        ([Mark("ann", "wrong"), Mark("ben", "right")], 0.5),
        ([Mark("ann", "cannot_tell"), Mark("ben", "wrong")], 0.0),
        ([Mark("ann", "wrong", hand_picked=True), Mark("ben", "right")], 1.0),
        ([Mark("ann", "right"), Mark("ann", "wrong", phase="recheck-7")], 1.0),
        (
            [Mark("ann", "right"), Mark("ben", "wrong"), Mark("cy", "wrong", phase="adjudication")],
            0,
        ),
        ([Mark("ann", "right"), Mark("cy", "cannot_tell", phase="adjudication")], 1.0),
    ],
)
def test_reviews_become_one_label(reviews: list[Mark], label: float) -> None:
    assert label_of(reviews) == label


@pytest.mark.parametrize(
    "reviews",
    [
        [],
        [Mark("ann", "cannot_tell")],
        [Mark("ann", "right", hand_picked=True)],
        [Mark("ann", "right", phase="recheck-1")],
    ],
)
def test_no_label_without_a_verdict_of_the_sample(reviews: list[Mark]) -> None:
    assert math.isnan(label_of(reviews))


def test_the_worst_state_of_a_mode_holds() -> None:
    states = worst_states(
        ["loop", "loop", "timeout", "timeout"],
        ["recovered", "unrecovered", "escalated", "recovered"],
    )
    assert states == {"loop": "unrecovered", "timeout": "escalated"}


def test_loud_traces_say_that_they_failed_or_have_an_open_finding() -> None:
    frame = read_frame(
        FakeStore(
            [
                Row("a"),
                Row("b", reported_success=False),
                Row("c", modes=("loop",), states=("recovered",)),
                Row("d", modes=("loop",), states=("unrecovered",)),
                Row("e", modes=("loop", "timeout"), states=("recovered", "escalated")),
            ]
        )
    )
    assert frame.loud.tolist() == [False, True, False, True, True]


def test_undrawn_hand_picked_and_unsure_traces_are_told_apart() -> None:
    arm = Arm("estimation", 0.5, True, "s")
    frame = read_frame(
        FakeStore(
            [
                Row("undrawn"),
                Row("picked", reviews=(Mark("ann", "wrong", hand_picked=True),)),
                Row(
                    "unsure",
                    arms=(arm,),
                    pi=0.5,
                    selected=True,
                    reviews=(Mark("ann", "cannot_tell"),),
                ),
                Row("judged", arms=(arm,), pi=0.5, selected=True, reviews=(Mark("ann", "right"),)),
                Row("waiting", arms=(arm,), pi=0.5, selected=True),
            ]
        )
    )
    assert frame.drawn.tolist() == [False, False, True, True, True]
    assert frame.judged.tolist() == [False, False, False, True, False]
    assert frame.unsure.tolist() == [False, False, True, False, False]


def test_an_empty_store_is_an_empty_frame() -> None:
    frame = read_frame(FakeStore([]))
    assert len(frame) == 0
    assert frame.judged.shape == (0,)
    assert frame.take(np.zeros(0, dtype=bool)).loud.shape == (0,)


def test_traces_of_a_conversation_or_user_are_one_cluster() -> None:
    frame = read_frame(
        FakeStore(
            [
                Row("a", conversation_id="x"),
                Row("b", conversation_id="x", user_id="u"),
                Row("c", user_id="x"),
                Row("d", user_id="x"),
                Row("e"),
                Row("f"),
            ]
        )
    )
    a, b, c, d, e, f = frame.cluster
    assert a == b
    assert c == d
    assert len({a, c, e, f}) == 4


@given(st.lists(st.sampled_from(["right", "wrong", "partly", "cannot_tell"]), max_size=5))
def test_a_label_is_a_share_or_nothing(verdicts: list[str]) -> None:
    label = label_of([Mark(str(k), v) for k, v in enumerate(verdicts)])
    telling = [v for v in verdicts if v != "cannot_tell"]
    assert math.isnan(label) if not telling else 0.0 <= label <= 1.0


def test_a_part_alone_keeps_what_is_its_own_and_nothing_else() -> None:
    rows = [
        Row(f"t{k}", workflow=f"w{k % 3}", stratum=f"s{k}", conversation_id=f"c{k // 2}")
        for k in range(6)
    ]
    frame = read_frame(FakeStore(rows))
    part = frame.take(np.arange(6) >= 4)
    assert list(part.trace_id) == ["t4", "t5"]
    assert len(part.told) == 6, "shared with the whole"
    alone = part.alone()
    assert list(alone.told.trace_id) == list(alone.trace_id) == ["t4", "t5"]
    assert list(alone.workflow) == list(part.workflow) == ["w1", "w2"]
    assert (alone.strata, alone.clusters) == (("s4", "s5"), ("c:c2",))
