"""Watching a client's stream from within: each item seen, and how it ended, without a new type."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, Final, Protocol

from fidelity_otel.sdk import guard
from fidelity_otel.sdk.modelcall import ModelCall

__all__ = ["Reader", "StreamWatch", "watch_async", "watch_sync"]


class Reader(Protocol):
    """Puts a provider's chunks together and writes the whole on the call."""

    def add(self, chunk: Any, /) -> None:
        """Take one chunk in."""
        ...

    def write(self, call: ModelCall) -> None:
        """Write what the chunks amount to."""
        ...


class StreamWatch:
    """The open call of one stream; ends once: read out, failed, closed or let go of."""

    __slots__ = ("__weakref__", "_call", "_done", "_reader")

    def __init__(self, call: ModelCall, reader: Reader) -> None:
        self._call = call
        self._reader = reader
        self._done = False

    @property
    def call(self) -> ModelCall:
        """The call; what a stream asks for only when it is read belongs to it."""
        return self._call

    @property
    def reader(self) -> Reader:
        """What puts the chunks together."""
        return self._reader

    def item(self, chunk: Any) -> None:
        """A chunk passed on its way to the application."""
        try:
            self._call.chunk()
            self._reader.add(chunk)
        except Exception as error:  # noqa: BLE001
            guard.trip("stream", error)

    def end(self, error: BaseException | None = None, *, complete: bool = False) -> None:
        """The stream is over."""
        if self._done:
            return
        self._done = True
        try:
            self._reader.write(self._call)
            if error is not None:
                self._call.fail(error)
        except Exception as own:  # noqa: BLE001
            guard.trip("stream", own)
        finally:
            self._call.end(stream=True, complete=complete)

    def until_dropped(self, stream: Any) -> None:
        """End it when the application lets go of its stream without reading or closing it."""
        key = id(stream)

        def gone(ref: weakref.ref[Any]) -> None:
            if _REFS.get(key) is ref:
                del _REFS[key]
            self.end()

        _REFS[key] = weakref.ref(stream, gone)

    def moved(self, old: int, stream: Any) -> None:
        """The application gets another stream instead of the one whose `id` was `old`."""
        _REFS.pop(old, None)
        self.until_dropped(stream)


_REFS: Final[dict[int, weakref.ref[Any]]] = {}


def watch_sync(inner: Iterator[Any], watch: StreamWatch) -> Generator[Any, None, None]:
    """The same items; the watch sees each before the application does."""
    try:
        for item in inner:
            watch.item(item)
            yield item
    except GeneratorExit:
        watch.end()
        raise
    except BaseException as error:
        watch.end(error)
        raise
    else:
        watch.end(complete=True)
    finally:
        close = getattr(inner, "close", None)
        if close is not None:
            close()


async def watch_async(inner: AsyncIterator[Any], watch: StreamWatch) -> AsyncGenerator[Any, None]:
    """The same for an async stream."""
    try:
        async for item in inner:
            watch.item(item)
            yield item
    except GeneratorExit:
        watch.end()
        raise
    except BaseException as error:
        watch.end(error)
        raise
    else:
        watch.end(complete=True)
    finally:
        close = getattr(inner, "aclose", None)
        if close is not None:
            await close()
