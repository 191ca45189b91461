"""A candidate beside the incumbent: same requests, no say, no effect; both kept as a pair.

The incumbent (a person, an old system, another model) serves the user. For a sample of calls the
candidate gets a copy of the same arguments, in a thread of its own, after the incumbent is done. It
cannot delay, raise into or answer the call, and the tools it uses are not run unless declared safe.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import inspect
import os
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.follow import Yielded, mark
from fidelity_otel.sdk.observe import is_observed, observe, workflow_of
from fidelity_otel.sdk.shadow_crew import Crew
from fidelity_otel.sdk.shadow_gate import KEY, Running, ShadowBlocked, running
from fidelity_otel.sdk.spec import Arguments, Spec, plain_name
from fidelity_otel.sdk.state import STATE

__all__ = ["ShadowBlocked", "Shadows", "shadow"]

F = TypeVar("F", bound=Callable[..., Any])
_MINUTE: Final = 60.0
_RUNNING: Final[set[Pair]] = set()
_ended = threading.Condition()


def wait(timeout: float) -> bool:
    """Let the candidates that run finish, before the recorder closes.

    Args:
        timeout: the most seconds to wait.

    Returns:
        Whether all of them finished.
    """
    with _ended:
        return _ended.wait_for(lambda: not _RUNNING, timeout)


def _forget() -> None:
    """In a forked child, where the parent's candidates do not run."""
    global _ended  # noqa: PLW0603 - its lock may have been held
    _ended = threading.Condition()
    _RUNNING.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Shadows:
    """Runs the candidate of one incumbent, within its limits.

    Counted in `guard.counts`: shadow_busy, shadow_budget, shadow_uncopyable, shadow_timeout,
    shadow_failed.
    """

    def __init__(
        self,
        candidate: Callable[..., Any],
        *,
        name: str,
        sample: float,
        timeout: float,
        concurrency: int,
        per_minute: float,
        running: Running,
        rng: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.candidate = candidate
        self.name = name
        self._sample = sample
        self._timeout = timeout
        self._crew = Crew(concurrency, timeout, _too_late)
        self._per_minute = per_minute
        self._running = running
        self._rng = rng
        self._clock = clock
        self._started: deque[float] = deque()
        self._lock = threading.Lock()
        self._arguments = Arguments(candidate)

    def draw(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Pair | None:
        """Whether this call gets a candidate; the pair with a copy of its arguments, if so."""
        if self._rng() >= self._sample:
            return None
        if not self._within_budget():
            guard.counts["shadow_budget"] += 1
            return None
        try:
            copied = copy.deepcopy((args, kwargs))
        except Exception:  # noqa: BLE001 - locks, connections, generators: not to be shared
            guard.counts["shadow_uncopyable"] += 1
            return None
        return Pair(uuid.uuid4().hex, *copied)

    def _within_budget(self) -> bool:
        now = self._clock()
        with self._lock:
            while self._started and now - self._started[0] > _MINUTE:
                self._started.popleft()
            if len(self._started) >= self._per_minute:
                return False
            self._started.append(now)
            return True

    def launch(self, pair: Pair, workflow: str) -> None:
        """Start the candidate, if one of its threads is free; returns at once."""
        context = contextvars.copy_context()
        _RUNNING.add(pair)
        if not self._crew.start(lambda: context.run(self._run, pair, workflow)):
            _RUNNING.discard(pair)
            guard.counts["shadow_busy"] += 1

    def _run(self, pair: Pair, workflow: str) -> None:
        try:
            self._record(pair, workflow)
        except Exception as error:  # noqa: BLE001
            guard.counts["shadow_failed"] += 1
            guard.log.debug("shadow: %r", error)
        finally:
            with _ended:
                _RUNNING.discard(pair)
                _ended.notify_all()

    def _record(self, pair: Pair, workflow: str) -> None:
        recorder = STATE.recorder
        if recorder is None:
            return
        from opentelemetry.context import Context

        fixed = {
            sc.FIDELITY_SHADOW_PAIR: pair.id,
            sc.FIDELITY_SHADOW_ROLE: "candidate",
            sc.FIDELITY_SHADOW_NAME: self.name,
        }
        spec = Spec.of(
            f"{workflow}{sc.SHADOW_SEPARATOR}{self.name}",
            "invoke_workflow",
            attributes=fixed,
            arguments=self._arguments,
        )
        call = recorder.open(spec, pair.args, pair.kwargs, parent=Context({KEY: self._running}))
        watched = self._crew.watch(call)
        call.enter()
        try:
            result = self._call(pair)
        except BaseException as error:  # noqa: BLE001 - the candidate's own; it ends here
            call.raised(error)
        else:
            call.returned(result)
        finally:
            watched.done()

    def _call(self, pair: Pair) -> Any:
        result = self.candidate(*pair.args, **pair.kwargs)
        if inspect.isawaitable(result):
            return asyncio.run(_awaited(result, self._timeout))
        if inspect.isasyncgen(result):
            return asyncio.run(_collected(result, self._timeout))
        if inspect.isgenerator(result):
            yielded = Yielded(1 << 20)
            for item in result:
                yielded.add(item)
            return yielded.value()
        return result


class Pair:
    """One call that incumbent and candidate both get."""

    __slots__ = ("args", "id", "kwargs")

    def __init__(self, id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: A002
        self.id = id
        self.args = args
        self.kwargs = kwargs


def _too_late(call: Any) -> None:
    """A thread cannot be stopped; its span can. What it still does is not recorded."""
    guard.counts["shadow_timeout"] += 1
    call.recording.fail_text("the candidate took too long", "TimeoutError")
    call.recording.end()


async def _awaited(result: Any, timeout: float) -> Any:  # noqa: ASYNC109
    return await asyncio.wait_for(_plain(result), timeout)


async def _plain(result: Any) -> Any:
    return await result


async def _collected(stream: Any, timeout: float) -> Any:  # noqa: ASYNC109
    yielded = Yielded(1 << 20)
    async with asyncio.timeout(timeout):
        async for item in stream:
            yielded.add(item)
    return yielded.value()


def shadow(
    candidate: Callable[..., Any],
    *,
    sample: float = 1.0,
    timeout: float = 30.0,
    concurrency: int = 4,
    per_minute: float = float("inf"),
    name: str | None = None,
    safe: tuple[str, ...] = (),
    stand_in: Callable[[str, Any], Any] | None = None,
    rng: Callable[[], float] = random.random,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[F], F]:
    """Run a candidate beside the decorated incumbent and record both as a pair for blind review.

    Args:
        candidate: called with a deep copy of the same arguments; sync, async or streaming. It runs
            in a thread (and event loop) of its own, so give it its own clients.
        sample: share of calls that get a candidate, 0 to 1.
        timeout: seconds until its span ends as timed out.
        concurrency: most candidates at a time; further ones are skipped and counted.
        per_minute: most candidates a minute: the cost budget.
        name: of the candidate; its function's name by default.
        safe: names of tools (`@fidelity.tool`) that it may really run. Others raise
            `ShadowBlocked` in the candidate.
        stand_in: called with (tool name, arguments) for a tool that is not safe; what it returns
            is the tool's result.
        rng: source of the sample, 0 to 1.
        clock: of the budget, seconds.

    Returns:
        A decorator for the incumbent.
    """
    shadows = Shadows(
        candidate,
        name=name or plain_name(candidate),
        sample=sample,
        timeout=timeout,
        concurrency=concurrency,
        per_minute=per_minute,
        running=Running(frozenset(safe), stand_in),
        rng=rng,
        clock=clock,
    )

    def decorate(incumbent: F) -> F:
        try:
            made: F = _beside(incumbent, shadows)
        except Exception as error:  # noqa: BLE001 - a decorator must never break an import
            guard.trip("decorate", error)
            return incumbent
        return made

    return decorate


def _beside(incumbent: Any, shadows: Shadows) -> Any:
    if not is_observed(incumbent):
        incumbent = observe(plain_name(incumbent), operation="invoke_workflow")(incumbent)
    workflow = workflow_of(incumbent)

    def draw(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Pair, Any] | None:
        if STATE.recorder is None or running() is not None:
            return None
        try:
            pair = shadows.draw(args, kwargs)
            return None if pair is None else (pair, _announced(pair))
        except Exception as error:  # noqa: BLE001
            guard.trip("shadow", error)
            return None

    if inspect.iscoroutinefunction(incumbent):

        async def beside_async(*args: Any, **kwargs: Any) -> Any:
            drawn = draw(args, kwargs)
            if drawn is None:
                return await incumbent(*args, **kwargs)
            try:
                with drawn[1]:
                    return await incumbent(*args, **kwargs)
            finally:
                _launch(shadows, drawn[0], workflow)

        wrapper: Any = beside_async
    else:

        def beside(*args: Any, **kwargs: Any) -> Any:
            drawn = draw(args, kwargs)
            if drawn is None:
                return incumbent(*args, **kwargs)
            try:
                with drawn[1]:
                    return incumbent(*args, **kwargs)
            finally:
                _launch(shadows, drawn[0], workflow)

        wrapper = beside
        for flag in (inspect.CO_GENERATOR, inspect.CO_ASYNC_GENERATOR):
            if incumbent.__code__.co_flags & flag:
                wrapper = mark(beside, flag)
    return functools.update_wrapper(wrapper, incumbent)


def _announced(pair: Pair) -> Any:
    """A scope in which the next span is marked as the pair's incumbent."""
    from fidelity_otel.sdk.context import Scope
    from fidelity_otel.sdk.propagate import with_marks

    return Scope(
        with_marks({sc.FIDELITY_SHADOW_PAIR: pair.id, sc.FIDELITY_SHADOW_ROLE: "incumbent"})
    )


def _launch(shadows: Shadows, pair: Pair, workflow: str) -> None:
    try:
        shadows.launch(pair, workflow)
    except Exception as error:  # noqa: BLE001
        guard.trip("shadow", error)
