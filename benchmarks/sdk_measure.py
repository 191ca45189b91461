"""One figure of one contender, printed last; run by `benchmarks/sdk.py` in the contender's venv."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
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

import sdk_contenders as contenders
from sdk_contenders import ANSWER, TEXT

CALLS = ("sync", "async", "generator", "unsampled", "disabled")
MILLION = 1_000_000


def per_call(kind: str, function: Callable[..., Any], seconds: float = 0.5) -> float:
    """Median of nine, µs of the process's CPU a call, its exporting thread included."""
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
        started = time.process_time()
        run(n)
        took = time.process_time() - started
        if took > seconds / 9:
            break
        n *= 2
    times = []
    for _ in range(9):
        gc.collect()
        started = time.process_time()
        run(n)
        times.append((time.process_time() - started) / n * 1e6)
    return sorted(times)[4]


def importing(contender: str) -> float:
    """Milliseconds of importing it, over starting an interpreter."""

    def best(code: str) -> float:
        times = []
        for _ in range(4):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - started)
        return min(times)

    return (best(f"import {contenders.MODULES[contender]}") - best("pass")) * 1000


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
    """Spans of 18 attributes over OTLP/HTTP to a sink in another process: CPU, or longest call."""
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


def percentile(times: list[float]) -> float:
    """The 99th, in µs."""
    return sorted(times)[int(len(times) * 0.99)] * 1e6


def timed(function: Callable[[str], Any], calls: int, times: list[float]) -> None:
    for _ in range(calls):
        started = time.perf_counter()
        function(TEXT)
        times.append(time.perf_counter() - started)


def threads_p99(function: Callable[[str], Any]) -> float:
    """99th percentile of a call that works for 0.2 ms, µs, under eight threads."""

    def work(text: str) -> None:
        time.sleep(0.0002)  # a call that waits for a model lets the other threads in
        function(text)

    times: list[list[float]] = [[] for _ in range(8)]
    workers = [threading.Thread(target=timed, args=(work, 1500, own)) for own in times]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return percentile([t for own in times for t in own])


def memory(function: Callable[[str], Any]) -> float:
    """Megabytes that the process has grown by after a million calls."""
    for _ in range(10_000):
        function(TEXT)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(MILLION):
        function(TEXT)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def shadow(candidate: str) -> float:
    """99th percentile of an incumbent of 1 ms, in µs: alone, or with a candidate."""
    import fidelity_otel as fidelity

    fidelity.init(exporter=contenders.discarding(), instrument=False)
    for_ever = threading.Event()

    def answers(text: str) -> str:
        return ANSWER

    def hangs(text: str) -> str:
        for_ever.wait()
        return ANSWER

    def incumbent(text: str) -> str:
        time.sleep(0.001)
        return ANSWER

    observed = fidelity.workflow("answer")(incumbent)
    if candidate != "shadow_none":
        beside = hangs if candidate == "shadow_hangs" else answers
        observed = fidelity.shadow(beside, sample=1.0, timeout=2, concurrency=4)(observed)
    times: list[float] = []
    timed(observed, 300, [])
    timed(observed, 3000, times)
    return percentile(times)


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


def calling(contender: str, case: str) -> float:
    """A figure of decorated functions; what records nothing is no figure."""
    functions = contenders.CONTENDERS[contender](case)
    if case == "threads_p99":
        figure = threads_p99(functions["sync"])
    elif case == "memory":
        figure = memory(functions["sync"])
    else:
        kind = case if case in functions else "sync"
        figure = per_call(kind, functions[kind])
    off = case in {"unsampled", "disabled"}
    if contender != "nothing" and off == bool(contenders.exported):
        raise SystemExit(f"{contenders.exported} spans exported while {case}")
    return figure


def main() -> None:
    contender, case = sys.argv[1:3]
    if contender == "sink":
        sink()
    if case == "version":
        print(importlib.metadata.version(contenders.DISTRIBUTIONS[contender]))
        return
    if hasattr(os, "sched_setaffinity") and case in {*CALLS, "memory"}:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if case in {"export", "stall"}:
        figure = exporting(contender, case)
    elif case == "import":
        figure = importing(contender)
    elif case.startswith("shadow_"):
        figure = shadow(case)
    else:
        figure = calling(contender, case)
    print(figure, flush=True)
    os._exit(0)  # not every library ends by itself


if __name__ == "__main__":
    main()
