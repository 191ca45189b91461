"""Runs of a framework: spans that it opens and closes by ids of its own, through its hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from opentelemetry.trace import get_current_span

from fidelity_otel.sdk import guard
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.recorder import Call
from fidelity_otel.sdk.recording import Recording, is_cancellation
from fidelity_otel.sdk.spec import Spec
from fidelity_otel.sdk.state import STATE

__all__ = ["PROVIDERS", "Run", "Runs"]

_OPEN_LIMIT: Final = 10_000

PROVIDERS: Final = {
    "amazon_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
}
"""What frameworks call providers → what the GenAI conventions call them, where that differs."""


class Run:
    """One open run: a model's (`model` is set), or anything else that a plain span describes."""

    __slots__ = ("call", "children", "key", "last", "model", "name", "parent", "troubled")

    def __init__(
        self, key: Hashable, parent: Run | None, call: Call | ModelCall, name: str
    ) -> None:
        self.key = key
        self.name = name
        self.parent = parent
        self.call = call
        self.model = call if isinstance(call, ModelCall) else None
        self.children: set[Hashable] = set()
        self.last: Any = None  # the last chunk of a stream, where each holds all that came
        self.troubled = False  # whether a run within it failed

    @property
    def recording(self) -> Recording:
        """Its span, to write on."""
        return self.call.recording

    @property
    def context(self) -> Any:
        """The OpenTelemetry context in which its children belong."""
        return self.call.context

    def enter(self) -> None:
        """Make its span current."""
        self.call.__enter__() if isinstance(self.call, ModelCall) else self.call.enter()

    def leave(self) -> None:
        """Make current again what was."""
        self.call.__exit__() if isinstance(self.call, ModelCall) else self.call.leave()

    def fail(self, error: BaseException) -> None:
        """It failed."""
        (self.recording if self.model is None else self.model).fail(error)

    def end(self) -> None:
        """End its span, with what is known."""
        if self.model is None:
            self.recording.end()
        else:
            chunks = self.model.chunks
            self.model.end(stream=chunks > 0, complete=not self.recording.failed)


class Runs:
    """The open runs of one framework; no method raises.

    Args:
        library: the framework.
    """

    def __init__(self, library: str) -> None:
        self.library = library
        self._open: dict[Hashable, Run] = {}
        self._skipped: dict[Hashable, Hashable] = {}
        self._lock = threading.Lock()

    def start(self, key: Hashable, parent: Hashable, spec: Spec) -> Run | None:
        """Open the span of a run that is no model's; None while the SDK is off.

        Args:
            key: the framework's id of it.
            parent: the framework's id of the run that it is part of; None where there is none.
            spec: what the span looks like.
        """
        recorder = STATE.recorder
        if recorder is None:
            return None
        try:
            above = self.get(parent)
            call = recorder.open(spec, parent=_context(above))
            return self._keep(Run(key, above, call, spec.name))
        except Exception as error:  # noqa: BLE001
            guard.trip(self.library, error)
            return None

    def start_model(
        self,
        key: Hashable,
        parent: Hashable,
        operation: str,
        model: str,
        *,
        provider: str,
        attributes: Mapping[str, Any],
    ) -> Run | None:
        """Open the span of a model's call, which covers the call of its provider's client.

        Args:
            key: the framework's id of it.
            parent: the framework's id of the run that it is part of; None where there is none.
            operation: chat, embeddings, …
            model: the model asked.
            provider: as the framework calls it.
            attributes: request attributes that are no content.
        """
        try:
            above = self.get(parent)
            call = ModelCall.open(
                self.library,
                operation,
                model,
                PROVIDERS.get(provider, provider),
                attributes,
                parent=_context(above),
                covers=True,
            )
            return None if call is None else self._keep(Run(key, above, call, model))
        except Exception as error:  # noqa: BLE001
            guard.trip(self.library, error)
            return None

    def skip(self, key: Hashable, parent: Hashable) -> None:
        """A run that gets no span: what it starts belongs to what it is part of."""
        if parent is not None:
            with self._lock:
                self._skipped[key] = parent
                if len(self._skipped) > _OPEN_LIMIT:
                    self._skipped.pop(next(iter(self._skipped)))

    def get(self, key: Hashable) -> Run | None:
        """An open run by its id; where it gets no span, the one that it is part of."""
        seen = 0
        while key in self._skipped and seen < _OPEN_LIMIT:
            key = self._skipped[key]
            seen += 1
        return self._open.get(key)

    def finish(
        self,
        key: Hashable,
        write: Callable[[Run], object] | None = None,
        error: BaseException | None = None,
    ) -> Run | None:
        """End a run, and when cancelled also what is open in it; None where it is not known.

        Args:
            key: the framework's id of it.
            write: writes what came out of it.
            error: what it failed with.
        """
        with self._lock:
            self._skipped.pop(key, None)
            run = self._open.pop(key, None)
            if run is not None and run.parent is not None:
                run.parent.children.discard(key)
        if run is None:
            return None
        try:
            if error is not None and is_cancellation(error):  # nobody tells of what was within
                for child in list(run.children):
                    self.finish(child, error=error)
            if write is not None:
                write(run)
            if error is not None:
                run.fail(error)
            if run.parent is not None and run.recording.failed:
                run.parent.troubled = True
        except Exception as own:  # noqa: BLE001
            guard.trip(self.library, own)
        finally:
            run.end()
        return run

    def stop_all(self) -> None:
        """End everything that is open: the integration is turned off."""
        for key in list(self._open):
            self._left_open(key)

    def _left_open(self, key: Hashable) -> None:
        self.finish(key, lambda run: run.recording.lose("never_ended"))

    def _keep(self, run: Run) -> Run:
        oldest: Hashable = None
        with self._lock:
            self._open[run.key] = run
            if run.parent is not None:
                run.parent.children.add(run.key)
            if len(self._open) > _OPEN_LIMIT:
                oldest = next(iter(self._open))
        if oldest is not None:
            self._left_open(oldest)
        return run


def _context(above: Run | None) -> Any:
    """The parent's context of a new run; None stands for the current one.

    The application may have opened a span of its own within the framework's parent; then that one
    is current, was opened later, and is the parent.
    """
    if above is None:
        return None
    current: Any = get_current_span()
    parent: Any = above.recording.span
    same = current.get_span_context().trace_id == parent.get_span_context().trace_id
    later = getattr(current, "start_time", None) or 0
    if same and current.is_recording() and later >= (getattr(parent, "start_time", None) or 0):
        return None
    return above.context
