"""Retries and fallbacks of an application's own, and what is said of them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fidelity_otel as fidelity
from fidelity_otel.testing import Recorded, assert_trace, record


def ask(plan: dict[int, type[Exception] | None], **options: object) -> list[tuple[int, object]]:
    """Make attempts that fail as planned by their number; who was asked, in turn."""
    made: list[tuple[int, object]] = []
    for attempt in fidelity.attempts("ask", **options):  # type: ignore[arg-type]
        with attempt:
            made.append((attempt.number, attempt.choice))
            if error := plan.get(attempt.number):
                raise error(f"try {attempt.number}")
    return made


def test_first_try(recorded: Recorded) -> None:
    assert ask({}) == [(1, None)]
    assert recorded.one("ask")["fidelity.recovery"] == "first_try"
    assert recorded.one("ask")["fidelity.attempt.count"] == 1
    assert_trace(recorded, "ask\n  attempt ask")


def test_recovered(recorded: Recorded) -> None:
    assert len(ask({1: TimeoutError, 2: TimeoutError})) == 3
    span = recorded.one("ask")
    assert span["fidelity.recovery"] == "recovered"
    assert span["fidelity.attempt.count"] == 3
    assert not span.error
    first, second = span.events("fidelity.attempt")
    assert first["error.type"] == "TimeoutError"
    assert (first["fidelity.attempt.number"], second["fidelity.attempt.number"]) == (1, 2)
    tries = recorded.all("attempt ask")
    assert [t.error for t in tries] == [True, True, False]
    assert [t["fidelity.attempt.number"] for t in tries] == [1, 2, 3]


def test_fallback(recorded: Recorded) -> None:
    made = ask({1: OSError, 2: OSError}, tries=2, choices=("large", "small"))
    assert made == [(1, "large"), (2, "large"), (3, "small")]
    assert recorded.one("ask")["fidelity.recovery"] == "fallback"
    assert recorded.all("attempt ask")[2]["fidelity.attempt.choice"] == "small"


def test_abandoned(recorded: Recorded) -> None:
    with pytest.raises(OSError, match="try 3"):
        ask(dict.fromkeys(range(1, 9), OSError))
    span = recorded.one("ask")
    assert span["fidelity.recovery"] == "abandoned"
    assert span.error
    assert span["fidelity.attempt.count"] == 3


def test_other_errors_pass_at_once(recorded: Recorded) -> None:
    with pytest.raises(KeyError):
        ask({1: KeyError}, on=OSError)
    assert recorded.one("ask")["fidelity.attempt.count"] == 1
    assert recorded.one("ask")["fidelity.recovery"] == "abandoned"


def test_left_early(recorded: Recorded) -> None:
    for attempt in fidelity.attempts("ask"):
        with attempt:
            raise OSError
        break
    assert recorded.one("ask")["fidelity.recovery"] == "abandoned"


async def test_async(recorded: Recorded) -> None:
    async for attempt in fidelity.attempts("ask", on=OSError, wait=lambda n: 0):
        async with attempt:
            with fidelity.span("inner"):
                pass
            if attempt.number < 3:
                raise OSError
    assert recorded.one("ask")["fidelity.recovery"] == "recovered"
    inner = recorded.all("inner")
    assert [s.parent_id for s in inner] == [s.id for s in recorded.all("attempt ask")]


@given(st.integers(0, 5), st.integers(1, 4), st.integers(1, 3))
def test_the_loop_is_the_same_while_recording_is_off(fails: int, tries: int, choices: int) -> None:
    plan: dict[int, type[Exception] | None] = dict.fromkeys(range(1, fails + 1), OSError)

    def run() -> object:
        try:
            return ask(plan, tries=tries, choices=tuple(range(choices)))
        except OSError as error:
            return str(error)

    off = run()
    with record():
        assert run() == off


def test_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    ask({1: OSError, 2: OSError, 3: OSError}, tries=4, wait=0.5)
    assert slept == [0.5, 1.0, 2.0]
    slept.clear()
    ask({1: OSError}, wait=lambda number: 1e9)
    assert slept == [30.0]
