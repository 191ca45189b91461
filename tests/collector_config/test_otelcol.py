"""Every Collector file, run by the real Collector between real clients and real receivers."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Status, StatusCode
from running import CONFIG, Collector, Sink, collector, sink, until
from serving import Serving

from fidelity_otel.processor.metrics_table import METRICS

FILES = sorted(path.name for path in (CONFIG / "otelcol").glob("*.yaml"))
pytestmark = [pytest.mark.parts, pytest.mark.xdist_group("otelcol")]
PRIVATE = "write to ann@example.org, card 4111 1111 1111 1111, key sk-abcdefghijklmnop1234"


@contextmanager
def client(exporter: SpanExporter) -> Iterator[Tracer]:
    """A tracer of a stock OpenTelemetry SDK; everything is exported at the end."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
    try:
        yield provider.get_tracer("client")
        assert provider.force_flush(20_000)
    finally:
        provider.shutdown()


def grpc_client(running: Collector) -> GrpcExporter:
    return GrpcExporter(endpoint=running.grpc, insecure=True)


def traces(tracer: Tracer, count: int, prefix: str = "turn", *, fail: bool = False) -> set[str]:
    names = set()
    for number in range(count):
        name = f"{prefix}-{number}"
        with tracer.start_as_current_span(name) as span:
            span.set_attribute("gen_ai.operation.name", "invoke_workflow")
            span.set_attribute("gen_ai.workflow.name", "support.answer")
            span.set_attribute("gen_ai.input.messages", PRIVATE)
            span.set_attribute("gen_ai.usage.input_tokens", 7)
            with tracer.start_as_current_span(f"{name}-tool"):
                pass
            if fail:
                span.set_status(Status(StatusCode.ERROR, "broken"))
        names |= {name, f"{name}-tool"}
    return names


def test_there_is_a_test_for_every_file() -> None:
    text = Path(__file__).read_text()
    assert FILES
    assert not [name for name in FILES if f'"{name}"' not in text]


@pytest.mark.parametrize("file", FILES)
def test_the_collector_accepts_the_file(part: Callable[[str], Path], file: str) -> None:
    command = [str(part("otelcol")), "validate", f"--config={CONFIG / 'otelcol' / file}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


def test_tee_each_destination_gets_everything_and_neither_holds_up_the_other(
    part: Callable[[str], Path], tmp_path: Path
) -> None:
    with sink() as backend, sink() as fidelity:
        addresses = {"BACKEND_ENDPOINT": backend.address, "FIDELITY_ENDPOINT": fidelity.address}
        with collector(part("otelcol"), "tee.yaml", tmp_path, **addresses) as running:
            with client(grpc_client(running)) as tracer:
                first = traces(tracer, 20)
            until(lambda: backend.names() >= first and fidelity.names() >= first)
            fidelity.close()
            with client(grpc_client(running)) as tracer:
                second = traces(tracer, 20, "meanwhile")
            until(lambda: backend.names() >= second, said="the backend waits for fidelity")
            assert not fidelity.names() & second
            fidelity.open()
            until(lambda: fidelity.names() >= second, said="what was queued never came")
        for place in (backend, fidelity):
            spans = place.spans()
            assert len(spans) == len({s.span_id for s in spans}) == 80
            one = next(s for s in spans if s.name == "turn-3")
            assert one.attributes["gen_ai.input.messages"] == PRIVATE
            assert one.attributes["gen_ai.usage.input_tokens"] == 7
            assert one.resource["service.name"] == "shop"


def test_persistent_queue_survives_a_kill_of_the_collector(
    part: Callable[[str], Path], tmp_path: Path
) -> None:
    with sink() as backend:
        fidelity = Sink()  # away
        addresses = {
            "BACKEND_ENDPOINT": backend.address,
            "FIDELITY_ENDPOINT": fidelity.address,
            "QUEUE_DIRECTORY": str(tmp_path / "queue"),
        }
        with collector(part("otelcol"), "persistent-queue.yaml", tmp_path, **addresses) as running:
            with client(grpc_client(running)) as tracer:
                sent = traces(tracer, 30)
            running.kill()
            fidelity.open()
            try:
                running.run()
                until(lambda: fidelity.names() >= sent, said=running.said())
            finally:
                fidelity.close()


def test_redaction_masks_for_fidelity_and_drops_for_the_backend(
    part: Callable[[str], Path], tmp_path: Path
) -> None:
    with sink() as backend, sink() as fidelity:
        addresses = {"BACKEND_ENDPOINT": backend.address, "FIDELITY_ENDPOINT": fidelity.address}
        with collector(part("otelcol"), "redaction.yaml", tmp_path, **addresses) as running:
            with client(grpc_client(running)) as tracer:
                sent = traces(tracer, 3)
            until(lambda: backend.names() >= sent and fidelity.names() >= sent)
        for span in backend.spans():
            assert "gen_ai.input.messages" not in span.attributes
        masked = [s.attributes for s in fidelity.spans() if not s.name.endswith("-tool")]
        assert len(masked) == 3
        for attributes in masked:
            text = attributes["gen_ai.input.messages"]
            assert "write to" in text
            for secret in ("ann@example.org", "4111", "sk-abcdefghijklmnop1234"):
                assert secret not in text
            assert attributes["gen_ai.workflow.name"] == "support.answer"
            assert attributes["gen_ai.usage.input_tokens"] == 7


def test_sampled_backend_thins_one_branch_only(part: Callable[[str], Path], tmp_path: Path) -> None:
    with sink() as backend, sink() as fidelity:
        addresses = {
            "BACKEND_ENDPOINT": backend.address,
            "FIDELITY_ENDPOINT": fidelity.address,
            "DECISION_WAIT": "1s",
        }
        with collector(part("otelcol"), "sampled-backend.yaml", tmp_path, **addresses) as running:
            with client(grpc_client(running)) as tracer:
                plain = traces(tracer, 60)
                failed = traces(tracer, 5, "failed", fail=True)
            until(lambda: fidelity.names() >= plain | failed)
            until(lambda: backend.names() >= failed)
        # 10% of 60 are kept; 40 or more has a probability below 1e-20.
        assert len({n for n in backend.names() & plain if not n.endswith("-tool")}) < 40


@pytest.mark.parametrize("file", ["tee.yaml", "inline.yaml"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_from_a_stock_client_through_the_collector_into_a_real_service(
    part: Callable[[str], Path], tmp_path: Path, file: str, protocol: str
) -> None:
    binary = part("otelcol")
    with sink() as backend, Serving(tmp_path / "data") as service:
        addresses = {
            "BACKEND_ENDPOINT": backend.address,
            "FIDELITY_ENDPOINT": f"127.0.0.1:{service.ports['otlp_grpc']}",
            "FIDELITY_HTTP_ENDPOINT": f"http://127.0.0.1:{service.ports['otlp_http']}",
        }
        with collector(binary, file, tmp_path, **addresses) as running:
            exporter: SpanExporter = (
                grpc_client(running)
                if protocol == "grpc"
                else HttpExporter(endpoint=f"{running.http}/v1/traces")
            )
            with client(exporter) as tracer, tracer.start_as_current_span("answer") as span:
                span.set_attribute("gen_ai.operation.name", "invoke_workflow")
                span.set_attribute("gen_ai.workflow.name", "support.answer")
                trace_id = f"{span.get_span_context().trace_id:032x}"
                with tracer.start_as_current_span("search"):
                    pass
            found = service.until(lambda: service.trace(trace_id))
            assert "support.answer" in str(found)
            service.until(lambda: service.metric("fidelity_traces_total") == 1)
            assert service.metric("fidelity_decided_spans_total") == 2


def test_a_working_service_exposes_every_metric_of_the_table(tmp_path: Path) -> None:
    """No row of the table is a promise: traffic, a verdict and an outcome bring all of them."""
    quick = {"FIDELITY_REPORT_MINIMUM_N": "1", "FIDELITY_REPORT_BENCHMARK": "0.9"}
    quick |= {"FIDELITY_REPORT_OBJECTIVE": "0.8", "FIDELITY_SAMPLE_REVIEWS_PER_DAY": "100000"}
    quick |= {"FIDELITY_REVIEW_DOUBLE_SHARE": "1"}
    with Serving(tmp_path / "data", **quick) as service:
        address = f"127.0.0.1:{service.ports['otlp_grpc']}"
        with client(GrpcExporter(endpoint=address, insecure=True)) as tracer:
            traces(tracer, 6)
        service.until(lambda: service.metric("fidelity_traces_total") == 6)
        assert service.ask("/api/v1/windows/close", {})[0] == 200
        for reviewer in ("ann", "ben"):
            for turn in range(6):
                code, body = service.ask("/api/v1/queue/next", {"reviewer": reviewer})
                assert code == 200, body
                lease = json.loads(body)
                verdict = {"verdict": "wrong" if turn < 2 else "right", "mode": None}
                where = f"/api/v1/leases/{lease['lease_id']}/verdict"
                assert service.ask(where, verdict)[0] == 200
        listed = json.loads(service.ask("/api/v1/traces")[1])
        rows = listed if isinstance(listed, list) else listed["traces"]
        outcome = {"ref": rows[0]["trace_id"], "name": "resolved", "value": 1.0}
        code, body = service.ask("/api/v1/outcomes", outcome)
        assert code == 200, body
        service.until(lambda: service.metric("fidelity_outcome_coverage_ratio") > 0)
        service.until(lambda: service.metric("fidelity_reviews_total") == 12)
        text = service.ask("/metrics")[1].decode()
    shown = set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    empty = {
        "fidelity_recovery_seconds",  # no failure was recovered here
        "fidelity_failures",
        "fidelity_recovery_ratio",
        "fidelity_wrong_share_ratio",
        "fidelity_forward_lag_bytes",  # nothing is sent on
        "fidelity_risk_wrong_ratio",  # fitted once a day, and told from twenty reviews on
        "fidelity_survival_ratio",  # nothing was looked at again
        "fidelity_shadow_difference_ratio",  # no candidate ran
        "fidelity_store_bytes",  # measured when the store is pruned, minutes later
    }
    missing = {m.exposed for m in METRICS} | {m.name for m in METRICS if m.type == "counter"}
    missing = {m.exposed for m in METRICS if not {m.name, m.exposed} & shown} - empty
    assert missing == set()
