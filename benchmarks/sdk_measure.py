"""One figure of one contender, printed last; run by `benchmarks/sdk.py` in the contender's venv."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "can I bring back the shoes that I bought last week? " * 4
ANSWER = "Goods can be returned within thirty days of their delivery. " * 9
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


def plain(text: str) -> str:
    return ANSWER


async def aplain(text: str) -> str:
    return ANSWER


def gplain(text: str) -> Any:
    for _ in range(20):
        yield "chunk of text "


def discarding() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Discard(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    return Discard()


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


def raw(case: str) -> dict[str, Any]:
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


def ours(case: str) -> dict[str, Any]:
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


def traceloop(case: str) -> dict[str, Any]:
    if case == "disabled":
        os.environ["TRACELOOP_TRACING_ENABLED"] = "false"
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import task

    if case != "disabled":
        Traceloop.init(exporter=discarding(), sampler=sampler(case), instruments=set())
    made = task("plain")
    return {"sync": made(plain), "async": made(aplain), "generator": made(gplain)}


def openinference(case: str) -> dict[str, Any]:
    from openinference.instrumentation import OITracer, TraceConfig

    found = OITracer(provider(sampler(case)).get_tracer("oi"), config=TraceConfig())
    return {
        "sync": found.chain(plain),
        "async": found.chain(aplain),
        "generator": found.llm(gplain),
    }


def langfuse(case: str) -> dict[str, Any]:
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


def logfire(case: str) -> dict[str, Any]:
    import logfire as found
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    found.configure(
        send_to_logfire=False,
        console=False,
        sampling=found.SamplingOptions(head=0.0 if case == "unsampled" else 1.0),
        additional_span_processors=[BatchSpanProcessor(discarding())],
    )
    made = found.instrument("plain", record_return=True, allow_generator=True)
    return {"sync": made(plain), "async": made(aplain), "generator": made(gplain)}


def mlflow(case: str) -> dict[str, Any]:
    import mlflow as found

    found.set_tracking_uri("file:///tmp/mlflow-bench")
    if case == "disabled":
        found.tracing.disable()
    return {
        "sync": found.trace(plain),
        "async": found.trace(aplain),
        "generator": found.trace(gplain),
    }


def langsmith(case: str) -> dict[str, Any]:
    os.environ["LANGSMITH_TRACING"] = "false" if case == "disabled" else "true"
    os.environ["LANGSMITH_ENDPOINT"] = "http://127.0.0.1:9"
    os.environ["LANGSMITH_API_KEY"] = "x"
    from langsmith import traceable

    return {"sync": traceable(plain), "async": traceable(aplain), "generator": traceable(gplain)}


# --- measuring -----------------------------------------------------------------------------------


def per_call(kind: str, function: Callable[..., Any], seconds: float = 0.6) -> float:
    """Median of nine, µs a call, all on one core."""
    if kind == "async":

        async def loop(n: int) -> None:
            for _ in range(n):
                await function(TEXT)

        def run(n: int) -> None:
            asyncio.run(loop(n))
    elif kind == "generator":

        def run(n: int) -> None:
            for _ in range(n):
                for _chunk in function(TEXT):
                    pass
    else:

        def run(n: int) -> None:
            for _ in range(n):
                function(TEXT)

    n = 200
    while True:
        started = time.perf_counter()
        run(n)
        took = time.perf_counter() - started
        if took > seconds / 9:
            break
        n *= 2
    times = []
    for _ in range(9):
        gc.collect()
        started = time.perf_counter()
        run(n)
        times.append((time.perf_counter() - started) / n * 1e6)
    return sorted(times)[4]


def importing(contender: str) -> float:
    """Milliseconds of importing it, over starting an interpreter."""

    def best(code: str) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - started)
        return min(times)

    return (best(f"import {MODULES[contender]}") - best("pass")) * 1000


LLM = {
    **{f"gen_ai.request.setting_{i}": i * 0.5 for i in range(6)},
    **{f"gen_ai.usage.number_{i}": i * 100 for i in range(4)},
    **{f"gen_ai.name_{i}": "a-short-name" for i in range(6)},
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"content": TEXT * 10}]}])[
        :2200
    ],
    "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"content": ANSWER}]}]),
}


def exporting(contender: str, figure: str) -> float:
    """Spans of 18 attributes over OTLP/HTTP to a sink in another process."""
    sink = subprocess.Popen(
        [sys.executable, __file__, "sink", ""], stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout is not None
    url = f"http://127.0.0.1:{sink.stdout.readline().strip()}"
    try:
        make, flush = (export_raw if contender == "raw" else export_ours)(url)
        make()
        flush()
        spans, longest = 20_000, 0.0
        started = time.process_time()
        for i in range(spans):
            before = time.perf_counter()
            make()
            longest = max(longest, time.perf_counter() - before)
            if i % 100 == 99:
                time.sleep(0.005)  # an application does something else, too
        flush()
        cpu = (time.process_time() - started) / spans * 1e6
    finally:
        sink.kill()
        sink.wait()
    return cpu if figure == "export" else longest * 1000


def export_raw(url: str) -> tuple[Callable[[], None], Callable[[], Any]]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider()
    made.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(url + "/v1/traces"), max_queue_size=50_000)
    )
    tracer = made.get_tracer("raw")

    def make() -> None:
        with tracer.start_as_current_span("chat") as span:
            for key, value in LLM.items():
                span.set_attribute(key, value)

    return make, made.force_flush


def export_ours(url: str) -> tuple[Callable[[], None], Callable[[], Any]]:
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = "50000"
    import fidelity_otel as fidelity

    fidelity.init(endpoint=url, instrument=False)

    def make() -> None:
        with fidelity.span("chat") as span:
            for key, value in LLM.items():
                span.set(key, value)

    return make, lambda: fidelity.flush(30)


def threads_p99(function: Callable[[str], Any]) -> float:
    """99th percentile of a call, µs, under eight threads."""
    times: list[float] = []

    def run() -> None:
        own = []
        for _ in range(3000):
            started = time.perf_counter()
            function(TEXT)
            own.append(time.perf_counter() - started)
        times.extend(own)

    workers = [threading.Thread(target=run) for _ in range(8)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    return sorted(times)[int(len(times) * 0.99)] * 1e6


def memory(function: Callable[[str], Any]) -> float:
    """Megabytes that the process has grown by after 200,000 calls."""
    for _ in range(10_000):
        function(TEXT)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200_000):
        function(TEXT)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def sink() -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def main() -> None:
    contender, case = sys.argv[1:3]
    if contender == "sink":
        sink()
    if case in {"export", "stall"}:
        print(exporting(contender, case))
    elif case == "import":
        print(importing(contender))
    else:
        if hasattr(os, "sched_setaffinity") and case != "threads_p99":
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        if case == "nothing":
            print(per_call("sync", plain))
        else:
            functions = globals()[contender](case)
            if case in {"threads_p99", "memory"}:
                print({"threads_p99": threads_p99, "memory": memory}[case](functions["sync"]))
            else:
                kind = case if case in functions else "sync"
                print(per_call(kind, functions[kind]))
    sys.stdout.flush()
    os._exit(0)  # not every library ends by itself


if __name__ == "__main__":
    importlib.invalidate_caches()
    main()
