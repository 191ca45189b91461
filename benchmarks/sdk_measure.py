"""The figures of one case of one contender, printed last; `benchmarks/sdk.py` runs it."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import sdk_contenders as contenders
from sdk_contenders import ANSWER, TEXT

CALLS = ("sync", "async", "generator", "unsampled", "disabled")
MILLION = 1_000_000
QUEUED = 2_600  # spans that may still be on their way: a full queue and a batch

Figures = dict[str, float]


def per_call(kind: str, function: Callable[..., Any], seconds: float = 0.5) -> tuple[float, int]:
    """Median of nine, µs of the process's CPU a call, its exporting thread included; the calls."""
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

    n, calls = 200, 0
    while True:
        started = time.process_time()
        run(n)
        calls += n
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
    return sorted(times)[4], calls + 9 * n


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


def exporting(contender: str) -> Figures:
    """Spans of 18 attributes over OTLP/HTTP to a sink in another process: CPU, and longest call."""
    sink = subprocess.Popen(
        [sys.executable, __file__, "sink", ""], stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout is not None
    url = f"http://127.0.0.1:{sink.stdout.readline().strip()}"
    try:
        make, flush = (export_raw if contender == "raw" else export_ours)(url)
        make()
        flush()
        spans, longest = 4_000, [0.0] * 5
        started = time.process_time()
        for block in range(len(longest)):
            for i in range(spans):
                before = time.perf_counter()
                make()
                longest[block] = max(longest[block], time.perf_counter() - before)
                if i % 100 == 99:
                    time.sleep(0.005)  # an application does something else, too
        flush()
        cpu = (time.process_time() - started) / spans / len(longest) * 1e6
    finally:
        sink.kill()
        sink.wait()
    return {"export": cpu, "stall": statistics.median(longest) * 1000}


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
    from fidelity_otel.sdk import guard

    fidelity.init(endpoint=url, instrument=False)

    def make() -> None:
        with fidelity.span("chat") as span:
            for key, value in LLM.items():
                span.set(key, value)

    def flush() -> None:
        if not fidelity.flush(30) or guard.counts["dropped_queue_full"]:
            raise SystemExit(f"spans were lost: {guard.counts}")

    return make, flush


def percentile(times: list[float]) -> float:
    """The 99th, in µs."""
    return sorted(times)[int(len(times) * 0.99)] * 1e6


def timed(function: Callable[[str], Any], calls: int, times: list[float]) -> None:
    for _ in range(calls):
        started = time.perf_counter()
        function(TEXT)
        times.append(time.perf_counter() - started)


def threads_p99(function: Callable[[str], Any]) -> float:
    """What the 99th percentile of a call under eight threads has over the undecorated call's, µs.

    Both in turns in one process; medians of five.
    """
    own, bare = [], []
    for _ in range(5):
        bare.append(one_p99(contenders.plain))
        own.append(one_p99(function))
    return max(statistics.median(own) - statistics.median(bare), 0.0)


def one_p99(function: Callable[[str], Any]) -> float:
    """99th percentile of a call that works for 0.2 ms, µs, under eight threads."""

    def work(text: str) -> None:
        time.sleep(0.0002)  # a call that waits for a model lets the other threads in
        function(text)

    times: list[list[float]] = [[] for _ in range(8)]
    workers = [threading.Thread(target=timed, args=(work, 800, own)) for own in times]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return percentile([t for own in times for t in own])


def memory(function: Callable[[str], Any]) -> Figures:
    """Megabytes that the process has grown by after a million calls, and at their peak."""
    for _ in range(10_000):
        function(TEXT)
    before, peak_before = resident(), peak()
    for _ in range(MILLION):
        function(TEXT)
    gc.collect()
    return {"memory": resident() - before, "memory_peak": peak() - peak_before}


def resident() -> float:
    """Megabytes in memory now; where the system does not tell, the most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak()
    return pages * resource.getpagesize() / (1 << 20)


def peak() -> float:
    """The most megabytes in memory so far."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def shadow(rounds: int = 21, calls: int = 400) -> Figures:
    """An incumbent of 1 ms: alone, with a candidate that answers, and with one that hangs.

    In turns, so that each round has the same noise in all three. The median call and the 99th
    percentile, µs, medians of the rounds; the quartiles of the latter over that of the same
    round without a shadow.
    """
    import fidelity_otel as fidelity

    fidelity.init(exporter=contenders.discarding(), instrument=False)
    go_on = threading.Event()

    def answers(text: str) -> str:
        return ANSWER

    def hangs(text: str) -> str:
        go_on.wait()
        return ANSWER

    def incumbent(text: str) -> str:
        time.sleep(0.001)
        return ANSWER

    alone = fidelity.workflow("answer")(incumbent)
    beside = {"shadow_none": alone}
    for name, candidate in (("shadow_answers", answers), ("shadow_hangs", hangs)):
        limits = {"sample": 1.0, "timeout": 2.0, "concurrency": 4}
        beside[name] = fidelity.shadow(candidate, **limits)(alone)
    middle: dict[str, list[float]] = {name: [] for name in beside}
    tail: dict[str, list[float]] = {name: [] for name in beside}
    for number in range(rounds + 1):
        for name, function in beside.items():
            go_on.clear()
            times: list[float] = []
            timed(function, calls, times)
            go_on.set()  # lets those that hang end, before the next ones
            time.sleep(0.02)
            if number:  # the first one warms up
                middle[name].append(statistics.median(times) * 1e6)
                tail[name].append(percentile(times))
    found: Figures = {}
    for name in beside:
        found[name] = statistics.median(tail[name])
        found[f"{name}_median"] = statistics.median(middle[name])
        ratios = [a / b for a, b in zip(tail[name], tail["shadow_none"], strict=True)]
        low, mid, high = statistics.quantiles(ratios, n=4)
        found |= {f"{name}_low": low, f"{name}_ratio": mid, f"{name}_high": high}
    return found


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


def calling(contender: str, case: str) -> Figures:
    """The figures of decorated functions; what records nothing is no figure."""
    functions = contenders.CONTENDERS[contender](case)
    if case == "threads_p99":
        figures = {case: threads_p99(functions["sync"])}
    elif case == "memory":
        figures = memory(functions["sync"])
    else:
        kind = case if case in functions else "sync"
        cost, calls = per_call(kind, functions[kind])
        figures = {case: cost}
        if contender != "nothing" and case in functions:
            lost = 1 - (contenders.exported + QUEUED) / calls
            figures[f"{case}_lost"] = max(lost, 0.0)
    off = case in {"unsampled", "disabled"}
    if contender != "nothing" and off == bool(contenders.exported):
        raise SystemExit(f"{contenders.exported} spans exported while {case}")
    return figures


def main() -> None:
    contender, case = sys.argv[1:3]
    if contender == "sink":
        sink()
    if case == "version":
        print(importlib.metadata.version(contenders.DISTRIBUTIONS[contender]))
        return
    if hasattr(os, "sched_setaffinity") and case in {*CALLS, "memory"}:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if case == "export":
        figures = exporting(contender)
    elif case == "import":
        figures = {case: importing(contender)}
    elif case == "shadow":
        figures = shadow()
    else:
        figures = calling(contender, case)
    print(json.dumps(figures), flush=True)
    os._exit(0)  # not every library ends by itself


if __name__ == "__main__":
    main()
