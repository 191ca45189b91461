"""Following a stream: one span from its first step to its end, whoever ends it and how.

The span is current only while the generator's own code runs, so the consumer's spans between two
items keep their parent. No context token is held across a yield: nothing can be detached in the
wrong task. What the generator's code made current comes back with its next step.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any

import msgspec

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.capture import to_json
from fidelity_otel.sdk.state import STATE

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from fidelity_otel.sdk.recorder import Call, Recorder
    from fidelity_otel.sdk.spec import Spec

__all__ = ["Yielded", "follow_async", "follow_result", "follow_sync", "mark"]


class Yielded:
    """What a stream gave, kept up to a byte limit: joined where it is text, else a list."""

    __slots__ = ("_items", "_keep", "_left", "_mixed", "losses", "skipped")

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._mixed = False
        self._items: list[Any] = []
        self._keep = self._items.append
        self.skipped = 0
        """How many items were counted only."""
        self.losses: set[str] = set()

    @property
    def count(self) -> int:
        """How many items there were."""
        return len(self._items) + self.skipped

    def add(self, item: Any) -> None:
        """Take note of one item; copied, as the application may change it afterwards."""
        left = self._left
        if type(item) is str and (size := len(item)) <= left:
            self._left = left - size
            self._keep(item)
        elif left <= 0:
            self.losses.add("truncated")
            self.skipped += 1
        elif type(item) is str:
            self.losses.add("truncated")
            self._left = 0
            self._keep(item[:left])
        else:
            self._mixed = True
            text, losses = to_json(item, max(left, 64))
            self.losses.update(losses)
            self._left = left - len(text)
            self._keep(_Raw(text))

    def skip(self, _item: Any) -> None:
        """Count one item without keeping it."""
        self.skipped += 1

    def value(self) -> Any:
        """One text where all items were texts, else the list of them."""
        if self._items and not self._mixed:
            return "".join(self._items)
        return [item.load() if isinstance(item, _Raw) else item for item in self._items]


class _Raw:
    """An item already serialised."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def load(self) -> Any:
        return msgspec.json.decode(self._text)


class _Stream:
    """The span of one stream, opened at its first step under the context of the call."""

    __slots__ = ("__weakref__", "_call", "_done", "_open", "_yielded")

    def __init__(self, start: Callable[[], Call], limit: int) -> None:
        self._open = start
        self._call: Call | None = None
        self._yielded = Yielded(limit)
        self._done = False

    def begin(self) -> Call | None:
        """Open the span, where it is not open; None where that failed."""
        if self._call is None:
            try:
                self._call = self._open()
            except Exception as error:  # noqa: BLE001
                guard.trip("start", error)
                self._done = True
        return self._call

    def noting(self) -> Callable[[Any], None]:
        """What takes note of an item; counts only, where content is not captured."""
        yielded = self._yielded
        call = self._call
        return yielded.add if call is not None and call.recording.capture else yielded.skip

    def finish(self, *, returned: Any = None, error: BaseException | None = None) -> None:
        call, done = self._call, self._done
        if call is None or done:
            return
        self._done = True
        try:
            recording = call.recording
            recording.put(sc.FIDELITY_STREAM_CHUNKS, self._yielded.count)
            recording.put(sc.FIDELITY_STREAM_COMPLETE, error is None)
            if error is not None:
                recording.lose("partial_stream")
                recording.fail(error)
            for kind in self._yielded.losses:
                recording.lose(kind, sc.FIDELITY_OUTPUT)
            value = self._yielded.value() if recording.capture else None
            if returned is not None and recording.capture:
                value = (
                    {"yielded": value, "returned": returned} if self._yielded.count else returned
                )
            call.finish(value)
        except Exception as own:  # noqa: BLE001
            guard.trip("end", own)

    def abandoned(self) -> None:
        """The consumer let go of it (an async generator's own clean-up may come much later)."""
        try:
            self.finish(error=GeneratorExit())
        except Exception:  # noqa: BLE001 - runs inside the garbage collector
            guard.counts["end"] += 1


def follow_sync(
    recorder: Recorder,
    spec: Spec,
    inner: Generator[Any, Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Generator[Any, Any, Any]:
    """A generator that does what the inner one does, inside a span."""
    stream = _stream(recorder, spec, args, kwargs)
    outer = _drive(stream, inner)
    _name(outer, inner)
    return outer


def follow_async(
    recorder: Recorder,
    spec: Spec,
    inner: AsyncGenerator[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> AsyncGenerator[Any, Any]:
    """An async generator that does what the inner one does, inside a span."""
    stream = _stream(recorder, spec, args, kwargs)
    outer = _drive_async(stream, inner)
    _name(outer, inner)
    # Broken out of, an async generator is closed by the event loop at some later time. The
    # reference dies at once, and with it the span ends before the next flush.
    _WATCHED.add(outer, stream.abandoned)
    return outer


def _stream(
    recorder: Recorder, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Stream:
    parent: Context = recorder.context()
    start = functools.partial(recorder.open, spec, args, kwargs, parent=parent)
    return _Stream(start, recorder.options.max_value_bytes)


def follow_result(call: Call, result: Any) -> Any:
    """End the call with its result; a generator or coroutine object is followed to its end."""
    kind = type(result)
    if (
        kind is types.GeneratorType
        or kind is types.AsyncGeneratorType
        or kind is types.CoroutineType
    ):
        try:
            call.leave()
            return _followed(call, result)
        except Exception as error:  # noqa: BLE001
            guard.trip("follow", error)
            call.recording.end()
            return result
    call.returned(result)
    return result


def _followed(call: Call, result: Any) -> Any:
    if inspect.iscoroutine(result):
        outer: Any = _drive_coroutine(call, result)
        _name(outer, result)
        _WATCHED.add(outer, call.recording.unawaited)
        return outer
    recorder = STATE.recorder
    stream = _Stream(lambda: call, recorder.options.max_value_bytes if recorder else 0)
    stream.begin()
    outer = _drive_async(stream, result) if inspect.isasyncgen(result) else _drive(stream, result)
    _name(outer, result)
    _WATCHED.add(outer, stream.abandoned)
    return outer


def _drive(stream: _Stream, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    call = stream.begin()
    if call is None:
        return (yield from inner)
    note, attach, current, detach = stream.noting(), call.attach, call.current, call.detach
    context = call.context
    sent: Any = None
    thrown: BaseException | None = None
    closing: GeneratorExit | None = None
    while True:
        token = attach(context)
        try:
            if thrown is None:
                item = inner.send(sent)
            else:
                error, thrown = thrown, None
                item = inner.throw(error)
        except StopIteration as stop:
            call.restore(token)
            stream.finish(returned=stop.value, error=closing)
            return stop.value
        except BaseException as error:
            call.restore(token)
            stream.finish(error=error)
            raise
        try:
            context = current()
            detach(token)
            note(item)
        except Exception as error:  # noqa: BLE001
            guard.trip("step", error)
        try:
            sent = yield item
        except BaseException as error:  # noqa: BLE001 - handed on to the inner generator
            thrown = error
            closing = error if isinstance(error, GeneratorExit) else None


async def _drive_async(
    stream: _Stream, inner: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    call = stream.begin()
    note = stream.noting()
    sent: Any = None
    thrown: BaseException | None = None
    closing: GeneratorExit | None = None
    while True:
        if call is not None:
            call.enter()
        try:
            if thrown is None:
                item = await inner.asend(sent)
            else:
                error, thrown = thrown, None
                item = await inner.athrow(error)
        except StopAsyncIteration:
            if call is not None:
                call.leave()
            stream.finish(error=closing)
            return
        except BaseException as error:
            if call is not None:
                call.leave()
            stream.finish(error=error)
            raise
        if call is not None:
            call.leave()
        try:
            note(item)
        except Exception as error:  # noqa: BLE001
            guard.trip("step", error)
        try:
            sent = yield item
        except BaseException as error:  # noqa: BLE001 - handed on to the inner generator
            thrown = error
            closing = error if isinstance(error, GeneratorExit) else None


async def _drive_coroutine(call: Call, inner: Any) -> Any:
    call.enter()
    try:
        result = await inner
    except BaseException as error:
        call.raised(error)
        raise
    call.returned(result)
    return result


class _Watched:
    """Ends the spans of streams whose consumer let go of them."""

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[Any]] = {}

    def add(self, outer: Any, dropped: Callable[[], None]) -> None:
        """Call `dropped` when nobody holds `outer` any more."""
        refs, key = self._refs, id(outer)

        def gone(ref: weakref.ref[Any]) -> None:
            if refs.get(key) is ref:
                del refs[key]
            dropped()

        refs[key] = weakref.ref(outer, gone)


_WATCHED = _Watched()


def _name(outer: Any, inner: Any) -> None:
    outer.__name__ = inner.__name__
    outer.__qualname__ = inner.__qualname__


def _probe() -> bool:
    """Whether a plain function may carry a generator's flag on this interpreter.

    CPython ≥ 3.11 makes generators by an instruction, not by the flag; the flag is what `inspect`
    reads. Where that does not hold, `mark` does nothing and only `inspect` is the poorer.
    """

    def plain() -> int:
        return 1

    try:
        plain.__code__ = plain.__code__.replace(
            co_flags=plain.__code__.co_flags | inspect.CO_GENERATOR
        )
        return plain() == 1 and inspect.isgeneratorfunction(plain)
    except Exception:  # noqa: BLE001
        return False


_MARKS = _probe()


def mark(wrapper: Callable[..., Any], flag: int) -> Callable[..., Any]:
    """Make `inspect` see a generator function in a function that returns a generator.

    A real generator function would start nothing until its first step: a wrong argument would be
    reported late, and the context of the call (the request it belongs to) would be lost.
    """
    if _MARKS:
        code = wrapper.__code__
        wrapper.__code__ = code.replace(co_flags=code.co_flags | flag)
    return wrapper
