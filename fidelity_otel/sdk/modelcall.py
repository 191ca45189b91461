"""One call of a model provider, as integrations report it: request, attempts, chunks, response."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Self

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.state import STATE

if TYPE_CHECKING:
    from fidelity_otel.sdk.recording import Recording

__all__ = ["CURRENT_CALL", "ModelCall", "Usage", "open_calls", "suppressed"]

CURRENT_CALL: Final[ContextVar[ModelCall | None]] = ContextVar("fidelity_model_call", default=None)
"""The provider call that is running, so that a client's retry loop can report to it."""

PENDING: Final[ContextVar[ModelCall | None]] = ContextVar("fidelity_pending_call", default=None)
"""A framework's call that has returned a stream, for which its client will ask when it is read."""

Usage = Mapping[str, "int | None"]
"""Tokens by what comes after `gen_ai.usage.` in the attribute's name."""

open_calls: Final[weakref.WeakSet[ModelCall]] = weakref.WeakSet()
"""Calls whose span is open; those that are left are ended at shutdown."""

_FINISH: Final = {"tool_calls": "tool_call", "function_call": "tool_call", "max_tokens": "length"}


class ModelCall:
    """An open span of kind CLIENT for one call of a provider, however many attempts it takes.

    No method raises: the provider's client runs on whatever happens here.
    """

    __slots__ = (
        "__weakref__",
        "_adopted",
        "_call",
        "_chunks",
        "_cover",
        "_done",
        "_failed",
        "_failures",
        "_foreign",
        "_start",
        "_token",
        "_within",
        "error_within",
        "last_status",
    )

    def __init__(self, call: Any, *, foreign: bool = False, adopted: bool = False) -> None:
        self._call = call
        self._foreign = foreign  # another instrumentation's: only attempts are added
        self._adopted = adopted  # the client's own: what it leaves out is added
        self._start = time.perf_counter()
        self._failures = 0
        self._chunks = 0
        self._done = False
        self._failed = False
        self._token: Any = None
        self.last_status: int | None = None
        self._cover: ModelCall | None = None  # a framework's, whose span this call writes on
        self._within: set[str] = set()  # what a client's call within has said already
        self.error_within: BaseException | None = None
        """What a client's call within failed with."""

    @classmethod
    def open(
        cls,
        library: str,
        operation: str,
        model: str,
        provider: str,
        attributes: Mapping[str, Any],
        *,
        parent: Any = None,
        covers: bool = False,
    ) -> ModelCall | None:
        """Open the span of a call; None while the SDK is off or where a caller records it already.

        Args:
            library: the client; where another instrumentation of it has opened a span for this
                call, that span is enriched instead of doubled.
            operation: chat, embeddings, …
            model: the model asked.
            provider: the GenAI conventions' name of the provider.
            attributes: request attributes that are no content; None values are left out.
            parent: OpenTelemetry context of the parent; the current one by default.
            covers: whether this is a framework's span of the call: its provider's client, called
                within, makes no span of its own but writes what it knows on this one.
        """
        recorder = STATE.recorder
        cover = suppressed() or _started_before(model)
        if recorder is None or cover is True:
            return None
        try:
            if isinstance(cover, ModelCall):
                return cover.join(model, provider, attributes)
            from opentelemetry.context import set_value

            from fidelity_otel.sdk.spec import Spec

            if (theirs := recorder.foreign(library)) is not None:
                return cls(theirs, foreign=True)
            fixed = {
                sc.GEN_AI_PROVIDER_NAME: provider,
                sc.GEN_AI_REQUEST_MODEL: model,
                **attributes,
            }
            spec = Spec.of(model, operation, named=False, attributes=fixed)
            opened = recorder.open(spec, parent=parent)
            made = cls(opened)
            if covers:
                opened.context = set_value(SUPPRESS, made, opened.context)
            open_calls.add(made)
        except Exception as error:  # noqa: BLE001
            guard.trip("model call", error)
            return None
        return made

    @classmethod
    def adopt(cls, span: Any) -> ModelCall | None:
        """Add to the span that a client has opened for its own call; it ends it itself.

        Args:
            span: the client's OpenTelemetry span; nothing is added where it is not recorded.
        """
        recorder = STATE.recorder
        if recorder is None or not span.is_recording():
            return None
        try:
            return cls(recorder.adopt(span), adopted=True)
        except Exception as error:  # noqa: BLE001
            guard.trip("model call", error)
            return None

    def join(self, model: str, provider: str, attributes: Mapping[str, Any]) -> ModelCall:
        """A client's call within this framework's: what it says is written on this span."""
        from opentelemetry.context import set_value

        call = self._call.beside()
        call.context = set_value(SUPPRESS, self, call.context)
        made = ModelCall(call)
        made._cover = self
        self.name(model)
        for key, value in {sc.GEN_AI_PROVIDER_NAME: provider, **attributes}.items():
            self.recording.put(key, value)
        return made

    def asks(self, model: str) -> bool:
        """Whether it is a call of this model."""
        return bool(self._call.spec.attributes.get(sc.GEN_AI_REQUEST_MODEL) == model)

    def name(self, model: str) -> None:
        """The model asked, where that was not known when the span was opened."""
        spec = self._call.spec
        known = "name" in self._within or spec.attributes.get(sc.GEN_AI_REQUEST_MODEL)
        if model and not known and not self._foreign:
            self._within.add("name")
            self.recording.put(sc.GEN_AI_REQUEST_MODEL, model)
            self.recording.span.update_name(f"{spec.operation} {model}")

    @property
    def recording(self) -> Recording:
        """The span, to write on."""
        recording: Recording = self._call.recording
        return recording

    @property
    def context(self) -> Any:
        """The OpenTelemetry context in which its children belong."""
        return self._call.context

    @property
    def chunks(self) -> int:
        """How many chunks have come."""
        return self._chunks

    @property
    def ended(self) -> bool:
        """Whether its span has ended."""
        return self._done

    @property
    def wants_content(self) -> bool:
        """Whether messages and arguments are captured on this span."""
        return self.recording.capture and not self._foreign

    def __enter__(self) -> Self:
        self._call.enter()
        self._token = CURRENT_CALL.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        if token is None:
            return
        try:
            CURRENT_CALL.reset(token)
        except ValueError:  # left in another context than it was entered in
            CURRENT_CALL.set(None)
        self._call.leave()

    # --- what happens ----------------------------------------------------------------------

    def attempt_failed(
        self, *, status: int | None, error_type: str | None, delay: float | None
    ) -> None:
        """One attempt failed and the client will try again after `delay` seconds."""
        if self._cover is not None:
            self._cover.attempt_failed(status=status, error_type=error_type, delay=delay)
            return
        self._failures += 1
        self.recording.event(
            sc.FIDELITY_ATTEMPT_EVENT,
            {
                sc.FIDELITY_ATTEMPT: self._failures,
                sc.HTTP_RESPONSE_STATUS_CODE: status,
                sc.ERROR_TYPE: error_type,
                sc.FIDELITY_RETRY_AFTER: delay,
            },
        )

    def input(self, messages: Any, tools: Any = None, system: Any = None) -> None:
        """The messages, tool definitions and system instructions that were sent."""
        if self._said("input"):
            return
        if messages:
            self.recording.put_json(sc.GEN_AI_INPUT_MESSAGES, messages)
        if system:
            self.recording.put_json(sc.GEN_AI_SYSTEM_INSTRUCTIONS, system)
        if tools:
            self.recording.put_json(sc.GEN_AI_TOOL_DEFINITIONS, tools)

    def chunk(self) -> None:
        """A chunk of a stream came."""
        self._chunks += 1
        if self._chunks == 1 and not self._foreign and not self._adopted:
            seconds = time.perf_counter() - self._start
            self.recording.put(sc.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, seconds)

    def output(
        self,
        *,
        response_id: str | None = None,
        model: str | None = None,
        finish_reasons: Sequence[str] = (),
        messages: Any = None,
        usage: Usage | None = None,
    ) -> None:
        """What came back. `usage` None stands for a provider that did not say."""
        if self._foreign:
            if usage is None and self._around:  # what the framework cannot tell either
                self.recording.lose("usage_missing")
            return
        if self._said("output"):
            return
        put = self.recording.put
        reasons = [_FINISH.get(reason, reason) for reason in finish_reasons if reason]
        if reasons:
            put(sc.GEN_AI_RESPONSE_FINISH_REASONS, reasons)
        if messages:
            self.recording.put_json(sc.GEN_AI_OUTPUT_MESSAGES, messages)
        if self._adopted:
            return
        put(sc.GEN_AI_RESPONSE_ID, response_id)
        put(sc.GEN_AI_RESPONSE_MODEL, model)
        if usage is None:
            self.recording.lose("usage_missing")
        else:
            for name, tokens in usage.items():
                if isinstance(tokens, int):
                    put(f"gen_ai.usage.{name}", tokens)

    @property
    def _around(self) -> bool:
        """Whether it writes on a framework's own span, which is around the client's call."""
        return bool(self._foreign and self._call.spec.client)

    def _said(self, what: str) -> bool:
        """Whether a client's call within has said it: it knows best."""
        if self._cover is not None:
            self._cover._within.add(what)  # noqa: SLF001
        return what in self._within

    def _stream_within(self, stream: bool, complete: bool, chunks: int) -> None:
        """The client's call has ended: how its stream went, where the framework does not tell."""
        if stream and not self._chunks and not self._done:
            self._within.add("stream")
            self.recording.put(sc.FIDELITY_STREAM_CHUNKS, chunks)
            self.recording.put(sc.FIDELITY_STREAM_COMPLETE, complete)
            if not complete:
                self.recording.lose("partial_stream")

    def fail(self, error: BaseException) -> None:
        """The call failed for good."""
        from fidelity_otel.sdk.describe import type_name
        from fidelity_otel.sdk.recording import is_cancellation

        self._failed = True
        if self._cover is not None:  # what became of it is the framework's to say
            self._cover.error_within = error
            return
        if not self._foreign and not self._adopted:
            self.recording.fail(error)
        elif is_cancellation(error):
            if self._around:
                self.recording.fail(error)
            self.recording.put(sc.FIDELITY_CANCELLED, True)
        elif self._around:
            self.recording.put(sc.ERROR_TYPE, type_name(error))

    def end(self, *, stream: bool = False, complete: bool = True) -> None:
        """End the span; a second time does nothing.

        Args:
            stream: whether the response came as a stream.
            complete: whether all of the stream was read.
        """
        if self._done:
            return
        self._done = True
        if self._cover is not None:
            self._cover._stream_within(stream, complete, self._chunks)  # noqa: SLF001
            return
        open_calls.discard(self)
        recording = self.recording
        attempts = self._failures + 1
        recording.put(sc.FIDELITY_ATTEMPTS, attempts)
        if attempts > 1:
            recording.put(sc.HTTP_REQUEST_RESEND_COUNT, attempts - 1)
        state = "recovered" if attempts > 1 else "first_try"
        if self._failed or recording.failed:
            state = "abandoned"
        recording.put(sc.FIDELITY_RECOVERY, state)
        if self._foreign and not self._around:  # the rest is theirs to say
            return
        if stream and "stream" not in self._within:
            recording.put(sc.FIDELITY_STREAM_CHUNKS, self._chunks)
            recording.put(sc.FIDELITY_STREAM_COMPLETE, complete)
            if not complete:
                recording.lose("partial_stream")
        if self._adopted or self._foreign:
            recording.stamp()
        else:
            recording.end()


def suppressed() -> ModelCall | bool:
    """Whether a framework's integration records the provider's calls already: its open call."""
    from opentelemetry import context

    cover = context.get_value(SUPPRESS)
    if isinstance(cover, ModelCall):
        return cover if not cover.ended else False
    key = context._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return bool(cover or context.get_value(key))


def _started_before(model: str) -> ModelCall | bool:
    """A framework's call of this model whose stream is only now asked for; once."""
    pending = PENDING.get()
    if pending is None:
        return False
    PENDING.set(None)
    return pending if not pending.ended and pending.asks(model) else False


SUPPRESS: Final = "fidelity-suppress-model-calls"


def end_open_calls() -> None:
    """At shutdown: what is still open ends as partial, instead of being lost."""
    for call in list(open_calls):
        _quietly(lambda call=call: call.end(stream=True, complete=False))  # type: ignore[misc]


def _quietly(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001
        guard.trip("end", error)
