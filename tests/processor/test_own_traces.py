"""The service's own spans: sent where the settings say, nothing of the users' in them, never to itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp import request, span
from serving import Serving

from fidelity_otel.errors import ConfigError
from fidelity_otel.processor.own_traces import check_elsewhere


@contextmanager
def receiver() -> Iterator[tuple[str, list[bytes]]]:
    """A loopback OTLP receiver: its address, and the bodies that have come in."""
    bodies: list[bytes] = []

    class Receive(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receive)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_own_spans_come_out_without_users_texts(tmp_path: Path) -> None:
    with (
        receiver() as (address, bodies),
        Serving(tmp_path / "data", FIDELITY_TELEMETRY_TRACES=address) as service,
    ):
        assert service.send(request(span(7, 1, parent=None, text="the user's secret"))) == 200
        assert service.send(b"\xff the user's secret") == 400
        service.until(lambda: service.trace(f"{7:032x}"))
        assert service.stop() == 0
    assert b"secret" not in b"".join(bodies)
    resources = [r for b in bodies for r in ExportTraceServiceRequest.FromString(b).resource_spans]
    names = {a.value.string_value for r in resources for a in r.resource.attributes}
    assert "fidelity" in names
    spans = {s.span_id: s for r in resources for scope in r.scope_spans for s in scope.spans}
    parents = {
        (s.name, spans[s.parent_span_id].name if s.parent_span_id else "") for s in spans.values()
    }
    assert parents == {
        ("receive", ""),
        ("commit", "receive"),
        ("decide", ""),
        ("detect", "decide"),
        ("store", "decide"),
    }
    received = [s for s in spans.values() if s.name == "receive"]
    assert sorted(s.status.code for s in received) == [0, 2]
    sizes = {a.key: a.value.int_value for s in received for a in s.attributes}
    assert sizes["fidelity.spans"] == 1


def test_a_receiver_that_is_down_hinders_nothing(tmp_path: Path) -> None:
    with Serving(tmp_path / "data", FIDELITY_TELEMETRY_TRACES="http://127.0.0.1:9") as service:
        assert service.send(request(span(7, 1, parent=None))) == 200
        service.until(lambda: service.trace(f"{7:032x}"))
        assert service.stop() == 0


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("http://127.0.0.1:4318", "127.0.0.1"),
        ("http://localhost:4318/v1/traces", "127.0.0.1"),
        ("http://127.0.0.1:4318", "0.0.0.0"),
        ("127.0.0.1:4318", "127.0.0.1"),
        ("http://127.0.0.1:many", "127.0.0.1"),
    ],
)
def test_itself_and_nonsense_are_refused(endpoint: str, host: str) -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.traces = .*Mend: "):
        check_elsewhere(endpoint, host, [4317, 4318, 8318])


def test_another_port_and_another_host_are_fine() -> None:
    check_elsewhere("http://127.0.0.1:4319", "127.0.0.1", [4318])
    check_elsewhere("http://192.0.2.1:4318", "127.0.0.1", [4318])
