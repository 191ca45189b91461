"""The stock Python exporters into a real service: HTTP and gRPC, plain and gzip."""

from __future__ import annotations

import base64
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

pytestmark = pytest.mark.xdist_group("interop")

STRANGE: dict[str, Any] = {
    "text.empty": "",
    "text.unicode": "naïve 😀 שלום \u202e العربية \u0301 漢字",
    "text.controls": "nul \x00 tab \t newline \n del \x7f",
    "text.long": "x" * 100_000,
    "bool.true": True,
    "bool.false": False,
    "int.zero": 0,
    "int.minus": -1,
    "int.most": 2**63 - 1,
    "int.least": -(2**63),
    "int.beyond_double": 2**53 + 1,
    "float.zero": 0.0,
    "float.minus_zero": -0.0,
    "float.whole": 7.0,
    "float.tiny": 5e-324,
    "float.huge": 1.7976931348623157e308,
    "float.tenth": 0.1,
    "float.nan": math.nan,
    "float.infinite": math.inf,
    "float.minus_infinite": -math.inf,
    "list.empty": [],
    "list.text": ["", "b", "😀"],
    "list.int": [0, 2**63 - 1, -(2**63)],
    "list.float": [0.5, 1.0],
    "list.bool": [True, False],
    "list.mixed": [1, "a", True, 2.5],
    "list.nested": [[1, 2], ["a"]],
    "map": {"a": 1, "b": {"c": [1, {"d": "😀"}]}, "": "empty key"},
    "bytes": bytes(range(256)),
    "bytes.empty": b"",
    "nothing": None,
    "key with spaces 😀": "v",
    "k" * 300: "long key",
}


def tagged(value: Any) -> dict[str, Any]:
    """A value with its type in front, as `conftest.plain` reads it."""
    if value is None:
        return {"n": None}
    if isinstance(value, bool):
        return {"b": value}
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"d": repr(value)}
    if isinstance(value, bytes):
        return {"y": base64.b64encode(value).decode()}
    if isinstance(value, str):
        return {"s": value}
    if isinstance(value, Mapping):
        return {"m": {key: tagged(item) for key, item in value.items()}}
    return {"a": [tagged(item) for item in value]}


def tags(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: tagged(value) for key, value in (attributes or {}).items()}


def said(span: ReadableSpan) -> dict[str, Any]:
    """A span of the SDK as the comparison wants it."""
    context, scope = span.get_span_context(), span.instrumentation_scope
    assert context is not None
    assert scope is not None
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": span.name,
        "kind": span.kind.value + 1,
        "start_ns": str(span.start_time),
        "end_ns": str(span.end_time),
        "status_code": span.status.status_code.value,
        "status_message": span.status.description or "",
        "attributes": tags(span.attributes),
        "events": [
            {"name": e.name, "time_ns": str(e.timestamp), "attributes": tags(e.attributes)}
            for e in span.events
        ],
        "links": [
            {
                "trace_id": f"{link.context.trace_id:032x}",
                "span_id": f"{link.context.span_id:016x}",
                "attributes": tags(link.attributes),
            }
            for link in span.links
        ],
        "resource": tags(span.resource.attributes),
        "scope_name": scope.name,
        "scope_version": scope.version or "",
        "trace_state": context.trace_state.to_header(),
    }


class Both(SpanExporter):
    """Hands spans to the exporter under test, and keeps what it handed over."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter
        self.sent: list[dict[str, Any]] = []
        self.results: list[SpanExportResult] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.sent += map(said, spans)
        self.results.append(self.exporter.export(spans))
        return self.results[-1]

    def shutdown(self) -> None:
        self.exporter.shutdown()


def _exporter(protocol: str, compressed: bool, address: str) -> SpanExporter:
    if protocol == "http":
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(
            endpoint=f"http://{address}/v1/traces",
            compression=Compression.Gzip if compressed else Compression.NoCompression,
        )
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
        OTLPSpanExporter as GrpcExporter,
    )

    return GrpcExporter(
        endpoint=address,
        insecure=True,
        compression=grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression,
    )


def _write(provider: TracerProvider) -> None:
    """One trace with everything unusual that the SDK lets through."""
    tracer = provider.get_tracer("interop", "1.2.3")
    other = SpanContext(
        0xABCDEF << 96 | 7, 0xFEDCBA << 40, is_remote=True, trace_flags=TraceFlags(1)
    )
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER):
        for kind in SpanKind:
            tracer.start_span(f"kind {kind.name}", kind=kind).end()
        with tracer.start_as_current_span("strange 😀", attributes=STRANGE):
            tracer.start_span("").end()
        link = Link(other, {"link.int": 2**62, "link.empty": ""})
        with tracer.start_as_current_span("links", links=[link, Link(other)]):
            pass
        with tracer.start_as_current_span("events") as span:
            span.add_event("bare", timestamp=1)
            span.add_event("full", {k: v for k, v in STRANGE.items() if k != "text.long"})
            span.record_exception(ValueError("wrong 😀"))
        failed = tracer.start_span("failed")
        failed.set_status(Status(StatusCode.ERROR, "it broke: ünïcode"))
        failed.end()
        fine = tracer.start_span("fine", start_time=1_700_000_000_000_000_000)
        fine.set_status(StatusCode.OK)
        fine.end(end_time=1_700_000_000_000_000_000)
        with ExitStack() as deep:
            for depth in range(30):
                deep.enter_context(tracer.start_as_current_span(f"depth {depth}"))


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_stock_python_exporter(
    protocol: str, compressed: bool, service: Any, compare: Callable[[Any], None]
) -> None:
    both = Both(_exporter(protocol, compressed, service.address(protocol)))
    resource = Resource({"service.name": "interop-python", "list": ["a", "b"], "int": 2**60})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(both))
    _write(provider)
    assert provider.force_flush()
    provider.shutdown()
    assert both.results
    assert set(both.results) == {SpanExportResult.SUCCESS}
    strange = next(span for span in both.sent if span["name"] == "strange 😀")
    assert set(strange["attributes"]) == set(STRANGE), "the SDK drops what should be tried"
    compare(both.sent)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_trace_state_and_remote_parent_survive(
    protocol: str, service: Any, compare: Callable[[Any], None]
) -> None:
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    both = Both(_exporter(protocol, False, service.address(protocol)))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(both))
    tracer = provider.get_tracer("interop")
    parent = SpanContext(
        secrets.randbits(128) | 1,
        5,
        is_remote=True,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("ot", "th:8;rv:ffffffffffffff"), ("vendor", "a:b")]),
    )
    context = set_span_in_context(NonRecordingSpan(parent))
    # No root of this trace ever comes: the marker is what says that nothing more will.
    tracer.start_span("rootless", context, attributes={"fidelity.complete": True}).end()
    assert provider.force_flush()
    provider.shutdown()
    assert both.sent[0]["trace_state"] == "ot=th:8;rv:ffffffffffffff,vendor=a:b"
    compare(both.sent)
