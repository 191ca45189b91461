"""Threads, thread pools and process pools: work keeps the trace that it was started from.

Only OpenTelemetry's context is carried, not the application's own context variables. What is
started outside of any trace is left alone.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from fidelity_otel.sdk import guard
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel.sdk.state import STATE

__all__ = ["LIBRARY", "Carried", "CarriedFar", "instrument", "uninstrument"]

LIBRARY: Final = "threading"
_POOL_WORKER: Final = getattr(concurrent.futures.thread, "_worker", None)


class Carried:
    """A function that runs in the context in which it was handed over."""

    def __init__(self, context: Any, function: Callable[..., Any]) -> None:
        self._context = context
        self._function = function
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        from opentelemetry.context import attach

        from fidelity_otel.sdk.recorder import detach

        token = attach(self._context)
        try:
            return self._function(*args, **kwargs)
        finally:
            detach(token)


class CarriedFar:
    """The same across processes: the context travels as W3C headers."""

    def __init__(self, headers: dict[str, str], function: Callable[..., Any]) -> None:
        self._headers = headers
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        from fidelity_otel.sdk.context import scope_of

        with scope_of(self._headers):
            return self._function(*args, **kwargs)


def _context() -> Any:
    """The current context, where there is anything in it to carry."""
    if STATE.recorder is None:
        return None
    return STATE.recorder.context() or None


def _start(wrapped: Any, thread: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        context = _context()
        # A pool's thread serves many traces; each piece of work brings its own context.
        if context is not None and getattr(thread, "_target", None) is not _POOL_WORKER:
            thread.run = Carried(context, thread.run)
    except Exception as error:  # noqa: BLE001
        guard.trip("threads", error)
    return wrapped(*args, **kwargs)


def _submit(wrapped: Any, _pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        context = _context()
        if context is not None and args:
            args = (Carried(context, args[0]), *args[1:])
    except Exception as error:  # noqa: BLE001
        guard.trip("threads", error)
    return wrapped(*args, **kwargs)


def _submit_far(wrapped: Any, _pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        if _context() is not None and args:
            from fidelity_otel.sdk.context import headers

            args = (CarriedFar(headers(), args[0]), *args[1:])
    except Exception as error:  # noqa: BLE001
        guard.trip("threads", error)
    return wrapped(*args, **kwargs)


def _install(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module.Thread, "start", _start)
    patches.wrap(concurrent.futures.ThreadPoolExecutor, "submit", _submit)
    process = importlib.import_module("concurrent.futures.process")
    patches.wrap(process.ProcessPoolExecutor, "submit", _submit_far)


_INTEGRATION: Final = Integration("threads", LIBRARY, _install)
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
