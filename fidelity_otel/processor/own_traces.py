"""The service's own spans: what receiving, committing, deciding and storing take, if asked.

A provider of its own, never the global one. Nothing of the traces that are worked on is in the
spans: no exceptions are recorded on them either, since databases quote what they could not write.
Head sampling is OpenTelemetry's (`OTEL_TRACES_SAMPLER`), headers are its exporter's
(`OTEL_EXPORTER_OTLP_HEADERS`). The spans never go to this service itself: there each of them would
cause the next ones.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Tracer

from fidelity_otel.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["NO_PARENT", "OFF", "OwnTraces", "check_elsewhere"]

OFF: Final[Tracer] = NoOpTracer()
"""Makes no spans."""

NO_PARENT: Final = Context()
"""Of spans that are nobody's children."""

_PATIENCE_SECONDS: Final = 3.0
_ANY: Final = {"0.0.0.0", "::", ""}  # noqa: S104 (names of it, nothing is bound)


class OwnTraces:
    """Makes and sends the service's own spans, or none.

    Args:
        endpoint: OTLP/HTTP, like http://tempo:4318; nothing is made where it is empty.
        version: of the service.
    """

    def __init__(self, endpoint: str, *, version: str) -> None:
        self.tracer = OFF
        self._provider: TracerProvider | None = None
        if not endpoint:
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": "fidelity", "service.version": version})
        address = endpoint.rstrip("/")
        if not address.endswith("/v1/traces"):
            address += "/v1/traces"
        exporter = OTLPSpanExporter(endpoint=address, timeout=_PATIENCE_SECONDS)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("fidelity_otel.processor", version)

    def close(self) -> None:
        """Send what is left; gives up after some seconds."""
        if self._provider is not None:
            self._provider.shutdown()


def check_elsewhere(endpoint: str, host: str, ports: Iterable[int]) -> None:
    """Make sure that an endpoint is not the service itself.

    Args:
        endpoint: where spans would go; nowhere where it is empty.
        host: the address that the service listens on.
        ports: its ports.

    Raises:
        ConfigError: it is the service itself, or no address.
    """
    if not endpoint:
        return
    try:
        parts = urlsplit(endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"telemetry.traces = {endpoint!r} is no OTLP/HTTP endpoint. "
            "Mend: write it like http://collector:4318."
        )
    if port in set(ports) and _addresses(parts.hostname) & _own(host):
        raise ConfigError(
            f"telemetry.traces = {endpoint!r} is this service itself: each span that it sends "
            "would cause others. Mend: name another receiver (FIDELITY_TELEMETRY_TRACES)."
        )


def _own(host: str) -> set[str]:
    names = {"localhost", socket.gethostname()} if host in _ANY else {host}
    return set().union(*map(_addresses, names))


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return {host}
