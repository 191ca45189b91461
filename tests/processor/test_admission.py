"""Admission: never above its budget, back to zero, and not in and out by turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidelity_otel.errors import Overloaded
from fidelity_otel.processor.admission import Admission


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=60))
def test_the_budget_holds_and_everything_is_given_back(steps: list[tuple[int, bool]]) -> None:
    admission = Admission(100)
    inside: list[int] = []
    for size, leave in steps:
        if leave and inside:
            admission.leave(inside.pop())
            continue
        try:
            admission.enter(size)
            inside.append(size)
        except Overloaded as error:
            assert error.retry_after > 0  # noqa: PT017
        assert admission.in_flight == sum(inside)
        assert admission.in_flight <= 100 or len(inside) == 1
    for size in inside:
        admission.leave(size)
    assert (admission.in_flight, admission.requests) == (0, 0)


def test_after_refusing_it_waits_for_room_before_it_admits_again() -> None:
    admission = Admission(100)
    admission.enter(90)
    with pytest.raises(Overloaded):
        admission.enter(20)
    admission.leave(90)
    admission.enter(80)
    with pytest.raises(Overloaded):
        admission.enter(30)
    with pytest.raises(Overloaded):
        admission.enter(1)  # there would be room, but a moment ago there was none
    admission.leave(80)
    admission.enter(1)


def test_one_request_above_the_budget_is_admitted_alone() -> None:
    admission = Admission(100)
    admission.enter(150)
    with pytest.raises(Overloaded):
        admission.enter(1)
    admission.leave(150)
    admission.enter(10)
    admission.grow(500)  # alone: decompressed it is larger than all that may be
    admission.leave(510)
    admission.enter(50)
    admission.enter(10)
    with pytest.raises(Overloaded):
        admission.grow(60)
    assert admission.in_flight == 60
