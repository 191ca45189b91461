"""A span that costs a third: recorded directly, exported the same.

Used where nothing but our own exporter looks at spans (our TracerProvider, default sampler and
limits). To OpenTelemetry it is a span like any other: children of other libraries nest under it,
and what arrives at the receiver is what the SDK's span would have been, field by field (a test
compares them). `readable()` makes the SDK's own object for exporters that want one.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.describe import type_name
from fidelity_otel.sdk.propagate import values_in

__all__ = ["LIMIT", "SPAN_KEY", "LateReadable", "LeanSpan", "LeanTracer"]

LIMIT: Final = 128
"""OpenTelemetry's default limit of attributes, events and links; `LeanTracer.of` insists on it."""

SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""Under which OpenTelemetry keeps the current span in a context."""

_PLAIN: Final = frozenset({str, bool, int, float})


class LeanSpan(Span):
    """A recording span; see OpenTelemetry's `Span` for what its methods mean."""

    __slots__ = (
        "_context",
        "_tracer",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "end_time",
        "event_list",
        "held",
        "kind",
        "link_list",
        "name",
        "parent",
        "span_id",
        "start_time",
        "status",
        "trace_id",
    )

    def __init__(  # noqa: PLR0917 - positional arguments are the fastest
        self,
        tracer: LeanTracer,
        name: str,
        kind: SpanKind,
        parent: SpanContext | None,
        trace_id: int,
        attributes: dict[str, Any],
    ) -> None:
        self._tracer = tracer
        self.name = name
        self.kind = kind
        self.parent = parent
        self.trace_id = trace_id
        self.span_id: int = tracer.new_span_id()
        self.held = attributes
        self.event_list: list[tuple[str, int, BoundedAttributes]] | None = None
        self.link_list: Sequence[Link] = ()
        self.status: Status | None = None
        self.dropped_attributes = 0
        self.dropped_events = 0
        self.dropped_links = 0
        self._context: SpanContext | None = None
        self.end_time: int | None = None
        self.start_time = time_ns()

    # --- OpenTelemetry's interface -----------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """The ids that children and handles need; made when first asked for."""
        context = self._context
        if context is None:
            state = None if self.parent is None else self.parent.trace_state
            context = self._context = SpanContext(
                self.trace_id,
                self.span_id,
                is_remote=False,
                trace_flags=self._tracer.flags if self.parent is None else self._child_flags(),
                trace_state=state,
            )
        return context

    def _child_flags(self) -> TraceFlags:
        parent = self.parent
        random = (
            2 if parent is not None and self._tracer.random_flag and parent.trace_flags & 2 else 0
        )
        return TraceFlags(TraceFlags.SAMPLED | random)

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self.end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute, cleaned as the SDK does."""
        if self.end_time is not None:
            guard.log.debug("attribute %r on an ended span", key)
            return
        if type(value) not in _PLAIN or type(key) is not str or not key:
            cleaned = BoundedAttributes(None, {key: value}, immutable=False)
            self.dropped_attributes += cleaned.dropped
            if key not in cleaned:
                return
            value = cleaned[key]
        held = self.held
        if key in held:
            del held[key]
        elif len(held) >= LIMIT:
            del held[next(iter(held))]
            self.dropped_attributes += 1
        held[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Add an event."""
        if self.end_time is not None:
            guard.log.debug("event %r on an ended span", name)
            return
        cleaned = BoundedAttributes(LIMIT, attributes)
        events = self.event_list
        if events is None:
            events = self.event_list = []
        elif len(events) >= LIMIT:
            del events[0]
            self.dropped_events += 1
        events.append((name, time_ns() if timestamp is None else timestamp, cleaned))

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Add a link."""
        if self.end_time is None and (context.is_valid or attributes or context.trace_state):
            links = [*self.link_list, _link(context, attributes)]
            self.dropped_links += max(len(links) - LIMIT, 0)
            self.link_list = links[-LIMIT:]

    def update_name(self, name: str) -> None:
        """Rename it."""
        if self.end_time is None:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; OK is final, UNSET is ignored."""
        if self.end_time is not None:
            return
        wanted = status if isinstance(status, Status) else Status(status, description)
        final = self.status is not None and self.status.status_code is StatusCode.OK
        if not final and wanted.status_code is not StatusCode.UNSET:
            self.status = wanted

    def record_exception(
        self,
        exception: BaseException,
        attributes: Any = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an exception as an event."""
        written: dict[str, Any] = {
            sc.EXCEPTION_TYPE: type_name(exception),
            sc.EXCEPTION_MESSAGE: str(exception),
            sc.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event(sc.EXCEPTION_EVENT, {**written, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it and hand it on; a second time does nothing."""
        if self.end_time is not None:
            guard.log.debug("end of an ended span")
            return
        self.end_time = time_ns() if end_time is None else end_time
        self._tracer.sink(self)

    # --- what the SDK's span also has ----------------------------------------------------------

    @property
    def context(self) -> SpanContext:
        """The same as `get_span_context`."""
        return self.get_span_context()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes so far."""
        return self.held

    @property
    def resource(self) -> Resource:
        """The provider's resource."""
        return self._tracer.provider.resource

    @property
    def instrumentation_scope(self) -> Any:
        """Our scope."""
        return self._tracer.scope

    def readable(self) -> ReadableSpan:
        """The same as the SDK's own object."""
        attributes = BoundedAttributes(LIMIT, self.held)
        attributes.dropped = self.dropped_attributes
        events: Any = BoundedList(LIMIT)
        events.extend([Event(name, held, at) for name, at, held in self.event_list or ()])
        events.dropped = self.dropped_events
        links: Any = BoundedList.from_seq(LIMIT, self.link_list)
        links.dropped = self.dropped_links
        return ReadableSpan(
            name=self.name,
            context=self.get_span_context(),
            parent=self.parent,
            resource=self.resource,
            attributes=attributes,
            events=events,
            links=links,
            kind=self.kind,
            status=self.status or Status(StatusCode.UNSET),
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=self.instrumentation_scope,
        )


class LateReadable(ReadableSpan):
    """The SDK's own object of an ended lean span, filled in when someone first looks into it.

    Args:
        span: has ended, and is not changed any more.
    """

    def __init__(self, span: LeanSpan) -> None:
        self._late: LeanSpan | None = span

    def __getattr__(self, name: str) -> Any:
        """An attribute that is not there: fill in all."""
        held = self.__dict__
        span = held.get("_late")
        if span is not None:
            held.update(span.readable().__dict__)
            held["_late"] = None
        try:
            return held[name]
        except KeyError:
            raise AttributeError(name) from None


def _link(context: SpanContext, attributes: Any) -> Link:
    return Link(context, BoundedAttributes(LIMIT, attributes))


class LeanTracer:
    """Starts lean spans with the ids, sampler and resource of a TracerProvider.

    Args:
        provider: whose resource and ids are used.
        tracer: the SDK's tracer of our scope.
        sink: takes each span when it ends; must not block.
        release: written on local roots.
    """

    def __init__(
        self,
        provider: TracerProvider,
        tracer: Tracer,
        sink: Callable[[LeanSpan], None],
        release: str,
    ) -> None:
        self.provider = provider
        self.scope: Any = tracer._instrumentation_scope  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        self.sink = sink
        self.new_span_id = provider.id_generator.generate_span_id
        self._new_trace_id = provider.id_generator.generate_trace_id
        self._release = release
        # SDKs from 1.38 on say in the flags that a trace id is random.
        is_random = getattr(provider.id_generator, "is_trace_id_random", None)
        self.random_flag = is_random is not None
        random = 2 if is_random is not None and is_random() else 0
        self.flags = TraceFlags(TraceFlags.SAMPLED | random)

    @classmethod
    def of(
        cls, provider: Any, tracer: Any, sink: Callable[[LeanSpan], None], release: str
    ) -> LeanTracer | None:
        """A lean tracer, or None where the SDK is set up in a way that it would not honour."""
        if not isinstance(provider, TracerProvider) or not isinstance(tracer, Tracer):
            return None
        limits: Any = provider._span_limits  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        counts = (limits.max_span_attributes, limits.max_events, limits.max_links)
        more = (limits.max_event_attributes, limits.max_link_attributes)
        lengths = (limits.max_span_attribute_length, limits.max_attribute_length)
        if {*counts, *more} != {LIMIT} or {*lengths} != {None}:
            return None
        if provider.sampler is not DEFAULT_ON and provider.sampler is not ALWAYS_ON:
            return None
        try:
            return cls(provider, tracer, sink, release)
        except AttributeError:  # an SDK that is made differently
            return None

    def start(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Any],
        parent: Context | None,
        links: Sequence[Link],
    ) -> LeanSpan | None:
        """Start a span; None where the parent is not sampled (the SDK knows what to do then).

        Args:
            name: of the span.
            kind: of the span.
            attributes: texts, numbers, flags and tuples of them, at most LIMIT.
            parent: context of the parent; the current one where None.
            links: to other spans.
        """
        base = get_current() if parent is None else parent
        held = dict(attributes)
        above: SpanContext | None = None
        outer = base.get(SPAN_KEY)
        if outer is None or not (context := get_current_span(base).get_span_context()).is_valid:
            trace_id = self._new_trace_id()
        elif context.trace_flags & 1:
            above, trace_id = context, context.trace_id
        else:
            return None
        # Beside the span, a context rarely holds anything.
        if len(base) > (outer is not None) and (values := values_in(base)):
            held = {**held, **{k: v for k, v in values.items() if k not in held}}
        if self._release and (above is None or above.is_remote):
            held.setdefault(sc.FIDELITY_RELEASE, self._release)
        span = LeanSpan(self, name, kind, above, trace_id, held)
        if links:
            for link in links:
                span.add_link(link.context, link.attributes)
        return span
