"""In one process with Logfire, Langfuse and Traceloop, the real ones: nothing doubled or hijacked.

Each is installed in an environment of its own, kept outside the clone, and records the same call of
the real openai client through its own instrumentation, before or after ours was turned on.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fidelity_otel.testing import Loopback, Reply

ROOT = Path(__file__).resolve().parents[2]
OURS = ("wrapt", "msgspec", "openai==2.*", "opentelemetry-exporter-otlp-proto-http")

OTHERS = {
    "logfire": (
        ("opentelemetry-instrumentation", *OURS),
        """
        import logfire
        logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False,
                          additional_span_processors=[SimpleSpanProcessor(memory)])
        logfire.instrument_openai()
        decorate = logfire.instrument("theirs")
        from openai import OpenAI
        """,
    ),
    "langfuse": (
        OURS,
        """
        from langfuse import Langfuse, observe
        Langfuse(public_key="pk-lf-x", secret_key="sk-lf-x", host="http://127.0.0.1:9",
                 span_exporter=memory, flush_at=1)
        decorate = observe(name="theirs")
        from langfuse.openai import OpenAI
        """,
    ),
    "traceloop": (
        OURS,
        """
        from traceloop.sdk import Traceloop
        from traceloop.sdk.instruments import Instruments
        from traceloop.sdk.decorators import task
        Traceloop.init(exporter=memory, disable_batch=True, telemetry_enabled=False,
                       instruments={Instruments.OPENAI})
        decorate = task("theirs")
        from openai import OpenAI
        """,
    ),
}

APART = {("logfire", "ours")}
"""Logfire sets up a provider of its own beside ours, and asks other instrumentations to be silent
during its calls: they are its own affair, as docs/sdk/beside-others.md says."""

BEFORE = """
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import fidelity_otel as fidelity
memory = InMemorySpanExporter()
def start_ours():
    fidelity.init(endpoint=COLLECTOR, redact=["secrets", "email"])
"""

AFTER = """
@decorate
def theirs(question):
    client = OpenAI(base_url=MODEL + "/v1", api_key="none")
    reply = client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": question}])
    return reply.choices[0].message.content

@fidelity.workflow("w")
def ours(question):
    return theirs(question)

assert ours("I am ann@example.com") == "30 days"
assert trace.get_tracer_provider() is first, "the provider was taken over"
assert fidelity.flush(10)
first.force_flush()
seen = [s.name for s in memory.get_finished_spans()]
assert any("theirs" in name for name in seen), seen
assert any("small-2026" in str(s.attributes) for s in memory.get_finished_spans()), seen
"""

REPLY = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "small-2026",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "30 days"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23},
}


def peers() -> Any:
    where = ROOT / "benchmarks" / "sdk_peers.py"
    spec = importlib.util.spec_from_file_location("sdk_peers", where)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model() -> Iterator[Loopback]:
    import json

    with Loopback() as found:
        body = json.dumps(REPLY).encode()
        found.answer(Reply(body=body, headers={"content-type": "application/json"}))
        yield found


@pytest.fixture
def collector() -> Iterator[Loopback]:
    with Loopback() as found:
        found.answer(Reply(body=b"", headers={"content-type": "application/x-protobuf"}))
        yield found


def environment(name: str) -> Path:
    """Its interpreter; skips where the registries cannot be had."""
    found = peers()
    packages, bare = (*found.PEERS[name], *OTHERS[name][0]), ()
    if name == "traceloop":
        instrumentation = "opentelemetry-instrumentation-openai==0.62.4"
        bare = (*found.WITHOUT_DEPENDENCIES[name], instrumentation)
    try:
        return found.made(f"beside-{name}", packages, bare)
    except RuntimeError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def program(name: str, *, first: str, collector: str, model: str) -> str:
    theirs = textwrap.dedent(OTHERS[name][1])
    start = {"ours": ("start_ours()", theirs), "theirs": (theirs, "start_ours()")}[first]
    noted = "first = trace.get_tracer_provider()"
    where = f"COLLECTOR, MODEL = {collector!r}, {model!r}\n"
    return "\n".join((where + BEFORE, start[0], noted, start[1], AFTER))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("name", OTHERS)
def test_nothing_is_doubled_or_hijacked(
    name: str, first: str, collector: Loopback, model: Loopback
) -> None:
    """langfuse#7212, langflow#13344, openinference#2101, strands harness-sdk#1267."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "FIDELITY_"))}
    ran = subprocess.run(
        [
            environment(name),
            "-c",
            program(name, first=first, collector=collector.url, model=model.url),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **clean,
            "FIDELITY_STRICT": "1",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "integrations"))),
        },
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert len(model.requests) == 1
    spans = [
        span
        for _, _, body in collector.requests
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    names = sorted(s.name for s in spans)
    ids = {s.span_id for s in spans}
    assert len(ids) == len(spans), names
    assert len({s.trace_id for s in spans}) == 1, names
    answered = [s for s in spans if '"small-2026' in str(s.attributes)]
    if (name, first) in APART:
        assert names == ["invoke_workflow w"]
    else:
        assert len(answered) == 1, names
        roots = [s.name for s in spans if s.parent_span_id not in ids]
        assert roots == ["invoke_workflow w"], names
        assert any("theirs" in n for n in names)
    assert "ann@example.com" not in str(spans), "redaction asked for holds for their spans, too"
