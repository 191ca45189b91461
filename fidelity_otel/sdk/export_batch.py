"""The way out of the process: a queue, one thread, an exporter; never in the caller's way.

The caller appends and goes on. What does not fit is dropped and counted by reason in
`guard.counts` ("dropped_queue_full", "dropped_export", "dropped_shutdown"). Flush and shutdown wait
no longer than they are told.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from opentelemetry.context import Context, attach, set_value
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from fidelity_otel.sdk import guard
from fidelity_otel.sdk.export_pace import Pace
from fidelity_otel.sdk.lean import LateReadable, LeanSpan
from fidelity_otel.sdk.private import Privacy

__all__ = ["BatchProcessor", "Sender"]

_SUPPRESS: Final = "suppress_instrumentation"
_SECONDS: Final = 5.0


class Sender(Protocol):
    """Sends a batch; blocks as long as it takes, unless it is closed meanwhile."""

    def send(self, spans: list[LeanSpan | ReadableSpan], rest: Callable[[], object]) -> bool:
        """Send; whether they arrived. Calls `rest` often while it works without waiting."""
        ...

    def hurry(self) -> None:
        """Someone waits: no more pauses between attempts."""
        ...

    def close(self) -> None:
        """Give up whatever is under way, and let go of all connections."""
        ...

    def forked(self) -> None:
        """This is a forked child: forget the parent's connections without closing them."""
        ...


def _setting(environ: Mapping[str, str], name: str, default: int) -> int:
    try:
        value = int(environ.get(name, "") or default)
    except ValueError:
        guard.note("settings", "%s = %r is no number; %d is used", name, environ[name], default)
        return default
    return value if value > 0 else default


class BatchProcessor(SpanProcessor):
    """Queues ended spans, ours and other libraries', and sends them from one thread.

    The thread starts with the first span, in each process of its own after a fork. The limits are
    those of OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_MAX_QUEUE_SIZE and OTEL_BSP_MAX_EXPORT_BATCH_SIZE.
    """

    def __init__(self, sender: Sender, environ: Mapping[str, str]) -> None:
        self._sender = sender
        self._delay = _setting(environ, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000
        self._limit = _setting(environ, "OTEL_BSP_MAX_QUEUE_SIZE", 2048)
        batch = _setting(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
        self._batch = min(batch, self._limit)
        self._pace = Pace(self._pressed)
        self._reset()
        if hasattr(os, "register_at_fork"):
            me = weakref.ref(self)

            def child() -> None:
                if (found := me()) is not None:
                    found._after_fork()  # noqa: SLF001

            os.register_at_fork(after_in_child=child)

    def _reset(self) -> None:
        self._queue: deque[LeanSpan | ReadableSpan] = deque()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._idle = threading.Condition()
        self._sending = 0
        self._failures = 0
        self._closed = False
        self._urgent = False

    def _after_fork(self) -> None:
        closed = self._closed
        self._reset()  # what is queued, the parent sends
        self._closed = closed
        self._sender.forked()

    # --- the caller's side -------------------------------------------------------------------

    def put(self, span: LeanSpan | ReadableSpan) -> None:
        """Queue a span; never blocks."""
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._limit or self._closed:
            guard.note(
                "dropped_shutdown" if self._closed else "dropped_queue_full",
                "spans are dropped: %s",
                "after shutdown" if self._closed else f"{self._limit} are waiting to be sent",
            )
            return
        queue.append(span)
        if self._thread is None:
            self._start()
        elif waiting + 1 >= self._batch and not self._wake.is_set():
            self._wake.set()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="fidelity-export", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is going down; shutdown sends the rest
                    return
                self._thread = thread

    def on_end(self, span: ReadableSpan) -> None:
        """A span of another library ended."""
        if span.context is not None and span.context.trace_flags.sampled:
            self.put(span)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do."""

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        attach(set_value(_suppress_key(), True))
        while not self._closed:
            self._wake.wait(self._delay)
            self._wake.clear()
            self._drain(all_of_it=self._urgent or len(self._queue) < self._batch)
        self._drain(all_of_it=True)

    def _pressed(self) -> bool:
        """Whether there is no time for pauses: an eighth of the queue is full, or someone waits."""
        return self._urgent or self._closed or len(self._queue) * 8 > self._limit

    def _drain(self, *, all_of_it: bool) -> None:
        queue = self._queue
        while queue and (all_of_it or self._urgent or len(queue) >= self._batch):
            with self._idle:
                self._sending += 1
            batch: list[LeanSpan | ReadableSpan] = []
            while queue and len(batch) < self._batch:
                batch.append(queue.popleft())
            sent = False
            try:
                sent = self._sender.send(batch, self._pace)
            except Exception as error:  # noqa: BLE001
                guard.note("export", "sending failed: %s: %s", type(error).__name__, error)
            if not sent:
                guard.counts["dropped_export"] += len(batch)
            with self._idle:
                self._sending -= 1
                self._failures += not sent
                self._idle.notify_all()

    # --- flush and shutdown --------------------------------------------------------------------

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is waiting; whether all of it arrived within the time."""
        deadline = time.monotonic() + timeout_millis / 1000
        failures = self._failures
        self._urgent = True
        try:
            if self._queue and self._thread is None:
                self._start()
                if self._thread is None:
                    self._drain(all_of_it=True)
            self._sender.hurry()
            self._wake.set()
            with self._idle:
                while self._queue or self._sending:
                    left = deadline - time.monotonic()
                    if left <= 0 or self._thread is None:
                        return False
                    self._wake.set()
                    self._idle.wait(min(left, 0.05))
        finally:
            self._urgent = False
        return self._failures == failures

    def shutdown(self) -> None:
        """Stop, as OpenTelemetry asks it."""
        self.stop(_SECONDS)

    def stop(self, timeout: float) -> bool:
        """Send what is waiting, then stop for good; whether all arrived within the seconds."""
        if self._closed:
            return True
        sent = self.force_flush(int(timeout * 1000))
        self._closed = True
        if self._queue:
            guard.counts["dropped_shutdown"] += len(self._queue)
            self._queue.clear()
        self._sender.close()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(0.2)
        return sent


def _suppress_key() -> str:
    from opentelemetry import context

    return str(getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", _SUPPRESS))


class ExporterSender:
    """A Sender around an OpenTelemetry SpanExporter.

    Args:
        exporter: gets the SDK's own objects, cleaned.
        privacy: cleans them.
    """

    def __init__(self, exporter: Any, privacy: Privacy) -> None:
        self._exporter = exporter
        self._privacy = privacy

    def send(self, spans: list[LeanSpan | ReadableSpan], rest: Callable[[], object] = bool) -> bool:
        """Clean and export."""
        ready: list[ReadableSpan] = []
        for span in spans:
            clean = self._privacy.out(span)
            ready.append(LateReadable(clean) if isinstance(clean, LeanSpan) else clean)
            rest()
        return getattr(self._exporter.export(ready), "name", "SUCCESS") == "SUCCESS"

    def hurry(self) -> None:
        """Exporters have no such thing."""

    def close(self) -> None:
        """Shut the exporter down, in a thread of its own: some wait for their network."""
        threading.Thread(target=self._close, name="fidelity-close", daemon=True).start()

    def _close(self) -> None:
        try:
            self._exporter.shutdown()
        except Exception as error:  # noqa: BLE001
            guard.counts["shutdown"] += 1
            guard.log.debug("exporter's shutdown: %r", error)

    def forked(self) -> None:
        """Exporters look after themselves."""
