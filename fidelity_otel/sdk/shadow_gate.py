"""What keeps a shadow candidate from having effects: its tools are not run unless declared safe.

Whether a candidate runs is written in OpenTelemetry's context, so that it follows the candidate
into tasks and, with the `threads` integration, into threads and pools.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.spec import Arguments
from fidelity_otel.sdk.state import STATE

__all__ = ["KEY", "Running", "ShadowBlocked", "gated", "running"]

KEY: Final = "fidelity-shadow-candidate"


class ShadowBlocked(Exception):  # noqa: N818 - it says what happened, and is no fault
    """A candidate called a tool that is not declared safe; the tool was not run."""


class Running:
    """A candidate's run, as its tools see it."""

    def __init__(self, safe: frozenset[str], stand_in: Callable[[str, Any], Any] | None) -> None:
        self._safe = safe
        self._stand_in = stand_in

    def allows(self, tool: str) -> bool:
        """Whether a tool may really run."""
        return tool in self._safe

    def instead(self, tool: str, arguments: dict[str, Any]) -> Any:
        """What a blocked tool gives back.

        Raises:
            ShadowBlocked: no stand-in was given.
        """
        if STATE.recorder is not None and (span := STATE.recorder.current()) is not None:
            span.set_attribute(sc.FIDELITY_SHADOW_BLOCKED, True)
        if self._stand_in is None:
            raise ShadowBlocked(f"{tool} is not declared safe for a shadow candidate")
        return self._stand_in(tool, arguments)


def running() -> Running | None:
    """The candidate's run that the current code belongs to, if any."""
    if STATE.recorder is None:
        return None
    found = STATE.recorder.context().get(KEY)
    return found if isinstance(found, Running) else None


def gated(target: Callable[..., Any], tool: str) -> Callable[..., Any]:
    """The tool, not run where a candidate calls it without being allowed to."""
    arguments = Arguments(target)

    def gate(*args: Any, **kwargs: Any) -> Any:
        run = running()
        if run is not None and not run.allows(tool):
            return run.instead(tool, arguments(args, kwargs))
        return target(*args, **kwargs)

    async def gate_async(*args: Any, **kwargs: Any) -> Any:
        run = running()
        if run is not None and not run.allows(tool):
            return run.instead(tool, arguments(args, kwargs))
        return await target(*args, **kwargs)

    return functools.wraps(target)(gate_async if inspect.iscoroutinefunction(target) else gate)
