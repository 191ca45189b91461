"""`init`, `flush`, `shutdown`: turning recording on and off for the process."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fidelity_otel.sdk import guard
from fidelity_otel.sdk.options import Mask, Options, read_options
from fidelity_otel.sdk.state import STATE

__all__ = ["flush", "init", "shutdown"]

_LOCK: Final = threading.Lock()
_EXIT_SECONDS: Final = 5.0
_exit_registered = False


def init(
    service: str | None = None,
    endpoint: str | None = None,
    instrument: str | Iterable[str] | bool | None = None,
    *,
    release: str | None = None,
    capture: bool | None = None,
    mask: Mask | None = None,
    redact: str | Iterable[str] | bool | None = None,
    headers: Mapping[str, str] | None = None,
    exporter: Any = None,
    tracer_provider: Any = None,
    enabled: bool | None = None,
    max_value_bytes: int | None = None,
    max_span_bytes: int | None = None,
) -> None:
    """Turn recording on. Harmless a second time, with a dead endpoint, and in a forked worker.

    Joins the TracerProvider that the application has set, if it has; else makes one that sends
    OTLP over HTTP. Each argument is also a setting with an environment variable (docs/settings.md).

    Args:
        service: name of the service.
        endpoint: base address of an OTLP/HTTP receiver, "http://localhost:4318". With a joined
            provider, spans are sent to it beside where they already go.
        instrument: integrations to turn on: "auto" = all present, names, or False.
        release: release of the application.
        capture: whether inputs, outputs and messages are recorded.
        mask: called with the name and the text of each text attribute, or with the text alone,
            before it leaves the process; returns what may leave, or None.
        redact: kinds of built-in redaction, True for all, False for none.
        headers: HTTP headers of the export.
        exporter: an OpenTelemetry SpanExporter to use instead.
        tracer_provider: record on this provider, whatever the global one is.
        enabled: False makes everything a no-op.
        max_value_bytes: most bytes of one captured value.
        max_span_bytes: most captured bytes of one span.
    """
    given = {
        "service": service,
        "endpoint": endpoint,
        "instrument": instrument,
        "release": release,
        "capture": capture,
        "redact": () if redact is False else redact,
        "headers": headers,
        "enabled": enabled,
        "max_value_bytes": max_value_bytes,
        "max_span_bytes": max_span_bytes,
    }
    try:
        with _LOCK:
            if STATE.recorder is not None:
                guard.log.debug("fidelity_otel: init again; the first stays in force")
                return
            options = read_options(given, os.environ, mask=mask)
            if options.enabled:
                _start(options, exporter, tracer_provider)
    except Exception as error:  # noqa: BLE001
        guard.trip("init", error)


def _start(options: Options, exporter: Any, tracer_provider: Any) -> None:
    global _exit_registered  # noqa: PLW0603 - one exit handler a process
    from fidelity_otel.sdk.pipeline import SCOPE, join_or_make
    from fidelity_otel.sdk.recorder import Recorder

    pipeline = join_or_make(options, exporter=exporter, provider=tracer_provider)
    STATE.pipeline = pipeline
    STATE.recorder = Recorder(pipeline, pipeline.provider.get_tracer(SCOPE), options)
    if not _exit_registered:
        atexit.register(_at_exit)
        _exit_registered = True
    if options.instrument:
        from fidelity_otel import integrations

        integrations.turn_on(options.instrument)


def flush(timeout: float = 5.0) -> bool:
    """Send what is waiting, now (end of a job, of a Lambda call).

    Args:
        timeout: the most seconds to wait.

    Returns:
        Whether everything was sent in time; True while the SDK is off.
    """
    pipeline = STATE.pipeline
    if pipeline is None:
        return True
    try:
        return pipeline.flush(timeout)
    except Exception as error:  # noqa: BLE001
        guard.trip("flush", error)
        return False


def shutdown(timeout: float = 5.0) -> bool:
    """Send what is waiting and stop; later calls of anything of ours do nothing.

    Shadow candidates that still run get up to half of the time to finish.

    Args:
        timeout: the most seconds to wait.

    Returns:
        Whether everything was sent in time.
    """
    started = time.monotonic()
    if STATE.pipeline is not None and (shadow := sys.modules.get("fidelity_otel.sdk.shadow")):
        shadow.wait(timeout / 2)
    with _LOCK:
        pipeline, STATE.pipeline, STATE.recorder = STATE.pipeline, None, None
    if pipeline is None:
        return True
    timeout = max(timeout - (time.monotonic() - started), 0.1)
    try:
        if modelcall := sys.modules.get("fidelity_otel.sdk.modelcall"):
            modelcall.end_open_calls()
        return pipeline.shutdown(timeout)
    except Exception as error:  # noqa: BLE001
        guard.trip("shutdown", error)
        return False


def _at_exit() -> None:
    shutdown(_EXIT_SECONDS)
