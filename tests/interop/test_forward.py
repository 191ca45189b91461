"""A real Collector as the destination: down for a while, the service killed meanwhile, nothing lost.

The Collector writes what it gets into a file; every span must be there, with every field as it was
sent, and the findings beside them.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fidelity_otel.processor.wire import from_json

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "processor")]
from serving import Serving  # noqa: E402
from test_collector import _find_collector, _free_ports, flat, request  # noqa: E402

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.parts]


@contextmanager
def collecting(binary: Path, folder: Path, port: int) -> Iterator[Path]:
    """The Collector, from OTLP/HTTP into a file; given is the file."""
    out = folder / "out.jsonl"
    config = folder / "collector.yaml"
    config.write_text(f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}
exporters: {{file: {{path: '{out}', append: true}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file]}}
    logs: {{receivers: [otlp], exporters: [file]}}
""")
    with (folder / "collector.log").open("ab") as log:
        process = subprocess.Popen(
            [str(binary), "--config", str(config)], stdin=subprocess.DEVNULL, stderr=log, stdout=log
        )
    try:
        yield out
    finally:
        process.terminate()
        process.wait(20)


def lines(out: Path) -> list[dict[str, Any]]:
    """What the Collector has written; the line that it is still writing is left for later."""
    written = out.read_bytes() if out.exists() else b""
    return [json.loads(line) for line in written.split(b"\n")[:-1]]


def spans(out: Path) -> dict[bytes, tuple[bytes, ...]]:
    """Each span with all around it; one that came twice must be the same both times."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for line in lines(out):
        if "resourceSpans" in line:
            for span_id, fields in flat(from_json(json.dumps(line).encode())).items():
                assert found.setdefault(span_id, fields) == fields
    return found


def findings(out: Path) -> set[str]:
    """The modes of the findings that came as log events."""
    return {
        attribute["value"]["stringValue"]
        for line in lines(out)
        for resource in line.get("resourceLogs", ())
        for scope in resource["scopeLogs"]
        for event in scope["logRecords"]
        if event["eventName"] == "fidelity.finding"
        for attribute in event["attributes"]
        if attribute["key"] == "fidelity.finding.mode"
    }


def failing(trace_id: bytes) -> bytes:
    """A trace with a finding: a tool that failed and an answer all the same."""
    made = request(trace_id)
    root, tool = made.resource_spans[0].scope_spans[0].spans[:2]
    root.status.code = 1
    for key, value in {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}.items():
        tool.attributes.add(key=key).value.string_value = value
    tool.status.code, tool.status.message = 2, "connection refused"
    body: bytes = made.SerializeToString()
    return body


def test_a_collector_that_was_down_and_a_service_that_was_killed(
    missing: Any, tmp_path: Path
) -> None:
    binary = _find_collector()
    if binary is None:
        missing("the Collector (`python3 tools/parts.py get otelcol`)")
    assert binary is not None
    (port,) = _free_ports(1)
    sent: dict[bytes, tuple[bytes, ...]] = {}
    service = Serving(
        tmp_path / "data",
        FIDELITY_FORWARD_TO=f"http://127.0.0.1:{port}",
        FIDELITY_FORWARD_FINDINGS="logs",
    )

    def send(count: int) -> None:
        for _ in range(count):
            body = failing(secrets.token_bytes(16))
            assert service.send(body) == 200
            sent.update(flat(body))

    with service:
        send(3)  # nobody is there yet
        service.until(lambda: "forward" in service.ask("/readyz")[1].decode())
        assert service.ask("/readyz")[0] == 200, "a destination that is down stops nobody"
        service.kill()
        service.start()
        with collecting(binary, tmp_path, port) as out:
            service.until(lambda: spans(out).keys() == sent.keys())
            send(3)
            service.kill()
            service.start()
            service.until(lambda: spans(out).keys() == sent.keys())
            service.until(lambda: "tool_error" in findings(out) or "timeout" in findings(out))
        send(3)  # gone again
        with collecting(binary, tmp_path, port) as out:
            service.until(lambda: spans(out).keys() == sent.keys())
            service.until(lambda: service.metric("fidelity_forward_lag_bytes") == 0)
        assert service.metric("fidelity_forward_refused_spans_total") == 0
        assert service.stop() == 0
    assert spans(out) == sent
