"""The whole service as a process: exporters in; API, review, metrics, health and messages out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otlp import request, span
from serving import FIDELITY, Serving, clean_environment

from fidelity_otel.processor.wire import to_json

pytestmark = pytest.mark.xdist_group("service")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    data = tmp_path_factory.mktemp("serve") / "data"
    with Serving(data, FIDELITY_SAMPLE_REVIEWS_PER_DAY="1e8") as running:
        yield running


def exported(exporter: Any, question: str) -> str:
    """One workflow trace through a stock exporter; its id."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("app")
    attributes = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "support.answer",
        "fidelity.input": json.dumps({"question": question}),
        "fidelity.output": json.dumps("within 30 days"),
    }
    with tracer.start_as_current_span("answer", attributes=attributes) as root:
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "orders"}
        with tracer.start_as_current_span("execute_tool orders", attributes=tool):
            pass
        context = root.get_span_context()
    provider.shutdown()
    return f"{context.trace_id:032x}"


@pytest.mark.parametrize("kind", ["grpc", "grpc gzip", "http", "http gzip"])
def test_a_stock_exporter_to_api_trace_review_and_metrics(service: Serving, kind: str) -> None:
    before = service.metric("fidelity_traces_total")
    if kind.startswith("grpc"):
        from grpc import Compression as Codec

        codec = Codec.Gzip if "gzip" in kind else Codec.NoCompression
        endpoint = f"http://127.0.0.1:{service.ports['otlp_grpc']}"
        exporter: Any = Grpc(endpoint=endpoint, insecure=True, compression=codec)
    else:
        packed = Compression.Gzip if "gzip" in kind else Compression.NoCompression
        endpoint = f"http://127.0.0.1:{service.ports['otlp_http']}/v1/traces"
        exporter = Http(endpoint=endpoint, compression=packed)
    trace_id = exported(exporter, f"when can I return it? ({kind})")
    found = service.until(lambda: service.trace(trace_id))
    assert found["record"]["workflow"] == "support.answer"
    assert found["record"]["span_count"] == 2
    # The trace can be read a moment before it is counted.
    service.until(lambda: service.metric("fidelity_traces_total") == before + 1)

    shown = subprocess.run(
        [FIDELITY, "trace", trace_id, "--data", str(service.data), "--format", "json"],
        capture_output=True, text=True, env=clean_environment(), check=False, timeout=60,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert trace_id in shown.stdout

    code, _ = service.ask("/api/v1/windows/close", {})
    assert code == 200
    code, lease = service.ask("/api/v1/queue/next", {"reviewer": "ann"})
    assert code == 200
    verdict = {"verdict": "right"}
    lease_id = json.loads(lease)["lease_id"]
    assert service.ask(f"/api/v1/leases/{lease_id}/verdict", verdict)[0] == 200


def test_late_spans_make_a_revision_with_the_first_decision(service: Serving) -> None:
    trace = 0xA11CE << 64
    assert service.send(request(span(trace, 1, parent=None, name="w"), span(trace, 2))) == 200
    trace_id = f"{trace:032x}"
    first = service.until(lambda: service.trace(trace_id))["record"]
    assert service.send(request(span(trace, 2), span(trace, 3))) == 200
    later = service.until(
        lambda: (t := service.trace(trace_id))["record"]["span_count"] == 3 and t["record"]
    )
    assert later["revision"] == 1
    assert later["decision"]["randomness"] == first["decision"]["randomness"]
    assert later["decision"]["window"] == first["decision"]["window"]
    assert service.send(request(span(trace, 2), span(trace, 3))) == 200
    duplicates = 'fidelity_ended_traces_total{end="duplicate"}'
    service.until(lambda: duplicates in service.ask("/metrics")[1].decode())
    assert service.trace(trace_id)["record"]["revision"] == 1


def test_a_trace_without_root_is_decided_when_idle_and_marked(service: Serving) -> None:
    trace = 0xB0B << 64
    assert service.send(request(span(trace, 2), span(trace, 3))) == 200
    found = service.until(lambda: service.trace(f"{trace:032x}"))
    assert found["record"]["incomplete"] == ["idle"]


def test_a_completion_marker_decides_at_once(service: Serving) -> None:
    trace = 0xC0DE << 64
    marked = span(trace, 2) | {"attributes": {"fidelity.complete": True}}
    assert service.send(request(marked)) == 200
    found = service.until(lambda: service.trace(f"{trace:032x}"))
    assert found["record"].get("incomplete", []) == []


def test_health_readiness_and_doctor(service: Serving) -> None:
    assert service.ask("/healthz")[0] == 200
    code, body = service.ask("/readyz")
    assert (code, json.loads(body)["status"]) == (200, "ready")
    stored = service.metric("fidelity_stored_traces_total")
    done = subprocess.run(
        [FIDELITY, "doctor", "--data", str(service.data)],
        capture_output=True, text=True, env=clean_environment(), check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 5
    assert (
        service.metric("fidelity_stored_traces_total") == stored
    )  # it is never counted as traffic


def test_python_alone_will_do_and_the_service_says_what_reads(tmp_path: Path) -> None:
    with Serving(tmp_path / "data", FIDELITY_RECEIVE_NATIVE="off") as running:
        assert "scanner     python" in running.said()
        assert 'scanner="python"' in running.ask("/metrics")[1].decode()
        assert running.send(request(span(1, 1, parent=None, name="w"), span(1, 2))) == 200
        found = running.until(lambda: running.trace(f"{1:032x}"))
        assert found["record"]["workflow"] == "w"


def test_doctor_without_a_service_says_how_to_mend(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
        done = subprocess.run(
            [FIDELITY, "doctor", "--data", str(tmp_path)],
            capture_output=True, text=True, check=False, timeout=60,
            env=clean_environment(FIDELITY_HTTP_PORT=port),
        )  # fmt: skip
    assert done.returncode == 1
    assert "FAIL service" in done.stdout
    assert "mend: start `fidelity serve" in done.stdout


def test_sigterm_ends_in_good_order_and_what_waits_is_there_again(tmp_path: Path) -> None:
    service = Serving(tmp_path / "data", FIDELITY_ASSEMBLE_IDLE_SECONDS="3600")
    with service:
        assert service.send(request(span(7, 2))) == 200
        assert service.stop() == 0
        assert "stopped: everything acked" in service.said()
        assert not (service.data / "ports.json").exists()
        service.start()
        assert service.metric("fidelity_waiting_spans") == 1
        assert service.send(request(span(7, 1, parent=None))) == 200
        found = service.until(lambda: service.trace(f"{7:032x}"))
        assert found["record"]["span_count"] == 2


def refused(*options: str, **environment: str) -> str:
    """What `fidelity serve` says when it cannot start; its exit code must be 2."""
    done = subprocess.run(
        [FIDELITY, "serve", *options],
        capture_output=True, text=True, check=False, timeout=60,
        env=clean_environment(**environment),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("name", ["OTLP_GRPC", "OTLP_HTTP", "HTTP"])
def test_a_port_in_use_names_the_setting(tmp_path: Path, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused("--data", str(tmp_path), **{f"FIDELITY_{name}_PORT": str(port)})
    assert f"127.0.0.1:{port}" in said
    assert f"FIDELITY_{name}_PORT" in said
    assert "Mend:" in said
    assert not (tmp_path / "ports.json").exists()


def test_a_wrong_configuration_names_file_line_and_the_likely_name(tmp_path: Path) -> None:
    path = tmp_path / "fidelity.yaml"
    path.write_text("host: 127.0.0.1\nports:\n  htpp: 8318\n")
    said = refused("--config", str(path), "--data", str(tmp_path / "d"))
    assert f"{path}:3: no setting is called `ports.htpp`. Did you mean `ports.http`?" in said
    assert not (tmp_path / "d").exists()


def test_a_folder_in_use_or_unusable_is_said(service: Serving, tmp_path: Path) -> None:
    assert "another `fidelity serve` uses" in refused("--data", str(service.data))
    (tmp_path / "file").write_text("")
    assert "--data" in refused("--data", str(tmp_path / "file"))


def test_a_wrong_host_is_said(tmp_path: Path) -> None:
    assert "FIDELITY_HOST" in refused("--data", str(tmp_path), "--host", "no.such.host.invalid")


def test_a_full_journal_refuses_and_heals(tmp_path: Path) -> None:
    """Waiting traces fill the budget; when they are decided, their space comes back."""
    with Serving(
        tmp_path / "data",
        FIDELITY_JOURNAL_MAX_BYTES="200000",
        FIDELITY_JOURNAL_SEGMENT_BYTES="20000",
        FIDELITY_ASSEMBLE_IDLE_SECONDS="4",
    ) as service:
        codes: list[int] = []
        for number in range(1, 60):
            codes.append(service.send(request(span(number, 2, text="x" * 5_000))))
            if codes[-1] != 200:
                break
        assert codes[-1] == 503
        acked = len(codes) - 1
        assert acked >= 30
        service.until(lambda: service.send(request(span(99, 2, text="x" * 5_000))) == 200)
        service.until(lambda: service.metric("fidelity_decided_spans_total") == acked + 1)
        assert service.ask("/readyz")[0] == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tiny disk needs root")
def test_a_full_disk_refuses_and_heals(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with Serving(disk / "data", FIDELITY_ASSEMBLE_IDLE_SECONDS="3600") as service:
            service.log = tmp_path / "log"
            filler = disk / "filler"
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            filler.write_bytes(bytes(max(0, free - 600_000)))
            codes: list[int] = []
            for number in range(1, 40):
                codes.append(service.send(request(span(number, 2, text="x" * 50_000))))
                if codes[-1] != 200:
                    break
            assert codes[-1] == 503
            code, ready = service.ask("/readyz")
            assert code == 503
            assert "is full" in json.loads(ready)["problems"]["journal"]
            filler.unlink()
            assert service.send(request(span(77, 2))) == 200
            assert service.ask("/readyz")[0] == 200
            assert service.metric("fidelity_waiting_spans") == len(codes)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_thousand_silent_connections_do_not_hinder_others(service: Serving) -> None:
    silent = []
    try:
        for _ in range(500):
            for port in ("otlp_http", "otlp_grpc"):
                silent.append(socket.create_connection(("127.0.0.1", service.ports[port]), 5))
        for each in silent[::2]:
            each.send(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n")
        assert service.send(request(span(0xFACE << 64, 1, parent=None))) == 200
        service.until(lambda: service.trace(f"{0xFACE << 64:032x}"))
    finally:
        for each in silent:
            each.close()
    began = time.monotonic()
    assert service.ask("/healthz")[0] == 200
    assert time.monotonic() - began < 20


def test_ingest_puts_files_into_the_store_once(tmp_path: Path) -> None:
    import gzip

    whole = request(span(1, 1, parent=None, name="w"), span(1, 2), span(2, 1))
    (tmp_path / "a.pb").write_bytes(whole)
    (tmp_path / "b.jsonl").write_bytes(to_json(request(span(3, 1, parent=None))) + b"\nnonsense\n")
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(to_json(request(span(1, 3)))))

    def run(*names: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [FIDELITY, "ingest", "--data", str(tmp_path / "data"), *names],
            capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60,
            env=clean_environment(),
        )  # fmt: skip

    done = run("a.pb", "c.json.gz")
    assert done.returncode == 0, done.stderr
    assert "2 traces of 4 spans: 2 decided" in done.stderr
    done = run("a.pb", "b.jsonl")
    assert done.returncode == 2
    assert "b.jsonl:2: not JSON" in done.stderr
    assert "1 decided, 2 duplicate" in done.stderr
    done = run("missing.pb")
    assert (done.returncode, "missing.pb: cannot be read" in done.stderr) == (2, True)
