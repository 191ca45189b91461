"""Opens spans and makes them current: the only file of the call path that knows OTel's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import Any, Final

from opentelemetry import context as otel
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from fidelity_otel import semconv as sc
from fidelity_otel.model import OutcomeRef
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.lean import SPAN_KEY
from fidelity_otel.sdk.options import Options
from fidelity_otel.sdk.outcome import evaluation_event
from fidelity_otel.sdk.pipeline import Pipeline
from fidelity_otel.sdk.private import SCOPE, Privacy
from fidelity_otel.sdk.processors import begun
from fidelity_otel.sdk.recording import Recording
from fidelity_otel.sdk.reference import Handle
from fidelity_otel.sdk.spec import CLIENT_OPERATIONS, Spec

__all__ = ["Call", "Recorder", "detach"]


_RUNTIME: Final = otel._RUNTIME_CONTEXT  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _ways() -> tuple[
    Callable[[], Context],
    Callable[[Context], Token[Context]],
    Callable[[Token[Context]], None],
]:
    """How to ask for the current context, set it, and set it back."""
    variable = getattr(_RUNTIME, "_current_context", None)
    if isinstance(variable, ContextVar):  # what the methods do, at half the cost
        return variable.get, variable.set, variable.reset
    return _RUNTIME.get_current, _RUNTIME.attach, _RUNTIME.detach


_current, _attach, _detach = _ways()
_SET: Final = dict[str, object].__setitem__  # a context is one that does not let itself be changed
_FOREIGN: Final = Spec(name="")
_AROUND: Final = Spec(name="", client=True)
_FRAMEWORKS: Final = {"pydantic-ai"}  # their own span of a model's call is around its client's


def detach(token: Token[Context] | None) -> None:
    """Undo an attach; silent where the token belongs to another context (a closed generator)."""
    if token is None:
        return
    try:
        _detach(token)  # the public one logs an error where the token is another context's
    except Exception:  # noqa: BLE001
        guard.counts["detach"] += 1


def _generation() -> Span | None:
    """The open span of a drop-in client that is a child of the current one, but not current."""
    span = begun()
    if span is None or not span.is_recording():
        return None
    current = get_current_span().get_span_context().span_id
    return span if (0 if span.parent is None else span.parent.span_id) == current else None


class Call:
    """One call of something observed: an open span that is current while the call runs."""

    __slots__ = ("_token", "context", "recording", "spec")

    # For loops that do it for each step of a stream, and have no time for `enter` and `leave`.
    current: Final = staticmethod(_current)
    attach: Final = staticmethod(_attach)
    detach: Final = staticmethod(_detach)
    restore: Final = staticmethod(detach)

    def __init__(self, recording: Recording, spec: Spec, context: Context) -> None:
        self.recording = recording
        self.spec = spec
        self.context = context
        self._token: Token[Context] | None = None

    def beside(self) -> Call:
        """The same span, for another stretch of code, which need not run within this one."""
        context = Context({**_current(), SPAN_KEY: self.recording.span})
        return Call(self.recording, self.spec, context)

    def enter(self) -> None:
        """Make the span current; does not raise."""
        try:
            self._token = _attach(self.context)
        except Exception as error:  # noqa: BLE001
            guard.trip("attach", error)

    def leave(self) -> None:
        """Make current again what was; what the body made current comes back on `enter`."""
        token = self._token
        if token is not None:
            self._token = None
            self.context = _current()
            try:
                _detach(token)
            except Exception:  # noqa: BLE001 - another context's
                guard.counts["detach"] += 1

    def returned(self, value: Any) -> None:
        """The call came back with a value: write it and end."""
        detach(self._token)
        self.finish(value)

    def finish(self, value: Any) -> None:
        """Write the output and end, without touching what is current."""
        recording = self.recording
        if recording.capture and self.spec.capture_output is not False:
            spec = self.spec
            if spec.plain:
                recording.put_json(spec.output_key, value)
            else:
                recording.put_output(spec.operation, spec.output_key, value)
        recording.end()

    def raised(self, error: BaseException) -> None:
        """The call came back with an exception: write it and end."""
        detach(self._token)
        self.recording.fail(error)
        self.recording.end()


class Recorder:
    """Opens spans on one tracer under one set of options."""

    __slots__ = ("_capture", "_pipeline", "_privacy", "options", "tracer")

    def __init__(self, pipeline: Pipeline, tracer: Tracer, options: Options) -> None:
        self._pipeline = pipeline
        self.tracer = tracer
        self.options = options
        self._capture = options.capture
        self._privacy = Privacy(options.mask, options.redact)

    def enter(self, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Open the span of a call and make it current; None where that failed."""
        try:
            call = self.open(spec, args, kwargs)
            call.enter()
        except Exception as error:  # noqa: BLE001
            guard.trip("start", error)
            return None
        return call

    def open(
        self,
        spec: Spec,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        parent: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Call:
        """Open a span without making it current.

        Args:
            spec: what it looks like.
            args: positional arguments of the call, for its input.
            kwargs: keyword arguments of the call.
            parent: OTel context of the parent; the current one by default.
            links: other spans that it refers to.
        """
        base = _current() if parent is None else parent
        span = self._span(spec.name, spec.client, spec.attributes, base, links)
        wanted = spec.captures and (self._capture or spec.forced)
        recording = Recording(self, span, wanted)
        if recording.capture and spec.arguments is not None and spec.capture_input is not False:
            named = spec.arguments(args, kwargs or {})
            if named and spec.plain:
                recording.put_json(spec.input_key, named)
            elif named:
                recording.put_input(spec.operation, spec.input_key, named)
        context = Context(base)
        _SET(context, SPAN_KEY, span)
        return Call(recording, spec, context)

    def _span(
        self,
        name: str,
        client: bool,
        attributes: Mapping[str, Any],
        parent: Context,
        links: Sequence[Link],
    ) -> Span:
        kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
        lean = self._pipeline.lean
        if lean is not None:
            span = lean.start(name, kind, attributes, parent, links)
            if span is not None:
                return span
        return self.tracer.start_span(
            name,
            context=parent,
            kind=kind,
            attributes=attributes,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        )

    def foreign(self, library: str) -> Call | None:
        """The span that another instrumentation of this client library opened for this call.

        Not where it goes elsewhere, to a provider that we are not on: it would be lost to us.
        """
        span = _generation() or get_current_span()
        scope = getattr(getattr(span, "instrumentation_scope", None), "name", None)
        if not isinstance(scope, str) or scope == SCOPE or not span.is_recording():
            return None
        if not self._pipeline.sees(span):
            return None
        held = getattr(span, "attributes", None) or {}
        drop_in = held.get("langfuse.observation.type") == "generation" and scope.startswith(
            "langfuse"
        )
        framework = scope in _FRAMEWORKS and held.get(sc.GEN_AI_OPERATION_NAME) in CLIENT_OPERATIONS
        if library not in scope.lower() and not drop_in and not framework:
            return None
        spec = _AROUND if framework else _FOREIGN
        return Call(Recording(self, span, False, foreign=True), spec, _current())

    def adopt(self, span: Span) -> Call:
        """Another library's open span, to add content to."""
        recording = Recording(self, span, self._capture, foreign=True)
        return Call(recording, _FOREIGN, set_span_in_context(span, _current()))

    @property
    def cleans_foreign(self) -> bool:
        """Whether other libraries' spans are cleaned on their way out, so that we need not."""
        return self._pipeline.owned or self.options.explicit_privacy

    def private(self, key: str, text: str) -> str:
        """What may leave the process of a text."""
        return self._privacy.text(key, text)

    def carry(self, reference: OutcomeRef, attributes: dict[str, Any]) -> None:
        """Send an outcome: a root span of its own, linked to its subject, never sampled out."""
        links: list[Link] = []
        if reference.trace_id and reference.span_id:
            target = SpanContext(
                int(reference.trace_id, 16),
                int(reference.span_id, 16),
                is_remote=True,
                trace_flags=TraceFlags(TraceFlags.SAMPLED),
            )
            links.append(Link(target))
        cleaned = {
            k: self.private(k, v) if isinstance(v, str) else v for k, v in attributes.items()
        }
        span = self._pipeline.unsampled_tracer(self.tracer).start_span(
            sc.FIDELITY_OUTCOME_SPAN, context=Context(), attributes=cleaned, links=links
        )
        span.add_event(sc.GEN_AI_EVALUATION_RESULT, evaluation_event(cleaned))
        span.end()

    @staticmethod
    def current() -> Span | None:
        """The current span, where it is recorded."""
        span = get_current_span()
        return span if span.is_recording() else None

    @staticmethod
    def context() -> Context:
        """The current OTel context, to be the parent of something that starts later."""
        return _current()

    @staticmethod
    def handle() -> Handle:
        """A reference to the current span; empty where there is none."""
        context = get_current_span().get_span_context()
        return Handle.of(context.trace_id, context.span_id, context.trace_flags)
