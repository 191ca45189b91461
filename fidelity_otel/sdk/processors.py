"""What we add to a TracerProvider: context values on every span, and the way out."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.private import SCOPE, Privacy
from fidelity_otel.sdk.propagate import values_in

__all__ = ["ContextProcessor", "PrivacyProcessor", "PrivateExporter", "begun"]

_DROP_IN: Final = "langfuse"
_BEGUN: Final[ContextVar[weakref.ref[Span] | None]] = ContextVar("fidelity_begun", default=None)


def begun() -> Span | None:
    """The span that a drop-in client has begun last, here, without making it current."""
    found = _BEGUN.get()
    return None if found is None else found()


class ContextProcessor(SpanProcessor):
    """Writes conversation, user, workflow and release on every span that starts within them."""

    def __init__(self, release: str) -> None:
        self._release = release

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Set the context's values; the application's release on local roots."""
        try:
            scope = span.instrumentation_scope
            if scope is not None and scope.name.startswith(_DROP_IN):
                _BEGUN.set(weakref.ref(span))
            values = values_in(parent_context)
            if self._release and (span.parent is None or span.parent.is_remote):
                values.setdefault(sc.FIDELITY_RELEASE, self._release)
            for key, value in values.items():
                if span.attributes is None or key not in span.attributes:
                    span.set_attribute(key, value)
        except Exception as error:  # noqa: BLE001
            guard.trip("context", error)


class PrivateExporter(SpanExporter):
    """Masks and redacts every span, whichever library made it, just before it leaves."""

    def __init__(self, inner: SpanExporter, privacy: Privacy) -> None:
        self._inner = inner
        self._privacy = privacy

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans, with private texts replaced."""
        return self._inner.export([self._privacy.cleaned(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the inner exporter down."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the inner exporter."""
        return self._inner.force_flush(timeout_millis)


class PrivacyProcessor(SpanProcessor):
    """On someone else's provider: cleans other libraries' spans before any exporter sees them.

    OpenTelemetry has no public way to change a span that ends. This reaches for the dictionaries
    behind its attributes; where an SDK is made differently, it counts that and changes nothing.
    """

    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy
        self._early = hasattr(SpanProcessor, "_on_ending")

    def _on_ending(self, span: Span) -> None:
        self._clean(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Older SDKs do not announce an end; batching exporters are still to come."""
        if not self._early:
            self._clean(span)

    def _clean(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        if scope is not None and scope.name == SCOPE:
            return
        try:
            owners: tuple[Any, ...] = (span, *span.events, *span.links)
            for owner in owners:
                held = getattr(getattr(owner, "_attributes", None), "_dict", None)
                if isinstance(held, dict):
                    held.update(self._privacy.attributes(held))
                elif owner.attributes:
                    guard.counts["mask_unsupported"] += 1
        except Exception as error:  # noqa: BLE001
            guard.trip("mask", error)
