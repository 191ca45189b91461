"""An application's own retries and fallbacks, visible: each attempt a span, and how it ended.

    for attempt in fidelity.attempts("ask", tries=3, on=TimeoutError, wait=0.5,
                                     choices=("large", "small")):
        with attempt:
            answer = ask(attempt.choice, question)

It is the retry loop itself, and works the same while recording is off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.describe import type_name
from fidelity_otel.sdk.spec import Spec
from fidelity_otel.sdk.state import STATE

__all__ = ["Attempt", "Attempts", "attempts"]

_LONGEST: Final = 30.0

Wait = float | Callable[[int], float]


class Attempt:
    """One try, `with` or `async with`; swallows the error where another try follows.

    Attributes:
        number: 1 for the first.
        choice: which of the choices this try is for.
        error: what it failed with.
    """

    def __init__(self, owner: Attempts, number: int, choice: Any, *, last: bool) -> None:
        self.number = number
        self.choice = choice
        self.error: BaseException | None = None
        self._owner = owner
        self._last = last
        self._call: Any = None

    def __enter__(self) -> Self:
        self._call = self._owner.open_attempt(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> bool:
        self.error = error
        again = error is not None and not self._last and isinstance(error, self._owner.on)
        self._owner.close_attempt(self, self._call, again=again)
        return again

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> bool:
        return self.__exit__(kind, error, stack)


class Attempts:
    """The loop: iterate with `for` or `async for`; see `attempts`."""

    def __init__(
        self,
        name: str,
        tries: int,
        on: type[BaseException] | tuple[type[BaseException], ...],
        wait: Wait,
        choices: Sequence[Any],
    ) -> None:
        self.on = on
        self._name = name
        self._wait = wait
        plan = [choice for choice in choices for _ in range(max(tries, 1))]
        self._attempts = [
            Attempt(self, number, choice, last=number == len(plan))
            for number, choice in enumerate(plan, 1)
        ]
        self._first: Any = choices[0]
        self._call: Any = None
        self._made = 0
        self._state = "abandoned"

    def __iter__(self) -> Generator[Attempt]:
        self._begin()
        try:
            for attempt in self._attempts:
                yield attempt
                if not attempt.error:
                    return
                time.sleep(self.pause(attempt.number))
        finally:
            self._end()

    async def __aiter__(self) -> AsyncGenerator[Attempt]:
        self._begin()
        try:
            for attempt in self._attempts:
                yield attempt
                if not attempt.error:
                    return
                await asyncio.sleep(self.pause(attempt.number))
        finally:
            self._end()

    def pause(self, number: int) -> float:
        """Seconds to wait after this try."""
        seconds = self._wait(number) if callable(self._wait) else self._wait * 2 ** (number - 1)
        return min(max(float(seconds), 0.0), _LONGEST)

    # --- recording ---------------------------------------------------------------------------

    def _begin(self) -> None:
        recorder = STATE.recorder
        if recorder is not None:
            try:
                self._call = recorder.open(Spec.of(self._name))
            except Exception as error:  # noqa: BLE001
                guard.trip("attempts", error)

    def open_attempt(self, attempt: Attempt) -> Any:
        """Open the span of a try."""
        self._made = attempt.number
        recorder = STATE.recorder
        if recorder is None or self._call is None:
            return None
        try:
            fixed = {sc.FIDELITY_ATTEMPT: attempt.number}
            if isinstance(attempt.choice, str):
                fixed["fidelity.attempt.choice"] = attempt.choice  # type: ignore[assignment]
            spec = Spec.of(f"attempt {self._name}", attributes=fixed)
            call = recorder.open(spec, parent=self._call.context)
            call.enter()
        except Exception as error:  # noqa: BLE001
            guard.trip("attempts", error)
            return None
        return call

    def close_attempt(self, attempt: Attempt, call: Any, *, again: bool) -> None:
        """A try is over."""
        error = attempt.error
        if error is None:
            fallen_back = attempt.choice is not self._first and attempt.choice != self._first
            self._state = (
                "first_try" if attempt.number == 1 else "fallback" if fallen_back else "recovered"
            )
        if call is None:
            return
        call.leave()
        if error is not None:
            call.recording.fail(error)
            self._call.recording.event(
                sc.FIDELITY_ATTEMPT_EVENT,
                {
                    sc.FIDELITY_ATTEMPT: attempt.number,
                    sc.ERROR_TYPE: type_name(error),
                    sc.FIDELITY_RETRY_AFTER: self.pause(attempt.number) if again else None,
                },
            )
            if not again:
                self._call.recording.fail(error)
        call.recording.end()

    def _end(self) -> None:
        if self._call is not None:
            recording = self._call.recording
            recording.put(sc.FIDELITY_ATTEMPTS, self._made)
            recording.put(sc.FIDELITY_RECOVERY, self._state)
            recording.end()


def attempts(
    name: str,
    tries: int = 3,
    *,
    on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    wait: Wait = 0.0,
    choices: Sequence[Any] = (None,),
) -> Attempts:
    """Try, try again, fall back; recorded as first_try, recovered, fallback or abandoned.

    Args:
        name: of what is tried.
        tries: how often each choice is tried.
        on: errors after which another try is made; others pass at once.
        wait: seconds before the second try, doubled each time up to 30; or a function of the
            number of the try that failed.
        choices: what to try in turn (models, providers, functions); `attempt.choice` says which.

    Returns:
        Iterate over it with `for` or `async for`; put each try in `with attempt`. The last error
        passes where all failed.
    """
    return Attempts(name, tries, on, wait, tuple(choices) or (None,))
