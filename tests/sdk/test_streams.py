"""Generators and async generators: same behaviour, one span from the first step to the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fidelity_otel as fidelity
from fidelity_otel.testing import Recorded, assert_trace, record


@fidelity.observe("count")
def count(n: int) -> Iterator[str]:
    for i in range(n):
        yield str(i)


@fidelity.observe("acount")
async def acount(n: int) -> AsyncIterator[int]:
    for i in range(n):
        await asyncio.sleep(0)
        yield i


def conversation() -> Generator[str, str, str]:
    """Uses all a generator can do: send, throw, return, clean-up."""
    said = []
    try:
        while True:
            try:
                got = yield f"heard {len(said)}"
            except ValueError as error:
                got = f"error {error}"
            if got == "stop":
                return ",".join(said)
            said.append(got)
    finally:
        said.append("closed")


def test_inspect_still_sees_generator_functions() -> None:
    """Gradio, FastAPI and pytest choose how to call by these answers."""
    assert inspect.isgeneratorfunction(count)
    assert not inspect.isasyncgenfunction(count)
    assert inspect.isasyncgenfunction(acount)
    made = count(1)
    assert inspect.isgenerator(made)
    assert made.__name__ == "count"
    assert made.__qualname__ == "count"
    amade = acount(1)
    assert inspect.isasyncgen(amade)
    assert amade.__name__ == "acount"


def test_wrong_arguments_are_reported_at_the_call(recorded: Recorded) -> None:
    with pytest.raises(TypeError):
        count()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        acount()  # type: ignore[call-arg]


def test_a_stream_read_to_its_end(recorded: Recorded) -> None:
    """openllmetry and openinference: the span ends before or without the output (openlit#1625)."""
    with fidelity.span("before"):
        stream = count(3)
    assert "count" not in recorded.names, "nothing ran yet"
    assert list(stream) == ["0", "1", "2"]
    span = recorded.one("count")
    assert span.value("fidelity.output") == "012"
    assert span["fidelity.stream.chunks"] == 3
    assert span["fidelity.stream.complete"] is True
    assert not span.losses
    assert span.parent_id == recorded.one("before").id, "the parent is where it was called"


def test_a_stream_handed_on_after_the_request_ended_stays_in_its_trace(recorded: Recorded) -> None:
    """langfuse#8216: a StreamingResponse is iterated when the endpoint has returned."""

    @fidelity.workflow("endpoint")
    def endpoint() -> Iterator[str]:
        return count(2)

    response = endpoint()
    assert "".join(response) == "01"
    assert len({s.trace_id for s in recorded.spans}) == 1


def test_a_plain_function_that_returns_a_generator_ends_with_it(recorded: Recorded) -> None:
    def inner() -> Iterator[int]:
        with fidelity.span("work"):
            yield 1

    @fidelity.observe("outer")
    def outer() -> Iterator[int]:
        return inner()

    stream = outer()
    assert "outer" not in recorded.names
    assert list(stream) == [1]
    assert recorded.one("outer").value("fidelity.output") == [1]
    assert recorded.one("work").parent_id == recorded.one("outer").id


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_coroutine_that_nobody_awaits_leaves_a_marked_span(recorded: Recorded) -> None:
    async def inner() -> int:
        return 3

    pending = fidelity.observe("outer")(lambda: inner())()
    del pending
    gc.collect()
    assert "never_awaited" in recorded.one("outer").losses


async def test_a_plain_function_that_returns_a_coroutine_ends_with_it(recorded: Recorded) -> None:
    async def inner() -> int:
        with fidelity.span("work"):
            await asyncio.sleep(0)
        return 3

    outer = fidelity.observe("outer")(lambda: inner())
    pending = outer()
    assert inspect.iscoroutine(pending)
    assert "outer" not in recorded.names
    assert await pending == 3
    assert recorded.one("outer").value("fidelity.output") == 3
    assert recorded.one("work").parent_id == recorded.one("outer").id


def test_break_ends_the_span_at_once(recorded: Recorded) -> None:
    for item in count(10):
        if item == "2":
            break
    span = recorded.one("count")
    assert span["fidelity.stream.complete"] is False
    assert span["fidelity.stream.chunks"] == 3
    assert span.value("fidelity.output") == "012"
    assert "partial_stream" in span.losses
    assert not span.error


async def test_async_break_ends_the_span_before_the_next_flush(recorded: Recorded) -> None:
    """langfuse-python#1627: the event loop closes it later; flush must not miss it."""
    async for item in acount(10):
        if item == 2:
            break
    fidelity.flush()
    span = recorded.one("acount")  # no await in between
    assert span["fidelity.stream.complete"] is False
    assert span.value("fidelity.output") == [0, 1, 2]


async def test_async_stream_closed_in_another_task(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """openinference#1769, openlit#1369, pydantic-ai#6569: no "Failed to detach context"."""
    stream = acount(10)
    assert await anext(stream) == 0
    await asyncio.create_task(stream.aclose())  # type: ignore[attr-defined]
    assert recorded.one("acount")["fidelity.stream.complete"] is False
    with fidelity.span("after"):
        pass
    assert recorded.one("after").parent_id is None
    assert "detach" not in caplog.text


async def test_async_stream_finished_by_the_event_loop(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """pydantic-ai#6569: a spurious detach error on an interrupted stream."""
    cleaned = asyncio.Event()

    @fidelity.observe("cleaning")
    async def cleaning() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    async for _ in cleaning():
        break
    await asyncio.wait_for(cleaned.wait(), 5)
    assert recorded.one("cleaning")["fidelity.stream.complete"] is False
    assert "detach" not in caplog.text


async def test_async_stream_cancelled_while_it_waits(recorded: Recorded) -> None:
    waiting = asyncio.Event()

    @fidelity.observe("endless")
    async def endless() -> AsyncIterator[int]:
        yield 1
        waiting.set()
        await asyncio.Event().wait()

    async def consume() -> None:
        async for _ in endless():
            pass

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    span = recorded.one("endless")
    assert span["fidelity.cancelled"] is True
    assert span.value("fidelity.output") == [1]


def test_a_stream_that_fails_keeps_what_it_gave(recorded: Recorded) -> None:
    @fidelity.observe("broken")
    def broken() -> Iterator[str]:
        yield "a"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(broken())
    span = recorded.one("broken")
    assert span.error
    assert span.value("fidelity.output") == "a"
    assert span["fidelity.stream.complete"] is False


def test_a_stream_dropped_unread_leaves_no_span_and_no_noise(recorded: Recorded) -> None:
    count(3)
    acount(3)
    gc.collect()
    assert recorded.spans == []


def test_send_throw_return_and_close_as_before(recorded: Recorded) -> None:
    observed = fidelity.observe("conversation")(conversation)
    one = observed()
    assert next(one) == "heard 0"
    assert one.send("x") == "heard 1"
    assert one.throw(ValueError("v")) == "heard 2"
    with pytest.raises(StopIteration) as stop:
        one.send("stop")
    assert stop.value.value == "x,error v"
    span = recorded.one("conversation")
    assert span["fidelity.stream.complete"] is True
    assert span.value("fidelity.output") == {
        "yielded": "heard 0heard 1heard 2",
        "returned": "x,error v",
    }


Step = tuple[str, Any]
STEPS = st.lists(
    st.one_of(
        st.just(("next", None)),
        st.tuples(st.just("send"), st.sampled_from(["a", "stop", ""])),
        st.tuples(
            st.just("throw"),
            st.sampled_from([ValueError, KeyError, GeneratorExit, StopIteration]),
        ),
        st.just(("close", None)),
    ),
    max_size=8,
)


def drive(generator: Generator[Any, Any, Any], steps: list[Step]) -> list[Any]:
    """What a consumer sees, step by step."""
    seen: list[Any] = []
    for step, value in steps:
        try:
            if step == "next":
                seen.append(next(generator))
            elif step == "send":
                seen.append(generator.send(value))
            elif step == "throw":
                seen.append(generator.throw(value("thrown")))
            else:
                seen.append(generator.close())
        except BaseException as error:
            inner = error.value if isinstance(error, StopIteration) else str(error)
            seen.append((type(error), inner, type(error.__context__), type(error.__cause__)))
    return seen


def stubborn() -> Generator[Any, Any, Any]:
    """Answers everything, even being closed; gives in after the tenth time."""
    got: Any = None
    for _ in range(10):
        try:
            got = yield got
        except BaseException as error:
            got = repr(error)


@given(STEPS, st.sampled_from([conversation, stubborn]))
def test_any_use_of_a_generator_gives_what_it_gave_before(steps: list[Step], of: Any) -> None:
    with record() as recorded:
        plain, observed = of(), fidelity.observe(of)()
        try:
            assert drive(observed, steps) == drive(plain, steps)
        finally:
            for generator in (plain, observed):  # the stubborn one gives in at last
                for _ in range(12):
                    with contextlib.suppress(RuntimeError):
                        generator.close()
        assert len(recorded.spans) <= 1


def arun(steps: list[Step], make: Any) -> list[Any]:
    async def main() -> list[Any]:
        generator: AsyncGenerator[Any, Any] = make()
        seen: list[Any] = []
        for step, value in steps:
            try:
                if step == "next":
                    seen.append(await anext(generator))
                elif step == "send":
                    seen.append(await generator.asend(value))
                elif step == "throw":
                    seen.append(await generator.athrow(value("thrown")))
                else:
                    seen.append(await generator.aclose())
            except BaseException as error:
                seen.append((type(error), str(error)))
        return seen

    return asyncio.run(main())


async def aconversation() -> AsyncGenerator[str, str]:
    said = 0
    try:
        while True:
            try:
                got = yield f"heard {said}"
            except ValueError:
                await asyncio.sleep(0)
                got = "error"
            if got == "stop":
                return
            said += 1
    finally:
        await asyncio.sleep(0)


@given(STEPS)
def test_any_use_of_an_async_generator_gives_what_it_gave_before(steps: list[Step]) -> None:
    usable = [s for s in steps if s[1] not in {StopIteration, GeneratorExit}]
    with record():
        observed = fidelity.observe(aconversation)
        assert arun(usable, observed) == arun(usable, aconversation)


def test_the_consumers_spans_keep_their_parent(recorded: Recorded) -> None:
    """Four of five peers give the consumer's spans between two items the wrong parent."""

    @fidelity.observe("stream")
    def stream() -> Iterator[int]:
        with fidelity.span("inside"):
            yield 1
            with fidelity.span("deeper"):
                pass
            yield 2
        with fidelity.span("later"):
            pass
        yield 3

    with fidelity.span("caller"):
        for n in stream():
            with fidelity.span(f"use {n}"):
                pass
    assert_trace(
        recorded,
        """
        caller
          stream
            inside
              deeper
            later
          use 1
          use 2
          use 3
        """,
    )


async def test_the_consumers_spans_keep_their_parent_async(recorded: Recorded) -> None:
    """langfuse#7749: spans of the consumer became zero-length siblings."""

    @fidelity.observe("stream")
    async def stream() -> AsyncIterator[int]:
        async with fidelity.span("inside"):
            yield 1
            await asyncio.sleep(0)
            yield 2

    async with fidelity.span("caller"):
        async for n in stream():
            async with fidelity.span(f"use {n}"):
                await asyncio.sleep(0)
    assert_trace(
        recorded,
        """
        caller
          stream
            inside
          use 1
          use 2
        """,
    )


def test_two_streams_in_turns(recorded: Recorded) -> None:
    a, b = count(3), count(3)
    assert [x + y for x, y in zip(a, b, strict=True)] == ["00", "11", "22"]
    assert len(recorded.all("count")) == 2
    assert all(s.parent_id is None for s in recorded.spans)


def test_yield_from_an_observed_generator(recorded: Recorded) -> None:
    @fidelity.observe("outer")
    def outer() -> Iterator[str]:
        yield from count(2)
        yield "end"

    assert "".join(outer()) == "01end"
    assert recorded.one("count").parent_id == recorded.one("outer").id


def test_items_that_are_not_captured_are_counted() -> None:
    with record(capture=False) as recorded:
        assert list(count(3)) == ["0", "1", "2"]
        span = recorded.one("count")
    assert span["fidelity.stream.chunks"] == 3
    assert span.get("fidelity.output") is None


def test_a_long_stream_is_bounded() -> None:
    with record(max_value_bytes=200) as recorded:

        @fidelity.observe("long")
        def long() -> Iterator[str]:
            for _ in range(10_000):
                yield "x" * 10

        for _ in long():
            pass
        span = recorded.one("long")
    assert span["fidelity.stream.chunks"] == 10_000
    assert len(span["fidelity.output"]) <= 200
    assert "truncated:fidelity.output" in span.losses


def test_items_are_copied_when_they_pass(recorded: Recorded) -> None:
    @fidelity.observe("same")
    def same() -> Iterator[dict[str, int]]:
        state = {"n": 0}
        for i in range(3):
            state["n"] = i
            yield state

    list(same())
    assert recorded.one("same").value("fidelity.output") == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_generator_methods_and_classmethods(recorded: Recorded) -> None:
    class Bot:
        @fidelity.observe
        def stream(self, n: int) -> Iterator[int]:
            yield n

        @classmethod
        @fidelity.observe
        def of(cls, n: int) -> Iterator[int]:
            yield n

    assert list(Bot().stream(1)) == [1]
    assert list(Bot.of(2)) == [2]
    assert inspect.isgeneratorfunction(Bot.stream)
    assert inspect.isgeneratorfunction(Bot().stream)
    assert [s.value("fidelity.input") for s in recorded.spans] == [{"n": 1}, {"n": 2}]


def test_unsampled_streams_work(recorded: Recorded) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    with record(sampler=ALWAYS_OFF) as off:
        assert list(count(2)) == ["0", "1"]
        assert off.spans == []


def test_recording_turned_off_while_a_stream_runs() -> None:
    with record() as recorded:
        stream = count(3)
        next(stream)
    assert list(stream) == ["1", "2"]
    assert recorded.names in (["count"], [])
