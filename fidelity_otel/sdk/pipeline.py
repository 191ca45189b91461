"""Where spans go: our own TracerProvider where the app has none, else the app's, joined."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.export_batch import BatchProcessor
from fidelity_otel.sdk.export_choice import sender_of
from fidelity_otel.sdk.lean import LeanTracer
from fidelity_otel.sdk.options import Options
from fidelity_otel.sdk.private import SCOPE, Privacy
from fidelity_otel.sdk.processors import ContextProcessor, PrivacyProcessor

__all__ = ["SCOPE", "OwnProvider", "Pipeline", "join_or_make"]


class OwnProvider(TracerProvider):
    """Our TracerProvider; knows whether someone else looks at its spans."""

    shared = False

    def add_own(self, processor: SpanProcessor) -> None:
        """Add a processor of ours."""
        super().add_span_processor(processor)

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Another library joins: from now on it gets the SDK's own spans."""
        self.shared = True
        super().add_span_processor(span_processor)


class Pipeline:
    """A TracerProvider and what we put on it; flush and shutdown are bounded in time.

    Args:
        provider: spans are recorded on it.
        processors: what we have put on it.
        owned: whether we made it.
        lean: starts spans directly, where it may; see `lean`.
    """

    def __init__(
        self,
        provider: Any,
        processors: list[Any],
        *,
        owned: bool,
        lean: LeanTracer | None = None,
    ) -> None:
        self.provider = provider
        self.owned = owned
        self._processors = processors
        self._lean = lean

    @property
    def lean(self) -> LeanTracer | None:
        """The direct way, while nobody else looks at spans."""
        lean = self._lean
        return None if lean is None or self.provider.shared else lean

    def unsampled_tracer(self, tracer: Any) -> Any:
        """A tracer that records whatever the sampler says; the given one where that cannot be.

        Head sampling is about traffic; an outcome is evidence on it and is never traffic itself.
        """
        if not isinstance(tracer, Tracer) or tracer.sampler is ALWAYS_ON:
            return tracer
        try:
            free = copy.copy(tracer)
            free.sampler = ALWAYS_ON
        except Exception as error:  # noqa: BLE001
            guard.trip("outcome", error)
            return tracer
        return free

    def sees(self, span: Any) -> bool:
        """Whether a span is recorded on this provider, as far as its resource tells."""
        theirs, here = getattr(span, "resource", None), getattr(self.provider, "resource", None)
        return theirs is None or here is None or theirs is here or theirs == here

    def flush(self, timeout: float) -> bool:
        """Send what is waiting; whether all was sent within `timeout` seconds."""
        milliseconds = max(int(timeout * 1000), 1)
        flush = getattr(self.provider, "force_flush", None)
        return flush is None or _bounded(lambda: flush(milliseconds), timeout) is not False

    def shutdown(self, timeout: float) -> bool:
        """Send what is waiting, then stop what is ours; whether all was sent within the time."""
        started = time.monotonic()
        done = True
        for processor in self._processors:
            if isinstance(processor, BatchProcessor):
                done = processor.stop(timeout) and done
        left = max(timeout - (time.monotonic() - started), 0.1)
        if self.owned:
            return _bounded(self.provider.shutdown, left) is not False and done
        return done


def _bounded(work: Callable[[], Any], timeout: float) -> Any:
    """Run something that may hang in a thread of its own; False where it took too long."""
    answer: list[Any] = [False]

    def run() -> None:
        try:
            answer[0] = work()
        except Exception as error:  # noqa: BLE001
            guard.counts["flush"] += 1
            guard.log.debug("flush failed: %r", error)

    thread = threading.Thread(target=run, name="fidelity-flush", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is going down: no thread can start any more
        return work()
    thread.join(timeout + 0.1)
    return answer[0]


def join_or_make(
    options: Options, *, exporter: SpanExporter | None = None, provider: Any = None
) -> Pipeline:
    """The pipeline to record on.

    A provider that was given, or that the app has set before, is joined: ours is added to it, and
    spans are sent to us only where an endpoint or exporter was named. Else one is made and set.
    """
    privacy = Privacy(options.mask, options.redact)
    found = provider if provider is not None else _existing()
    if found is not None:
        return _join(found, options, exporter, privacy)
    resource = {sc.SERVICE_NAME: options.service} if options.service else {}
    if options.release:
        resource[sc.SERVICE_VERSION] = options.release
    made = OwnProvider(resource=Resource.create(resource), shutdown_on_exit=False)
    made.add_own(ContextProcessor(options.release))
    sender = sender_of(options, exporter, privacy, os.environ)
    processors: list[Any] = []
    lean = None
    if sender is not None:
        batch = BatchProcessor(sender, os.environ)
        processors.append(batch)
        made.add_own(batch)
        if options.lean:
            lean = LeanTracer.of(made, made.get_tracer(SCOPE), batch.put, options.release)
    trace.set_tracer_provider(made)
    return Pipeline(made, processors, owned=True, lean=lean)


def _existing() -> Any:
    """The TracerProvider that the application has set, or None."""
    found = trace.get_tracer_provider()
    stand_ins = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    return None if type(found) in stand_ins else found


def _join(
    found: Any, options: Options, exporter: SpanExporter | None, privacy: Privacy
) -> Pipeline:
    add = getattr(found, "add_span_processor", None)
    if add is None:
        return Pipeline(found, [], owned=False)
    processors: list[Any] = [ContextProcessor(options.release)]
    if options.explicit_privacy:
        processors.append(PrivacyProcessor(privacy))
    if exporter is not None or options.endpoint:
        sender = sender_of(options, exporter, privacy, os.environ)
        if sender is not None:
            processors.append(BatchProcessor(sender, os.environ))
    for processor in processors:
        add(processor)
    return Pipeline(found, processors, owned=False)
