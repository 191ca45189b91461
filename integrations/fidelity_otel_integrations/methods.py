"""Clients whose methods each are one call: patches for sync, async, and both kinds of streams."""

from __future__ import annotations

import inspect
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import context

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.describe import type_name
from fidelity_otel.sdk.modelcall import CURRENT_CALL, SUPPRESS, ModelCall
from fidelity_otel.sdk.patch import Wrapper
from fidelity_otel.sdk.recorder import detach
from fidelity_otel.sdk.watch import StreamWatch, watch_async, watch_sync

__all__ = ["Asked", "Follow", "Methods", "argument", "follow_generator"]

_FIRST_ERROR: Final = 400


@dataclass(frozen=True, slots=True)
class Asked:
    """What one call asks for.

    Attributes:
        form: how request and response are read: `operation`, `settings`, `write_input`,
            `write_output`, `chunks`.
        model: the model asked.
        provider: the GenAI conventions' name of the provider.
        body: the request.
        address: URL of the provider; "" where it is not known.
        more: further attributes that are no content.
    """

    form: Any
    model: str
    provider: str
    body: dict[str, Any]
    address: str = ""
    more: dict[str, Any] = field(default_factory=dict[str, Any])


Read = Callable[[Any, tuple[Any, ...], dict[str, Any]], "Asked | None"]
"""Reads (client, args, kwargs) of a patched method; None where the call is none of ours."""

Follow = Callable[[ModelCall, StreamWatch, Any], Any]
"""Ties the watch to a response that is a stream and returns what the application gets; None where
the response is no stream."""


def follow_generator(call: ModelCall, watch: StreamWatch, response: Any) -> Any:
    """Responses that are plain generators: the application gets a generator too."""
    followed: Any
    if inspect.isgenerator(response):
        followed = watch_sync(_begun(call, response), watch)
    elif inspect.isasyncgen(response):
        followed = watch_async(_begun_async(call, response), watch)
    else:
        return None
    watch.until_dropped(followed)
    return followed


def _begun(call: ModelCall, inner: Iterator[Any]) -> Generator[Any, None, None]:
    """The same items; the request, which goes out with the first one, belongs to the call."""
    with closing(inner):  # type: ignore[type-var]
        with call:
            first = next(inner, _NOTHING)
        if first is not _NOTHING:
            yield first
            yield from inner


async def _begun_async(call: ModelCall, inner: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    async with aclosing(inner):  # type: ignore[type-var]
        with call:
            first = await anext(inner, _NOTHING)
        if first is not _NOTHING:
            yield first
            async for item in inner:
                yield item


_NOTHING: Final = object()


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], name: str, place: int) -> Any:
    """An argument by its name or its place; None where it was not given."""
    return kwargs[name] if name in kwargs else next(iter(args[place : place + 1]), None)


class Methods:
    """The wrappers of one client.

    Args:
        library: its name.
        follow: how its streams are followed.
        covers: whether it calls other clients underneath, whose calls are then not recorded again.
    """

    def __init__(
        self, library: str, follow: Follow = follow_generator, *, covers: bool = False
    ) -> None:
        self.active: Callable[[], bool] = lambda: True
        self.alone = covering if covers else nullcontext
        self._library = library
        self._follow = follow
        # A failed attempt is one that another one follows: it waits here until that is known.
        self._fallen: weakref.WeakKeyDictionary[ModelCall, tuple[int | None, str | None, float]] = (
            weakref.WeakKeyDictionary()
        )

    # --- calls -------------------------------------------------------------------------------

    def sync(self, read: Read) -> Wrapper:
        """A wrapper for a function, a generator function or an async generator function."""

        def around(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            opened = self._open(read, client, args, kwargs)
            if opened is None:
                return wrapped(*args, **kwargs)
            call, form = opened
            try:
                with call, self.alone():
                    response = wrapped(*args, **kwargs)
            except BaseException as error:
                call.fail(error)
                call.end()
                raise
            return self._answered(call, form, response)

        return around

    def asynchronous(self, read: Read) -> Wrapper:
        """A wrapper for a coroutine function, also one that returns a stream."""

        async def around(
            wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            opened = self._open(read, client, args, kwargs)
            if opened is None:
                return await wrapped(*args, **kwargs)
            call, form = opened
            try:
                with call, self.alone():
                    response = await wrapped(*args, **kwargs)
            except BaseException as error:
                call.fail(error)
                call.end()
                raise
            return self._answered(call, form, response)

        return around

    def _open(
        self, read: Read, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[ModelCall, Any] | None:
        if not self.active():
            return None
        try:
            asked = read(client, args, kwargs)
            if asked is None:
                return None
            address = urlsplit(asked.address)
            call = ModelCall.open(
                self._library,
                asked.form.operation,
                asked.model,
                asked.provider,
                {
                    **asked.form.settings(asked.body),
                    **asked.more,
                    sc.SERVER_ADDRESS: address.hostname,
                    sc.SERVER_PORT: address.port or _PORTS.get(address.scheme),
                },
            )
            if call is None:
                return None
        except Exception as error:  # noqa: BLE001
            guard.trip(self._library, error)
            return None
        if call.wants_content:
            self.safely(lambda: asked.form.write_input(call, asked.body))
        return call, asked.form

    def _answered(self, call: ModelCall, form: Any, response: Any) -> Any:
        try:
            followed = self._follow(call, StreamWatch(call, form.chunks()), response)
            if followed is not None:
                return followed
            form.write_output(call, response)
            call.end()
        except Exception as error:  # noqa: BLE001
            call.end()
            guard.trip(self._library, error)
        return response

    def safely(self, work: Callable[[], object]) -> None:
        """Do something of ours; what goes wrong is noted and goes no further."""
        try:
            work()
        except Exception as error:  # noqa: BLE001
            guard.trip(self._library, error)

    # --- attempts ----------------------------------------------------------------------------

    def attempt(
        self, wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Wrapper of the function that makes one attempt."""
        call = self._next_attempt()
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            response = wrapped(*args, **kwargs)
        except Exception as error:
            self._fell(call, error)
            raise
        self._fell(call, response)
        return response

    def fell(self, error: BaseException) -> None:
        """An attempt failed that was not made through `attempt`."""
        if (call := CURRENT_CALL.get()) is not None:
            self._fell(call, error)

    async def attempt_async(
        self, wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same for a coroutine function."""
        call = self._next_attempt()
        if call is None:
            return await wrapped(*args, **kwargs)
        try:
            response = await wrapped(*args, **kwargs)
        except Exception as error:
            self._fell(call, error)
            raise
        self._fell(call, response)
        return response

    def _next_attempt(self) -> ModelCall | None:
        call = CURRENT_CALL.get()
        if call is None or not self.active():
            return None
        fallen = self._fallen.pop(call, None)
        if fallen is not None:
            status, kind, since = fallen
            delay = time.monotonic() - since
            self.safely(lambda: call.attempt_failed(status=status, error_type=kind, delay=delay))
        return call

    def _fell(self, call: ModelCall, result: Any) -> None:
        error = isinstance(result, BaseException)
        status = next(
            (s for n in ("status_code", "code") if type(s := getattr(result, n, None)) is int), None
        )
        if error or (status or 0) >= _FIRST_ERROR:
            self._fallen[call] = (status, type_name(result) if error else None, time.monotonic())


@contextmanager
def covering() -> Generator[None, None, None]:
    """Calls of other clients in here are part of this one."""
    token = context.attach(context.set_value(SUPPRESS, True))
    try:
        yield
    finally:
        detach(token)


_PORTS: Final = {"https": 443, "http": 80}
