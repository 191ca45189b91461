"""Shadow mode: a pair of records, and no trace of the candidate in what the user gets."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.model import Span
from fidelity_otel.processor.dialects.summary import keys_of
from fidelity_otel.sdk import guard, shadow
from fidelity_otel.testing import Recorded, StepClock, record


def eventually(check: Callable[[], Any]) -> Any:
    """Wait for another thread to get there; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := check()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.002)
    return found


def candidates(recorded: Recorded) -> list[Any]:
    return [s for s in recorded.spans if s.get("fidelity.shadow.role") == "candidate"]


def incumbents(recorded: Recorded) -> list[Any]:
    return [s for s in recorded.spans if s.get("fidelity.shadow.role") == "incumbent"]


def test_both_are_recorded_as_a_pair(recorded: Recorded) -> None:
    def better(question: str) -> str:
        return question.upper()

    @fidelity.shadow(better)
    @fidelity.workflow("answer")
    def answer(question: str) -> str:
        with fidelity.span("inner"):
            return question

    assert answer("hi") == "hi"
    (candidate,) = eventually(lambda: candidates(recorded))
    (incumbent,) = incumbents(recorded)
    assert incumbent.name == "invoke_workflow answer"
    assert candidate["fidelity.shadow.pair_id"] == incumbent["fidelity.shadow.pair_id"]
    assert candidate["gen_ai.workflow.name"] == "answer~" + candidate["fidelity.shadow.candidate"]
    assert candidate.trace_id != incumbent.trace_id, "costs and numbers are kept apart"
    assert candidate.parent_id is None
    assert candidate.value("fidelity.input") == {"question": "hi"}
    assert candidate.value("fidelity.output") == "HI"
    assert "fidelity.shadow.pair_id" not in recorded.one("inner").attributes


def test_an_incumbent_that_is_not_observed_is_from_then_on(recorded: Recorded) -> None:
    @fidelity.shadow(len, name="length")
    def answer(question: str) -> str:
        return question

    answer("abc")
    (candidate,) = eventually(lambda: candidates(recorded))
    assert candidate.value("fidelity.output") == 3
    assert len(incumbents(recorded)) == 1


@pytest.mark.parametrize("way", ["raise", "exit", "hang", "mutate"])
def test_a_bad_candidate_changes_nothing(way: str, recorded: Recorded) -> None:
    release = threading.Event()

    def bad(items: list[int]) -> None:
        if way == "raise":
            raise RuntimeError("candidate")
        if way == "exit":
            raise SystemExit(1)
        if way == "mutate":
            items.clear()
        if way == "hang":
            release.wait(20)

    @fidelity.shadow(bad, timeout=0.05)
    @fidelity.workflow("answer")
    def answer(items: list[int]) -> list[int]:
        items.append(2)
        return items

    given = [1]
    assert answer(given) is given
    (candidate,) = eventually(lambda: candidates(recorded))
    assert given == [1, 2]
    assert candidate.value("fidelity.input") == {"items": [1]}, "what the incumbent was given"
    if way == "hang":
        assert candidate["error.type"] == "TimeoutError"
        release.set()
    if way in {"raise", "exit"}:
        assert candidate.error


def test_a_hanging_candidate_never_delays_and_never_piles_up(recorded: Recorded) -> None:
    release = threading.Event()
    running = []

    def hangs(n: int) -> None:
        running.append(n)
        release.wait(20)

    @fidelity.shadow(hangs, concurrency=2)
    @fidelity.workflow("answer")
    def answer(n: int) -> int:
        return n

    busy = guard.counts["shadow_busy"]
    try:
        assert [answer(n) for n in range(50)] == list(range(50))
        eventually(lambda: len(running) == 2)
        assert guard.counts["shadow_busy"] == busy + 48
    finally:
        release.set()


def test_the_end_waits_for_candidates_but_not_for_ever(recorded: Recorded) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(n: int) -> None:
        begun.set()
        release.wait(20)

    @fidelity.shadow(slow)
    @fidelity.workflow("answer")
    def answer(n: int) -> int:
        return n

    answer(1)
    assert begun.wait(10)
    try:
        assert not shadow.wait(0.01)
    finally:
        release.set()
    assert shadow.wait(10)
    assert len(candidates(recorded)) == 1


def test_sample_and_budget(recorded: Recorded) -> None:
    clock = StepClock(0)
    draws = iter([0.1, 0.9, 0.2, 0.8, *[0.0] * 10])
    seen: list[int] = []

    @fidelity.shadow(
        seen.append,
        sample=0.5,
        per_minute=3,
        concurrency=50,
        rng=lambda: next(draws),
        clock=lambda: clock() / 1e9,
    )
    @fidelity.workflow("answer")
    def answer(n: int) -> int:
        return n

    for n in range(4):
        answer(n)
    eventually(lambda: sorted(seen) == [0, 2])
    for n in range(4, 8):
        answer(n)
    eventually(lambda: len(seen) == 3)
    clock.advance(61)
    answer(8)
    eventually(lambda: sorted(seen) == [0, 2, 4, 8])


def test_tools_of_a_candidate_are_not_run_unless_safe(recorded: Recorded) -> None:
    done: list[str] = []

    @fidelity.tool
    def refund(order: int) -> str:
        done.append("refund")
        return "refunded"

    @fidelity.tool
    async def notify(order: int) -> str:
        done.append("notify")
        return "sent"

    @fidelity.tool
    def look_up(order: int) -> str:
        done.append("look_up")
        return "found"

    async def candidate(order: int) -> list[str]:
        out = [look_up(order)]
        for call in (refund, notify):
            try:
                result = call(order)
                out.append(await result if inspect.isawaitable(result) else result)
            except fidelity.ShadowBlocked as error:
                out.append(str(error))
        return out

    @fidelity.shadow(candidate, safe=("look_up",))
    @fidelity.workflow("answer")
    def answer(order: int) -> str:
        return refund(order)

    assert answer(1) == "refunded"
    (span,) = eventually(lambda: candidates(recorded))
    assert done == ["refund", "look_up"], "the incumbent's own tools run"
    assert "refund is not declared safe" in span.value("fidelity.output")[1]
    blocked = [s for s in recorded.spans if s.get("fidelity.shadow.blocked")]
    assert {s["gen_ai.tool.name"] for s in blocked} == {"refund", "notify"}
    assert all(s.trace_id == span.trace_id for s in blocked)


def test_stand_ins(recorded: Recorded) -> None:
    @fidelity.tool
    def refund(order: int) -> str:
        raise AssertionError("must not run")

    @fidelity.shadow(lambda order: refund(order), stand_in=lambda name, given: f"{name} {given}")
    @fidelity.workflow("answer")
    def answer(order: int) -> int:
        return order

    answer(order=7)
    (span,) = eventually(lambda: candidates(recorded))
    assert span.value("fidelity.output") == "refund {'order': 7}"


async def test_async_and_streaming_incumbents_and_candidates(recorded: Recorded) -> None:
    async def candidate(n: int) -> AsyncIterator[str]:
        for i in range(n):
            await asyncio.sleep(0)
            yield str(i)

    @fidelity.shadow(candidate, name="c")
    @fidelity.workflow("w")
    async def answer(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @fidelity.shadow(candidate, name="c")
    @fidelity.workflow("s")
    def stream(n: int) -> Iterator[int]:
        yield from range(n)

    @fidelity.shadow(candidate, name="c")
    @fidelity.workflow("a")
    async def astream(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    assert inspect.iscoroutinefunction(answer)
    assert inspect.isgeneratorfunction(stream)
    assert inspect.isasyncgenfunction(astream)
    assert await answer(3) == 3
    assert list(stream(2)) == [0, 1]
    assert [x async for x in astream(2)] == [0, 1]
    found = await asyncio.to_thread(eventually, lambda: len(candidates(recorded)) == 3)
    assert found
    assert {s.value("fidelity.output") for s in candidates(recorded)} == {"012", "01"}
    assert len(incumbents(recorded)) == 3
    pairs = {s["fidelity.shadow.pair_id"] for s in incumbents(recorded)}
    assert pairs == {s["fidelity.shadow.pair_id"] for s in candidates(recorded)}


def test_what_cannot_be_copied_is_left_out(recorded: Recorded) -> None:
    ran: list[Any] = []
    before = guard.counts["shadow_uncopyable"]

    @fidelity.shadow(ran.append)
    @fidelity.workflow("answer")
    def answer(lock: Any) -> int:
        return 1

    assert answer(threading.Lock()) == 1
    assert guard.counts["shadow_uncopyable"] == before + 1
    assert incumbents(recorded) == []
    assert ran == []


def test_off_and_unsampled_no_candidate_runs() -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    ran: list[int] = []

    @fidelity.shadow(ran.append)
    def answer(n: int) -> int:
        return n

    assert answer(1) == 1
    with record(sampler=ALWAYS_OFF):
        assert answer(2) == 2
    assert 1 not in ran


def test_errors_of_the_incumbent_are_its_own(recorded: Recorded) -> None:
    @fidelity.shadow(lambda: None)
    @fidelity.workflow("answer")
    def answer() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        answer()
    assert eventually(lambda: candidates(recorded))


def test_a_candidate_with_a_shadow_of_its_own_starts_no_chain(recorded: Recorded) -> None:
    @fidelity.shadow(lambda n: answer(n))
    @fidelity.workflow("answer")
    def answer(n: int) -> int:
        return n

    answer(1)
    eventually(lambda: candidates(recorded))
    assert len(candidates(recorded)) == 1


def test_the_service_finds_the_pair_by_its_keys(recorded: Recorded) -> None:
    """What the SDK writes on the spans of a pair is what the service joins them by."""

    @fidelity.shadow(lambda n: n + 1, name="new")
    @fidelity.workflow("answer")
    def answer(n: int) -> int:
        return n

    answer(1)
    eventually(lambda: candidates(recorded))
    (one,), (other,) = incumbents(recorded), candidates(recorded)
    mine, theirs = (
        keys_of([Span("t", "s", "n", dialect="fidelity", attributes=dict(each.attributes))])
        for each in (one, other)
    )
    pair = one["fidelity.shadow.pair_id"]
    assert mine == (("shadow.incumbent", pair),)
    assert theirs == (("shadow.candidate", pair),)
    assert other["gen_ai.workflow.name"] == "answer~new"
