"""Work handed to threads and pools stays in its trace, and the stdlib is put back afterwards."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import ProcessPoolExecutor as Pool

import pytest
from opentelemetry.trace import get_current_span

import fidelity_otel as fidelity
from fidelity_otel.testing import Recorded, record
from fidelity_otel_integrations import threads


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with record(lean=True) as found:
        threads.instrument()
        try:
            yield found
        finally:
            threads.uninstrument()


@fidelity.observe("work")
def work(n: int) -> int:
    return n


def test_threads_keep_their_trace(recorded: Recorded) -> None:
    """smolagents#2221: a thread loses the context."""

    class Own(threading.Thread):
        def run(self) -> None:
            work(1)

    with fidelity.span("caller"):
        workers = [threading.Thread(target=work, args=(0,)), Own(), threading.Timer(0, work, (2,))]
        [w.start() for w in workers]
        [w.join() for w in workers]
    caller = recorded.one("caller").id
    assert [s.parent_id for s in recorded.all("work")] == [caller] * 3


def test_pools_keep_each_callers_trace(recorded: Recorded) -> None:
    """openinference, langfuse and langsmith lose the parent in a thread pool."""
    with ThreadPoolExecutor(2) as pool:
        for name in ("a", "b"):
            with fidelity.span(name):
                assert list(pool.map(work, range(4))) == [0, 1, 2, 3]
        pool.submit(work, 9).result()
    parents = [s.parent_id for s in recorded.all("work")]
    assert parents == [recorded.one("a").id] * 4 + [recorded.one("b").id] * 4 + [None]


async def test_executors_of_an_event_loop(recorded: Recorded) -> None:
    loop = asyncio.get_running_loop()
    async with fidelity.span("caller"):
        await loop.run_in_executor(None, work, 1)
        await asyncio.to_thread(work, 2)
    assert [s.parent_id for s in recorded.all("work")] == [recorded.one("caller").id] * 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_process_pools(recorded: Recorded) -> None:
    method = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=method) as pool, fidelity.span("caller"):
        far = pool.submit(get_current_span).result()
    assert far.get_span_context().trace_id == recorded.one("caller").trace_id
    assert far.get_span_context().is_remote


def test_subprocesses_continue_by_the_environment(recorded: Recorded) -> None:
    code = (
        "import os, fidelity_otel as f\n"
        "from fidelity_otel.testing import record\n"
        "with record(), f.continue_trace(os.environ), f.span('s'): print(f.handle().trace_id)"
    )
    with fidelity.span("caller"):
        carried = {k.upper(): v for k, v in fidelity.headers().items()}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **carried},
    )
    assert ran.stdout.strip() == f"{recorded.one('caller').trace_id:032x}"


def test_messages_continue_by_their_headers(recorded: Recorded) -> None:
    """openllmetry#4374: a message's traceparent was never injected."""
    with fidelity.context(conversation="c1"), fidelity.span("producer"):
        sent = [(k.title(), v.encode()) for k, v in fidelity.headers().items()]
    with fidelity.continue_trace(sent), fidelity.span("consumer"):
        pass
    assert recorded.one("consumer").parent_id == recorded.one("producer").id
    assert recorded.one("consumer")["gen_ai.conversation.id"] == "c1"
    with fidelity.continue_trace({"traceparent": "nonsense"}), fidelity.span("alone"):
        pass
    assert recorded.one("alone").parent_id is None


def test_outside_of_a_trace_nothing_is_touched(recorded: Recorded) -> None:
    thread = threading.Thread(target=work, args=(1,))
    thread.start()
    thread.join()
    assert "run" not in vars(thread)
    assert fidelity.headers() == {}


def test_the_stdlib_is_put_back() -> None:
    before = (threading.Thread.start, ThreadPoolExecutor.submit, Pool.submit)
    threads.instrument()
    threads.instrument()
    assert threading.Thread.start is not before[0]
    threads.uninstrument()
    assert (threading.Thread.start, ThreadPoolExecutor.submit, Pool.submit) == before


def test_exceptions_pass(recorded: Recorded) -> None:
    with ThreadPoolExecutor(1) as pool, fidelity.span("caller"), pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result()
