"""Which way out: our own HTTP sender, or the stock exporters where the settings ask for more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import SpanExporter

from fidelity_otel.errors import ConfigError
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.export_batch import ExporterSender, Sender
from fidelity_otel.sdk.export_http import HttpSender, Target, target_of
from fidelity_otel.sdk.options import Options
from fidelity_otel.sdk.private import Privacy

__all__ = ["sender_of", "traces_url"]

_GRPC_PORT: Final = 4317


def sender_of(
    options: Options,
    exporter: SpanExporter | None,
    privacy: Privacy,
    environ: Mapping[str, str],
) -> Sender | None:
    """What sends spans, as options and OTEL_* variables ask; None where nothing is to be sent.

    Args:
        options: of `init`; an endpoint named there beats all variables.
        exporter: an exporter that the application made itself.
        privacy: applied to every span.
        environ: the environment.
    """
    if exporter is not None:
        return ExporterSender(exporter, privacy)
    wanted = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    if not options.endpoint and wanted == "none":
        return None
    if not options.endpoint and wanted == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ExporterSender(ConsoleSpanExporter(), privacy)
    if not options.endpoint and _protocol(environ) == "grpc" and (grpc := _grpc()) is not None:
        return ExporterSender(grpc, privacy)
    endpoint = traces_url(options.endpoint) if options.endpoint else ""
    try:
        target = target_of(endpoint, dict(options.headers), environ)
    except ConfigError as error:
        guard.note("endpoint", "%s Spans are not sent.", error)
        return None
    if _proxied(target):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        stock = OTLPSpanExporter(endpoint=target.url, headers=dict(options.headers) or None)
        return ExporterSender(stock, privacy)
    return HttpSender(target, privacy)


def _grpc() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    except ImportError:
        guard.note(
            "exporter",
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: HTTP is used instead. "
            "Mend: pip install 'fidelity-otel[grpc]'",
        )
        return None
    return OTLPSpanExporter()


def _protocol(environ: Mapping[str, str]) -> str:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if environ.get(name):
            return environ[name].strip().lower()
    return "http/protobuf"


def _proxied(target: Target) -> bool:
    """Whether the environment sends this address through a proxy, which ours cannot speak to."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(target.url)
    return parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")


def traces_url(endpoint: str) -> str:
    """The address that traces are posted to: the base that was named, with `/v1/traces`."""
    text = endpoint if "://" in endpoint else f"http://{endpoint}"
    if text.rstrip("/").endswith(f":{_GRPC_PORT}"):
        guard.note("endpoint", "%s: 4317 is the port of OTLP over gRPC; HTTP is 4318", endpoint)
    return text if text.rstrip("/").endswith("/v1/traces") else text.rstrip("/") + "/v1/traces"
