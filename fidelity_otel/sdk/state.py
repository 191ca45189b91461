"""The one piece of global state: the recorder in force, or None while the SDK is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fidelity_otel.sdk.pipeline import Pipeline
    from fidelity_otel.sdk.recorder import Recorder

__all__ = ["STATE", "State"]


class State:
    """What decorators look at on every call; `recorder is None` means: do nothing at all."""

    __slots__ = ("pipeline", "recorder")

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.pipeline: Pipeline | None = None


STATE: Final = State()
