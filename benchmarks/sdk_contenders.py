"""How each contender of the SDK's benchmark is set up: to record, to be unsampled, to be off.

All send to an exporter that counts and discards, so that what is measured is recording. Each gives
its three decorated functions, by the kind of function.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

TEXT = "can I bring back the shoes that I bought last week? " * 4
ANSWER = "Goods can be returned within thirty days of their delivery. " * 9
DISTRIBUTIONS = {
    "raw": "opentelemetry-sdk",
    "traceloop": "traceloop-sdk",
    "openinference": "openinference-instrumentation",
    "langfuse": "langfuse",
    "logfire": "logfire",
    "mlflow": "mlflow-skinny",
    "langsmith": "langsmith",
}
MODULES = {
    "raw": "opentelemetry.sdk.trace.export",
    "ours": "fidelity_otel",
    "traceloop": "traceloop.sdk",
    "openinference": "openinference.instrumentation",
    "langfuse": "langfuse",
    "logfire": "logfire",
    "mlflow": "mlflow",
    "langsmith": "langsmith",
}
Functions = dict[str, Callable[..., Any]]

exported = 0
"""How many spans have come to the discarding exporter."""


def plain(text: str) -> str:
    return ANSWER


async def aplain(text: str) -> str:
    return ANSWER


def gplain(text: str) -> Any:
    for _ in range(20):
        yield "chunk of text "


def nothing(_case: str) -> Functions:
    return {"sync": plain, "async": aplain, "generator": gplain}


def discard(_exporter: Any, spans: Any, *_: Any, **__: Any) -> Any:
    from opentelemetry.sdk.trace.export import SpanExportResult

    global exported  # noqa: PLW0603 - one process, one figure
    exported += len(spans)
    return SpanExportResult.SUCCESS


def discarding() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter

    return type("Discard", (SpanExporter,), {"export": discard})()


def provider(sampler: Any = None) -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider(sampler=sampler)
    made.add_span_processor(BatchSpanProcessor(discarding()))
    trace.set_tracer_provider(made)
    return made


def sampler(case: str) -> Any:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    return ALWAYS_OFF if case == "unsampled" else None


def raw(case: str) -> Functions:
    from opentelemetry import trace

    if case == "disabled":
        tracer: Any = trace.NoOpTracer()
    else:
        tracer = provider(sampler(case)).get_tracer("raw")
    given, answer = json.dumps({"text": TEXT}), json.dumps(ANSWER)

    def sync(text: str) -> str:
        with tracer.start_as_current_span("plain", attributes={"fidelity.input": given}) as span:
            result = plain(text)
            span.set_attribute("fidelity.output", answer)
            return result

    async def coroutine(text: str) -> str:
        with tracer.start_as_current_span("plain", attributes={"fidelity.input": given}) as span:
            result = await aplain(text)
            span.set_attribute("fidelity.output", answer)
            return result

    def generator(text: str) -> Any:
        span = tracer.start_span("plain", attributes={"fidelity.input": given})
        parts = []
        with trace.use_span(span, end_on_exit=True):
            for part in gplain(text):
                parts.append(part)
                yield part
            span.set_attribute("fidelity.output", json.dumps("".join(parts)))

    return {"sync": sync, "async": coroutine, "generator": generator}


def ours(case: str) -> Functions:
    import fidelity_otel as fidelity

    if case == "unsampled":
        os.environ["OTEL_TRACES_SAMPLER"] = "always_off"
    if case != "disabled":
        fidelity.init(exporter=discarding(), instrument=False)
    return {
        "sync": fidelity.observe(plain),
        "async": fidelity.observe(aplain),
        "generator": fidelity.observe(gplain),
    }


def traceloop(case: str) -> Functions:
    if case == "disabled":
        os.environ["TRACELOOP_TRACING_ENABLED"] = "false"
    os.environ["TRACELOOP_TELEMETRY"] = "false"
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import task

    if case != "disabled":
        Traceloop.init(
            exporter=discarding(),
            sampler=sampler(case),
            instruments=set(),
            telemetry_enabled=False,
        )
    made = task("plain")
    return {"sync": made(plain), "async": made(aplain), "generator": made(gplain)}


def openinference(case: str) -> Functions:
    from openinference.instrumentation import OITracer, TraceConfig, suppress_tracing

    found = OITracer(provider(sampler(case)).get_tracer("oi"), config=TraceConfig())
    if case == "disabled":
        suppress_tracing().__enter__()
    return {
        "sync": found.chain(plain),
        "async": found.chain(aplain),
        "generator": found.llm(gplain),
    }


def langfuse(case: str) -> Functions:
    from langfuse import Langfuse, observe

    Langfuse(
        public_key="pk-lf-x",
        secret_key="sk-lf-x",
        host="http://127.0.0.1:9",
        tracing_enabled=case != "disabled",
        sample_rate=0.0 if case == "unsampled" else 1.0,
        span_exporter=discarding(),
    )
    made = observe(name="plain")
    return {"sync": made(plain), "async": made(aplain), "generator": made(gplain)}


def logfire(case: str) -> Functions:
    os.environ["LOGFIRE_IGNORE_NO_CONFIG"] = "1"
    import logfire as found
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if case != "disabled":
        found.configure(
            send_to_logfire=False,
            console=False,
            sampling=found.SamplingOptions(head=0.0 if case == "unsampled" else 1.0),
            additional_span_processors=[BatchSpanProcessor(discarding())],
        )
    made = found.instrument("plain", record_return=True, allow_generator=True)
    return {"sync": made(plain), "async": made(aplain), "generator": made(gplain)}


def mlflow(case: str) -> Functions:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    OTLPSpanExporter.export = discard  # type: ignore[method-assign]
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://127.0.0.1:9/v1/traces"
    os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
    os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    os.environ["MLFLOW_TRACE_SAMPLING_RATIO"] = "0.0" if case == "unsampled" else "1.0"
    import mlflow as found

    if case == "disabled":
        found.tracing.disable()
    return {
        "sync": found.trace(plain),
        "async": found.trace(aplain),
        "generator": found.trace(gplain),
    }


def langsmith(case: str) -> Functions:
    os.environ |= {
        "LANGSMITH_TRACING": "false" if case == "disabled" else "true",
        "LANGSMITH_OTEL_ENABLED": "true",
        "LANGSMITH_OTEL_ONLY": "true",
        "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
        "LANGSMITH_API_KEY": "x",
        "LANGSMITH_TRACING_SAMPLING_RATE": "0" if case == "unsampled" else "1",
    }
    provider()
    from langsmith import Client, traceable

    made = traceable(client=Client())
    return {"sync": made(plain), "async": made(aplain), "generator": made(gplain)}


CONTENDERS: dict[str, Callable[[str], Functions]] = {
    "nothing": nothing,
    "raw": raw,
    "ours": ours,
    "traceloop": traceloop,
    "openinference": openinference,
    "langfuse": langfuse,
    "logfire": logfire,
    "mlflow": mlflow,
    "langsmith": langsmith,
}
