"""`init` in real processes: alone, joined, twice, dead endpoint, fork, exit, zero code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fidelity_otel.testing import Loopback, Reply

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "FIDELITY_"))}


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback() as found:
        yield found


@pytest.fixture
def collector(server: Loopback) -> Loopback:
    server.answer(Reply(body=b"", headers={"content-type": "application/x-protobuf"}))
    return server


def run(code: str, *, timeout: float = 60, command: list[str] | None = None, **env: str) -> Any:
    """Run an application of its own, strictly; it must end with 0 and quietly."""
    ran = subprocess.run(
        [*(command or [sys.executable, "-W", "error"]), "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**CLEAN, "FIDELITY_STRICT": "1", **env},
    )
    assert ran.returncode == 0, ran.stderr
    return ran


def received(collector: Loopback) -> list[Any]:
    spans = []
    for path, _, body in list(collector.requests):
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            spans += [(s, names) for scope in resource.scope_spans for s in scope.spans]
    return spans


def names(collector: Loopback) -> list[str]:
    return sorted(s.name for s, _ in received(collector))


APP = """
    import fidelity_otel as fidelity
    @fidelity.workflow("w")
    def work(x): return x
"""


def test_spans_are_sent_at_exit_without_another_word(collector: Loopback) -> None:
    ran = run(
        APP
        + f"    fidelity.init(service='shop', release='r1', endpoint='{collector.url}'); work(1)"
    )
    ((span, resource),) = received(collector)
    assert span.name == "invoke_workflow w"
    assert resource["service.name"] == "shop"
    assert resource["service.version"] == "r1"
    assert ran.stderr == ""


def test_flush_sends_now(collector: Loopback) -> None:
    """langfuse#3292: a frozen Lambda sends nothing until its next call."""
    run(
        APP
        + f"""
    fidelity.init(endpoint='{collector.url}/v1/traces', headers={{'x-key': 'k'}}); work(1)
    assert fidelity.flush() is True
    import os; os._exit(0)  # frozen: no exit handler runs
    """
    )
    assert names(collector) == ["invoke_workflow w"]
    assert collector.requests[0][1]["x-key"] == "k"


def test_otel_variables_are_respected(collector: Loopback) -> None:
    app = APP + "    fidelity.init(); work(1)"
    run(
        app,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_SERVICE_NAME="from-env",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=prod",
        OTEL_EXPORTER_OTLP_HEADERS="a=b",
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
    )
    ((_, resource),) = received(collector)
    assert resource["service.name"] == "from-env"
    assert resource["deployment.environment.name"] == "prod"
    assert collector.requests[0][1]["a"] == "b"
    collector.answer(Reply(body=b""))
    run(app, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url + "/v1/traces")
    assert names(collector) == ["invoke_workflow w"]
    collector.answer(Reply(body=b""))
    run(app, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SDK_DISABLED="true")
    run(app, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, FIDELITY_ENABLED="false")
    run(app, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off")
    run(app, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_EXPORTER="none")
    assert names(collector) == []
    assert "invoke_workflow" in run(app, OTEL_TRACES_EXPORTER="console").stdout


def test_own_variables_and_precedence(collector: Loopback) -> None:
    run(
        APP + "    fidelity.init(service='arg'); work('hello')",
        FIDELITY_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        FIDELITY_SERVICE="env",
        OTEL_SERVICE_NAME="otel",
        FIDELITY_CAPTURE="off",
    )
    ((span, resource),) = received(collector)
    assert resource["service.name"] == "arg"
    assert "hello" not in str(span)


def test_a_wrong_variable_is_said_and_ignored(collector: Loopback) -> None:
    ran = run(
        APP + f"    fidelity.init(endpoint='{collector.url}', redact='nonsense'); work(1)",
        FIDELITY_MAX_VALUE_BYTES="many",
    )
    assert "FIDELITY_MAX_VALUE_BYTES" in ran.stderr
    assert "nonsense" in ran.stderr
    assert names(collector) == ["invoke_workflow w"]


def test_a_second_init_is_harmless(collector: Loopback) -> None:
    run(
        APP
        + f"""
    for _ in range(3): fidelity.init(endpoint='{collector.url}')
    work(1)
    fidelity.shutdown()
    work(2)
    fidelity.shutdown()
    """
    )
    assert names(collector) == ["invoke_workflow w"]


def test_it_joins_the_providers_that_an_app_has_set(collector: Loopback) -> None:
    """langfuse#7212, langflow#13344: the global provider was hijacked."""
    run(
        APP
        + f"""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    mine, memory = TracerProvider(), InMemorySpanExporter()
    mine.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(mine)
    fidelity.init(endpoint='{collector.url}')
    assert trace.get_tracer_provider() is mine
    with trace.get_tracer('app').start_as_current_span('theirs'):
        work('sk-abcdefghij0123456789')
    ours, theirs = memory.get_finished_spans()
    assert ours.parent.span_id == theirs.context.span_id
    assert 'sk-abc' not in str(ours.attributes), ours.attributes
    fidelity.shutdown()
    with trace.get_tracer('app').start_as_current_span('after'): pass
    assert len(memory.get_finished_spans()) == 3, 'their pipeline goes on'
    """
    )
    assert names(collector) == ["invoke_workflow w", "theirs"]


def test_joined_without_an_endpoint_nothing_is_sent_twice(collector: Loopback) -> None:
    run(
        APP
        + f"""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    mine = TracerProvider()
    mine.add_span_processor(BatchSpanProcessor(OTLPSpanExporter('{collector.url}/v1/traces')))
    trace.set_tracer_provider(mine)
    fidelity.init()
    work(1)
    """,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
    )
    assert names(collector) == ["invoke_workflow w"]


def test_someone_who_joins_later_sees_our_spans(collector: Loopback) -> None:
    run(
        APP
        + f"""
    fidelity.init(endpoint='{collector.url}')
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    memory = InMemorySpanExporter()
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(memory))
    work(1)
    (seen,) = memory.get_finished_spans()
    assert seen.attributes['fidelity.output'] == '1'
    assert seen.instrumentation_scope.name == 'fidelity_otel'
    """
    )
    assert names(collector) == ["invoke_workflow w"]


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "silent", "nonsense"])
def test_a_dead_endpoint_costs_nothing_and_ends_in_time(endpoint: str, silent: str) -> None:
    """otel-python#3309, #2024: shutdown took a minute; the app hung."""
    endpoint = silent if endpoint == "silent" else endpoint
    started = time.monotonic()
    ran = run(
        APP
        + f"""
    import time
    fidelity.init(endpoint='{endpoint}')
    started = time.monotonic()
    for i in range(5000): work(i)
    print(time.monotonic() - started)
    """
    )
    assert float(ran.stdout) < 5  # 5000 calls, on any machine
    assert time.monotonic() - started < 20  # 5 s of shutdown, and the interpreter's start
    assert len(ran.stderr.splitlines()) < 15, ran.stderr


def test_bounded_flush_and_shutdown_with_a_server_that_never_answers() -> None:
    """otel-python#2024: the application hangs at its end."""
    import threading

    with Loopback() as slow:
        hold = threading.Event()
        slow.answer(Reply(body=b"", hold=hold))
        try:
            ran = run(
                APP
                + f"""
    import time
    fidelity.init(endpoint='{slow.url}')
    work(1)
    a = time.monotonic(); done = fidelity.flush(0.5); b = time.monotonic()
    assert done is False
    fidelity.shutdown(1.0); c = time.monotonic()
    print(b - a, c - b)
    """
            )
        finally:
            hold.set()
    flushed, stopped = map(float, ran.stdout.split())
    assert flushed < 3
    assert stopped < 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_after_init(collector: Loopback) -> None:
    """openai-agents#2489, langfuse#7414: gunicorn's preload lost the workers' traces."""
    run(
        APP
        + f"""
    import os, warnings
    fidelity.init(endpoint='{collector.url}')
    work('parent before')
    children = []
    for i in range(3):
        pid = os.fork()
        if not pid:
            work(f'child {{i}}')
            assert fidelity.flush() is True
            os._exit(0)
        children.append(pid)
    for pid in children: assert os.waitpid(pid, 0)[1] == 0
    work('parent after')
    """
    )
    found = received(collector)
    outputs = sorted(
        a.value.string_value for s, _ in found for a in s.attributes if a.key == "fidelity.output"
    )
    assert outputs == [
        f'"{t}"' for t in ("child 0", "child 1", "child 2", "parent after", "parent before")
    ]
    assert len({s.span_id for s, _ in found}) == 5
    assert len({s.trace_id for s, _ in found}) == 5


def test_multiprocessing_spawn_and_a_script_without_main_guard(
    tmp_path: Path, collector: Loopback
) -> None:
    script = tmp_path / "app.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import multiprocessing
            import fidelity_otel as fidelity
            fidelity.init(endpoint={collector.url!r})

            @fidelity.workflow("w")
            def work(x):
                return x

            if __name__ == "__main__":
                with multiprocessing.get_context("spawn").Pool(2) as pool:
                    assert pool.map(work, [1, 2, 3]) == [1, 2, 3]
                    pool.close(); pool.join()
            """
        )
    )
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=CLEAN
    )
    assert ran.returncode == 0, ran.stderr
    assert names(collector) == ["invoke_workflow w"] * 3


def test_zero_code(collector: Loopback) -> None:
    """`opentelemetry-instrument python app.py`: the decorators work without init."""
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    ran = run(
        APP + "    work('zero')",
        command=[str(launcher), sys.executable],
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_SERVICE_NAME="zero",
    )
    assert ran.stderr == ""
    found = received(collector)
    assert [s.name for s, _ in found] == ["invoke_workflow w"]


def test_exit_by_exception_still_sends(collector: Loopback) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(APP + f"    fidelity.init(endpoint='{collector.url}'); work(1); 1/0"),
        ],
        capture_output=True,
        text=True,
        env=CLEAN,
    )
    assert ran.returncode == 1
    assert "ZeroDivisionError" in ran.stderr
    assert names(collector) == ["invoke_workflow w"]
