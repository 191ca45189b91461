"""What a whole trace is about: conversation, user, workflow, release, for every span within.

Conversation, workflow and release also travel as W3C baggage to other services; the user does not,
as it would be personal data in other people's requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

from fidelity_otel.sdk import guard
from fidelity_otel.sdk.state import STATE

__all__ = ["Scope", "context", "continue_trace", "headers", "scope_of"]


class Scope:
    """Makes an OTel context current for a block, `with` or `async with`."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Any) -> None:
        self._context = context
        self._token: Any = None

    def __enter__(self) -> Self:
        from opentelemetry.context import attach

        self._token = attach(self._context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        from fidelity_otel.sdk.recorder import detach

        detach(self._token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, stack)


def context(
    *,
    conversation: str | None = None,
    user: str | None = None,
    workflow: str | None = None,
    release: str | None = None,
) -> AbstractContextManager[Any]:
    """Set what all spans within the block are about, our own and other libraries'.

    Args:
        conversation: id of the conversation that this turn belongs to.
        user: id of the user; stays in this process.
        workflow: name of the workflow.
        release: release of the application.
    """
    if STATE.recorder is None:
        return nullcontext()
    try:
        from fidelity_otel.sdk.propagate import with_values

        return Scope(
            with_values(conversation=conversation, user=user, workflow=workflow, release=release)
        )
    except Exception as error:  # noqa: BLE001
        guard.trip("context", error)
        return nullcontext()


def headers() -> dict[str, str]:
    """What to send along so that another process continues this trace: W3C headers.

    For HTTP requests and messages that no instrumentation takes care of, and, in capitals, for the
    environment of a subprocess: `{**os.environ, **{k.upper(): v for k, v in headers().items()}}`.
    Empty outside of a trace, or while the SDK is off.
    """
    if STATE.recorder is None:
        return {}
    try:
        from opentelemetry import propagate

        carrier: dict[str, str] = {}
        propagate.inject(carrier)
    except Exception as error:  # noqa: BLE001
        guard.trip("headers", error)
        return {}
    return carrier


def continue_trace(
    carrier: Mapping[str, Any] | Iterable[tuple[str, Any]],
) -> AbstractContextManager[Any]:
    """Continue a trace that came with a request, a message or the environment, for a block.

    Args:
        carrier: headers as a mapping or as pairs, in any case of letters, values as text or bytes;
            also `os.environ`.
    """
    return nullcontext() if STATE.recorder is None else scope_of(carrier)


def scope_of(
    carrier: Mapping[str, Any] | Iterable[tuple[str, Any]],
) -> AbstractContextManager[Any]:
    """The same, also while the SDK is off (a pool's process may turn it on later)."""
    try:
        from opentelemetry import propagate

        pairs = carrier.items() if isinstance(carrier, Mapping) else carrier
        return Scope(propagate.extract({str(k).lower(): _text(v) for k, v in pairs}))
    except Exception as error:  # noqa: BLE001
        guard.trip("headers", error)
        return nullcontext()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
