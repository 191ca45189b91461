"""`observe` on every kind of thing: it behaves as before, and there is one span a call."""

from __future__ import annotations

import abc
import asyncio
import copy
import dataclasses
import functools
import inspect
import pickle
import sys
import threading
import typing
import weakref

import pytest

import fidelity_otel as fidelity
from fidelity_otel.sdk.state import STATE
from fidelity_otel.testing import Recorded, assert_trace, record


@fidelity.observe
def module_level(a: int, b: str = "x") -> str:
    """Docs."""
    return b * a


@fidelity.observe("renamed", operation="execute_tool")
async def module_coroutine(a: int) -> int:
    await asyncio.sleep(0)
    return a + 1


@fidelity.observe
class ModuleClass:
    """A class."""

    limit: typing.ClassVar[int] = 3

    def __init__(self, base: int) -> None:
        self.base = base

    def add(self, n: int) -> int:
        return self.base + n

    async def aadd(self, n: int) -> int:
        return self.add(n)

    @classmethod
    def make(cls, base: int) -> ModuleClass:
        return cls(base)

    @staticmethod
    def double(n: int) -> int:
        return 2 * n

    @property
    def twice(self) -> int:
        return 2 * self.base

    def _private(self) -> int:
        return -1


def test_a_call_is_a_span_with_input_and_output(recorded: Recorded) -> None:
    assert module_level(2, b="ab") == "abab"
    span = recorded.one("module_level")
    assert span.value("fidelity.input") == {"a": 2, "b": "ab"}
    assert span.value("fidelity.output") == "abab"
    assert not span.error
    assert span.kind == "INTERNAL"


async def test_a_coroutine_function_stays_one(recorded: Recorded) -> None:
    assert inspect.iscoroutinefunction(module_coroutine)
    assert await module_coroutine(1) == 2
    span = recorded.one("execute_tool renamed")
    assert span["gen_ai.tool.name"] == "renamed"
    assert span.value("gen_ai.tool.call.arguments") == {"a": 1}
    assert span.value("gen_ai.tool.call.result") == 2


def test_nesting_follows_the_calls(recorded: Recorded) -> None:
    @fidelity.tool
    def inner(n: int) -> int:
        return 0 if n == 0 else inner(n - 1)

    @fidelity.workflow("outer")
    def outer() -> None:
        inner(1)
        inner(0)

    outer()
    assert_trace(
        recorded,
        """
        invoke_workflow outer
          execute_tool inner
            execute_tool inner
          execute_tool inner
        """,
    )
    assert recorded.one("invoke_workflow outer")["gen_ai.workflow.name"] == "outer"


def test_an_exception_is_the_same_object_and_marks_the_span(recorded: Recorded) -> None:
    error = ValueError("no such order")

    @fidelity.observe
    def fails() -> None:
        raise error

    with pytest.raises(ValueError) as caught:
        fails()
    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    span = recorded.one("fails" if "fails" in recorded.names else recorded.names[0])
    assert span.error
    assert span["error.type"] == "ValueError"
    (event,) = span.events("exception")
    assert event["exception.message"] == "no such order"
    assert "raise error" in event["exception.stacktrace"]


def test_ends_of_iteration_are_no_failures(recorded: Recorded) -> None:
    class Three:
        n = 0

        @fidelity.observe
        def __next__(self) -> int:
            if self.n == 3:
                raise StopIteration
            self.n += 1
            return self.n

        def __iter__(self) -> Three:
            return self

    assert list(Three()) == [1, 2, 3]
    assert not any(s.error for s in recorded.spans)
    assert len(recorded.spans) == 4


async def test_cancellation_is_neither_success_nor_lost(recorded: Recorded) -> None:
    """otel-python-genai#520, neatlogs#135: a cancelled call must not look fine, and must end."""
    started = asyncio.Event()

    @fidelity.agent
    async def slow() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(slow())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (span,) = recorded.spans
    assert span["fidelity.cancelled"] is True
    assert span.error
    assert span["error.type"] == "asyncio.exceptions.CancelledError"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_base_exceptions_pass(recorded: Recorded, error: type[BaseException]) -> None:
    @fidelity.observe
    def stops() -> None:
        raise error

    with pytest.raises(error):
        stops()
    assert len(recorded.spans) == 1


# --- methods, classes, partials, callables -------------------------------------------------------


class Methods:
    @fidelity.observe
    def plain(self, a: int) -> int:
        return a

    @fidelity.observe
    @classmethod
    def class_below(cls, a: int) -> tuple[type, int]:
        return cls, a

    @classmethod
    @fidelity.observe
    def class_above(cls, a: int) -> tuple[type, int]:
        return cls, a

    @fidelity.observe
    @staticmethod
    def static_below(a: int) -> int:
        return a

    @staticmethod
    @fidelity.observe
    def static_above(a: int) -> int:
        return a

    @fidelity.observe
    @property
    def value(self) -> int:
        return 7

    @fidelity.observe
    def __call__(self, a: int) -> int:
        return a


class Child(Methods):
    def plain(self, a: int) -> int:
        return super().plain(a) + 1


def test_methods_in_either_order(recorded: Recorded) -> None:
    it = Child()
    assert it.plain(1) == 2
    assert Child.class_below(1) == (Child, 1) == it.class_below(1)
    assert Child.class_above(1) == (Child, 1) == it.class_above(1)
    assert Child.static_below(1) == 1 == it.static_below(1)
    assert Child.static_above(1) == 1 == it.static_above(1)
    assert it.value == 7
    assert it(3) == 3
    assert {s.name for s in recorded.spans} == {
        "Methods.plain",
        "Methods.class_below",
        "Methods.class_above",
        "Methods.static_below",
        "Methods.static_above",
        "Methods.value",
        "Methods.__call__",
    }
    for span in recorded.spans:
        if span.name not in {"Methods.value", "Methods.__call__"}:
            assert span.value("fidelity.input") == {"a": 1}, span


def test_a_class_stays_a_class(recorded: Recorded) -> None:
    """digma#36: a class decorator breaks static methods."""
    assert inspect.isclass(ModuleClass)
    it = ModuleClass.make(1)
    assert type(it) is ModuleClass
    assert it.add(2) == 3
    assert asyncio.run(it.aadd(1)) == 2
    assert ModuleClass.double(4) == 8
    assert it.twice == 2
    assert it._private() == -1
    assert pickle.loads(pickle.dumps(it)).base == 1
    assert issubclass(type("Sub", (ModuleClass,), {}), ModuleClass)
    assert sorted({s.name for s in recorded.spans}) == [
        "ModuleClass.aadd",
        "ModuleClass.add",
        "ModuleClass.double",
        "ModuleClass.make",
    ]


def test_a_dataclass_and_an_abstract_class(recorded: Recorded) -> None:
    @fidelity.observe
    @dataclasses.dataclass(frozen=True)
    class Point:
        x: int

        def shifted(self) -> Point:
            return dataclasses.replace(self, x=self.x + 1)

    class Base(abc.ABC):
        @fidelity.observe
        @abc.abstractmethod
        def run(self) -> int: ...

    assert Point(1).shifted() == Point(2)
    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]
    assert len(recorded.spans) == 1


def test_partials_stay_partials(recorded: Recorded) -> None:
    """Peers raise AttributeError here: a partial has no __name__."""

    def add(a: int, b: int) -> int:
        return a + b

    made = fidelity.observe(functools.partial(add, 1))
    assert isinstance(made, functools.partial)
    assert made(2) == 3
    assert recorded.spans[0].name.endswith("add")
    assert recorded.spans[0].value("fidelity.input") == {"a": 1, "b": 2}


async def test_partials_of_coroutine_functions(recorded: Recorded) -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    made = fidelity.observe(functools.partial(add, 1))
    assert inspect.iscoroutinefunction(made)
    assert await made(b=2) == 3
    assert recorded.spans[0].value("fidelity.output") == 3


def test_callable_objects_keep_their_methods(recorded: Recorded) -> None:
    @functools.lru_cache
    def cached(n: int) -> int:
        return n * 2

    observed = fidelity.observe(cached)
    assert observed(2) == 4 == observed(2)
    assert observed.cache_info().hits == 1
    observed.cache_clear()
    assert cached.cache_info().hits == 0
    assert len(recorded.spans) == 2

    class Task:
        def __call__(self, n: int) -> int:
            return n

        def delay(self, n: int) -> str:
            return f"queued {n}"

    task = fidelity.observe(Task())
    assert task(1) == 1
    assert task.delay(2) == "queued 2"


async def test_callable_objects_with_async_call(recorded: Recorded) -> None:
    class Bot:
        async def __call__(self, n: int) -> int:
            await asyncio.sleep(0)
            return n

    assert await fidelity.observe(Bot())(4) == 4
    assert recorded.spans[0].value("fidelity.output") == 4


def test_builtins_and_lambdas(recorded: Recorded) -> None:
    assert fidelity.observe(len)([1, 2]) == 2
    assert fidelity.observe(lambda x: x + 1)(1) == 2
    assert fidelity.observe("max", operation="execute_tool")(max)(1, 2) == 2
    assert recorded.names[2] == "execute_tool max"


def test_what_cannot_be_observed_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thing = object()
    assert fidelity.observe(thing) is thing
    assert "not callable" in caplog.text


# --- it looks as before --------------------------------------------------------------------------


def test_inspect_sees_what_it_saw_before() -> None:
    """sentry-python#3177: a decorator must not change the signature."""

    def original(a: int, /, b: str = "x", *rest: int, c: bool, **more: float) -> str:
        """Docs."""
        return b

    original.extra = 1  # type: ignore[attr-defined]
    made = fidelity.observe(original)
    assert inspect.signature(made) == inspect.signature(original)
    assert inspect.getdoc(made) == "Docs."
    assert made.__name__ == "original"
    assert made.__qualname__ == original.__qualname__
    assert made.__module__ == __name__
    assert made.__annotations__ == original.__annotations__
    assert made.extra == 1  # type: ignore[attr-defined]
    assert inspect.unwrap(made) is original
    assert inspect.isfunction(made)
    assert typing.get_type_hints(made) == typing.get_type_hints(original)
    assert inspect.getsourcelines(made) == inspect.getsourcelines(original)


def test_wrong_arguments_raise_the_callers_type_error(recorded: Recorded) -> None:
    with pytest.raises(TypeError, match="module_level"):
        module_level()  # type: ignore[call-arg]
    assert recorded.one("module_level").error


def test_pickling() -> None:
    """wrapt#102: proxies of decorators cannot be pickled; closures can (wrapt#47)."""
    for thing in (module_level, module_coroutine, ModuleClass, Methods.plain, Methods().plain):
        again = pickle.loads(pickle.dumps(thing))
        if inspect.isroutine(thing) and not inspect.ismethod(thing):
            assert again is thing
    assert copy.deepcopy(module_level) is module_level
    weakref.ref(module_level)


def test_arguments_of_all_kinds(recorded: Recorded) -> None:
    @fidelity.observe("f")
    def f(a: int, /, b: int, *rest: int, c: int = 5, **more: int) -> None: ...

    f(1, 2, 3, 4, c=6, d=7, a=8)
    (span,) = recorded.spans
    assert span.value("fidelity.input") == {
        "a": 1,
        "b": 2,
        "rest": [3, 4],
        "c": 6,
        "d": 7,
        "**a": 8,
    }


def test_a_function_whose_first_argument_is_called_self(recorded: Recorded) -> None:
    @fidelity.observe("f")
    def f(self: int) -> int:
        return self

    assert f(1) == 1
    assert recorded.one("f").value("fidelity.input") == {"self": 1}


def test_off_is_a_pass_through() -> None:
    assert STATE.recorder is None
    assert module_level(1) == "x"
    assert asyncio.run(module_coroutine(1)) == 2
    assert ModuleClass(1).add(1) == 2
    assert fidelity.handle() == ""
    assert not fidelity.handle()
    fidelity.bind("a", "b")
    assert fidelity.outcome("x", "y", 1) == ""
    with fidelity.span("a", input=1) as span:
        span.output(1).set("a", 1).documents([]).tool("t").error("e")
        assert not span.handle()
    with fidelity.context(user="u"):
        pass
    assert fidelity.flush() is True
    assert fidelity.shutdown() is True


def test_off_any_way_of_calling_is_the_same() -> None:
    @fidelity.observe
    def shape(*args: int, **kwargs: int) -> tuple[tuple[int, ...], dict[str, int]]:
        return args, kwargs

    @fidelity.observe
    def one(a: int) -> int:
        return a

    assert STATE.recorder is None
    assert shape() == ((), {})
    assert shape(1) == ((1,), {})
    assert shape(1, 2) == ((1, 2), {})
    assert shape(a=1) == ((), {"a": 1})
    assert shape(1, 2, a=3) == ((1, 2), {"a": 3})
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        one()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        one(1, 2)  # type: ignore[call-arg]


def test_capture_can_be_switched_off_and_on_per_function(recorded: Recorded) -> None:
    @fidelity.observe("in", capture_output=False)
    def only_in(a: int) -> int:
        return a

    @fidelity.observe("none", capture=False)
    def nothing(a: int) -> int:
        return a

    only_in(1), nothing(1)
    assert "fidelity.output" not in recorded.one("in").attributes
    assert "fidelity.input" in recorded.one("in").attributes
    assert not {"fidelity.output", "fidelity.input"} & recorded.one("none").attributes.keys()
    with record(capture=False) as off:

        @fidelity.observe("on", capture=True)
        def on(a: int) -> int:
            return a

        on(1), only_in(1), fidelity.observe("plain")(lambda a: a)(1)
    assert "fidelity.output" in off.one("on").attributes
    assert "fidelity.output" not in off.one("plain").attributes


def test_fixed_attributes_model_and_prompt(recorded: Recorded) -> None:
    @fidelity.chat(model="m", provider="p", prompt=("greet", "3"), attributes={"a": 1})
    def ask(messages: list[dict[str, str]]) -> str:
        return "hello"

    ask([{"role": "user", "content": "hi"}])
    span = recorded.one("chat m")
    assert span.kind == "CLIENT"
    assert span["gen_ai.request.model"] == "m"
    assert span["gen_ai.provider.name"] == "p"
    assert (span["gen_ai.prompt.name"], span["gen_ai.prompt.version"]) == ("greet", "3")
    assert span["a"] == 1
    assert span.value("gen_ai.input.messages") == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    ]
    assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == "hello"


def test_reentrant_in_many_threads(recorded: Recorded) -> None:
    errors: list[BaseException] = []

    def run(n: int) -> None:
        try:
            for i in range(50):
                assert module_level(1, str(n * 1000 + i)) == str(n * 1000 + i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors
    spans = recorded.spans
    assert len(spans) == 400
    assert {s.value("fidelity.output") for s in spans} == {
        str(n * 1000 + i) for n in range(8) for i in range(50)
    }


def test_the_module_is_light() -> None:
    """What runs in other people's processes loads no OpenTelemetry SDK until `init`."""
    import subprocess

    code = (
        "import sys, fidelity_otel as f\n"
        "@f.observe\ndef g(): return 1\n"
        "assert g() == 1\n"
        "print([m for m in ('opentelemetry', 'requests', 'wrapt', 'asyncio', 'openai') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
