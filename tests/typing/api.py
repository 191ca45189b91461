"""What type checkers must say of the public names; read by mypy and basedpyright, never run."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Generic, TypeVar, assert_type, overload

import fidelity_otel as fidelity

T = TypeVar("T")


@fidelity.observe
def plain(a: int, /, b: str = "", *rest: float, c: bool) -> str:
    return b


assert_type(plain(1, "x", 2.0, c=True), str)
plain("1", c=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
plain(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@fidelity.observe("name", workflow="w", capture=False, prompt=("p", "1"))
async def coroutine(a: int) -> list[int]:
    return [a]


async def awaited() -> None:
    assert_type(await coroutine(1), list[int])


@fidelity.workflow("w")
def generator(a: int) -> Generator[int, str, bool]:
    yield a
    return True


assert_type(generator(1), Generator[int, str, bool])


@fidelity.agent
async def agenerator(a: int) -> AsyncIterator[int]:
    yield a


assert_type(agenerator(1), AsyncIterator[int])


@fidelity.tool
def overloaded_inner(a: int) -> int:
    return a


@overload
def many(a: int) -> int: ...
@overload
def many(a: str) -> str: ...
def many(a: int | str) -> int | str:
    return a


observed = fidelity.observe(many)
assert_type(observed(1), int)
assert_type(observed("x"), str)


@fidelity.retrieval("kb")
def identity(a: T) -> T:
    return a


assert_type(identity([1]), list[int])


class Bot(Generic[T]):
    @fidelity.observe
    def method(self, a: T) -> T:
        return a

    @classmethod
    @fidelity.observe
    def above(cls, a: int) -> int:
        return a

    @fidelity.observe
    @classmethod
    def below(cls, a: int) -> int:
        return a

    @staticmethod
    @fidelity.chat(model="m")
    def static(a: int) -> int:
        return a

    @fidelity.observe
    def stream(self) -> Iterator[T]:
        yield from ()


bot: Bot[str] = Bot()
assert_type(bot.method("x"), str)
assert_type(Bot[str].above(1), int)
assert_type(Bot[str].below(1), int)
assert_type(Bot[str].static(1), int)
assert_type(bot.stream(), Iterator[str])


@fidelity.observe
class Whole:
    def __init__(self, a: int) -> None:
        self.a = a


assert_type(Whole(1), Whole)
assert_type(Whole(1).a, int)


def add(a: int, b: int) -> int:
    return a + b


part = fidelity.observe(functools.partial(add, 1))
assert_type(part(2), int)


def candidate(question: str) -> str:
    return question


@fidelity.shadow(candidate, sample=0.1)
@fidelity.workflow
def incumbent(question: str) -> int:
    return len(question)


assert_type(incumbent("x"), int)

with fidelity.span("s", "retrieval", input="q", k=3) as span:
    assert_type(span, fidelity.ActiveSpan)
    assert_type(span.handle(), fidelity.Handle)
    span.input(1).output(2).set("k", 1).error("x").documents([]).tool("t", {}, 1)

assert_type(fidelity.handle(), fidelity.Handle)
assert_type(fidelity.handle().trace_id, str)
assert_type(fidelity.outcome(("ticket", 3), "resolved", True), str)
assert_type(fidelity.flush(), bool)
assert_type(fidelity.headers(), dict[str, str])
for attempt in fidelity.attempts("ask", on=(OSError, ValueError), wait=lambda n: n / 2):
    with attempt:
        assert_type(attempt.number, int)


def mask_of_two(key: str, text: str) -> str | None:
    return None if key == "secret" else text


fidelity.init("service", mask=mask_of_two, redact=["email"], instrument=False)
fidelity.init(mask=str.upper, redact=True)
fidelity.init(nonsense=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
