"""The real Collector in front of a real service: every encoding and compression that it can send.

One Collector runs a pipeline for each way: the same spans go in, and what the service has stored is
compared field by field with what went in, on the published schema.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.parts]

WAYS = [
    *[("otlp_grpc", "proto", c) for c in ("none", "gzip")],
    *[("otlp_http", e, c) for e in ("proto", "json") for c in ("none", "gzip", "zstd")],
]
REFUSED = ("otlp_grpc", "proto", "zstd")
NAMES = ["-".join(way) for way in WAYS]


def _value(value: Any) -> AnyValue:
    out = AnyValue()
    if isinstance(value, bool):
        out.bool_value = value
    elif isinstance(value, int):
        out.int_value = value
    elif isinstance(value, float):
        out.double_value = value
    elif isinstance(value, bytes):
        out.bytes_value = value
    elif isinstance(value, str):
        out.string_value = value
    elif isinstance(value, list):
        out.array_value.SetInParent()
        out.array_value.values.extend(map(_value, value))
    elif isinstance(value, dict):
        out.kvlist_value.SetInParent()
        out.kvlist_value.values.extend(_pairs(value))
    return out


def _pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


STRANGE: dict[str, Any] = {
    "text": "naïve 😀 שלום \u202e 漢字 nul \x00 end",
    "text.empty": "",
    "text.long": "ä" * 50_000,
    "bool": True,
    "bool.false": False,
    "int.most": 2**63 - 1,
    "int.least": -(2**63),
    "int.beyond_double": 2**53 + 1,
    "int.zero": 0,
    "float": 0.1,
    "float.whole": 3.0,
    "float.zero": 0.0,
    "float.tiny": 5e-324,
    "float.huge": 1.7976931348623157e308,
    "bytes": bytes(range(256)),
    "bytes.empty": b"",
    "list": ["a", 1, 2.5, True, b"\x00", ["nested"], {"k": "v"}],
    "list.empty": [],
    "map": {"a": {"b": {"c": [1, 2]}}, "empty": {}},
    "map.empty": {},
    "nothing": None,
    "": "empty key",
}


def request(trace_id: bytes) -> ExportTraceServiceRequest:
    """One trace over two resources and three scopes, with every field of a span in use."""
    made = ExportTraceServiceRequest()
    root = secrets.token_bytes(8)
    for number in range(2):
        resource = made.resource_spans.add(schema_url="https://example.com/resource/1")
        resource.resource.attributes.extend(_pairs({"service.name": f"svc-{number}", **STRANGE}))
        resource.resource.dropped_attributes_count = number
        for which in range(2 - number):
            scope = resource.scope_spans.add(schema_url="https://example.com/scope/2")
            scope.scope.name, scope.scope.version = f"scope {which} 😀", "1.0"
            scope.scope.attributes.extend(_pairs({"scope.attribute": which, "bytes": b"\xff"}))
            for kind in range(6):
                span = scope.spans.add(
                    trace_id=trace_id,
                    span_id=secrets.token_bytes(8),
                    parent_span_id=root,
                    name=f"span {number} {which} {kind} ü",
                    kind=kind,
                    start_time_unix_nano=1_800_000_000_000_000_001 + kind,
                    end_time_unix_nano=1_800_000_000_000_000_009 + kind,
                    trace_state="ot=th:8;rv:ffffffffffffff,vendor=a:b",
                    flags=0x101,
                    dropped_attributes_count=kind,
                    dropped_events_count=2 * kind,
                    dropped_links_count=3 * kind,
                )
                span.attributes.extend(_pairs(STRANGE))
                span.status.code = kind % 3
                span.status.message = "ünïcode" if kind % 3 == 2 else ""
                event = span.events.add(
                    name="event", time_unix_nano=2**63, dropped_attributes_count=1
                )
                event.attributes.extend(_pairs(STRANGE))
                span.events.add()
                link = span.links.add(
                    trace_id=secrets.token_bytes(16),
                    span_id=secrets.token_bytes(8),
                    trace_state="x=y",
                    flags=0x301,
                    dropped_attributes_count=4,
                )
                link.attributes.extend(_pairs(STRANGE))
    first = made.resource_spans[0].scope_spans[0].spans[0]
    first.span_id, first.parent_span_id = root, b""
    return made


def flat(body: bytes) -> dict[bytes, tuple[bytes, ...]]:
    """Each span with all that stands around it, as bytes in one fixed order of fields."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert span.span_id not in found, "a span is stored twice"
                found[span.span_id] = (
                    span.SerializeToString(deterministic=True),
                    resource.resource.SerializeToString(deterministic=True),
                    resource.schema_url.encode(),
                    scope.scope.SerializeToString(deterministic=True),
                    scope.schema_url.encode(),
                )
    return found


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def _configuration(ports: dict[str, int], service: Any) -> str:
    receivers, exporters, pipelines = [], [], []
    for way in (*WAYS, REFUSED):
        name, (exporter, encoding, compression) = "-".join(way), way
        receivers.append(
            f"  otlp/{name}: {{protocols: {{http: {{endpoint: '127.0.0.1:{ports[name]}'}}}}}}"
        )
        if exporter == "otlp_grpc":
            where = f"endpoint: '{service.address('grpc')}', tls: {{insecure: true}}"
        else:
            where = f"endpoint: 'http://{service.address('http')}', encoding: {encoding}"
        where += f", compression: {compression}, retry_on_failure: {{enabled: false}}"
        exporters.append(f"  {exporter}/{name}: {{{where}}}")
        pipelines.append(
            f"    traces/{name}: {{receivers: [otlp/{name}], exporters: [{exporter}/{name}]}}"
        )
    lines = ["receivers:", *receivers, "exporters:", *exporters]
    telemetry = "  telemetry: {metrics: {level: none}}"
    return "\n".join([*lines, "service:", telemetry, "  pipelines:", *pipelines, ""])


def _find_collector() -> Path | None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
    try:
        import parts
    finally:
        sys.path.pop(0)
    found: Path | None = parts.find("otelcol")
    return found


@pytest.fixture(scope="module")
def collector(
    service: Any, missing: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, int], Path]]:
    binary = _find_collector()
    if binary is None:
        missing("the Collector (`python3 tools/parts.py get otelcol`)")
    folder = tmp_path_factory.mktemp("collector")
    names = [*NAMES, "-".join(REFUSED)]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    (folder / "config.yaml").write_text(_configuration(ports, service))
    log = folder / "collector.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(binary), "--config", str(folder / "config.yaml")],
            env={**os.environ, "GOMAXPROCS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + 30
        while b"Everything is ready" not in log.read_bytes():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.05)
        yield ports, log
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _post(port: int, body: bytes) -> None:
    media = {"Content-Type": "application/x-protobuf"}
    post = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", body, media)
    with urllib.request.urlopen(post, timeout=30) as reply:
        assert reply.status == 200


@pytest.mark.parametrize("name", NAMES)
def test_every_field_comes_through(name: str, collector: Any, service: Any) -> None:
    ports, log = collector
    trace_id = secrets.token_bytes(16)
    sent = request(trace_id).SerializeToString()
    _post(ports[name], sent)
    expected = flat(sent)
    try:
        stored = flat(service.otlp(trace_id.hex(), len(expected)))
    except AssertionError as error:
        raise AssertionError(f"{error}\nthe Collector says:\n{log.read_text()[-3000:]}") from None
    assert stored.keys() == expected.keys()
    for span_id, before in expected.items():
        assert stored[span_id] == before, span_id.hex()


def test_zstd_over_grpc_is_refused_and_the_collector_says_why(collector: Any) -> None:
    """gRPC's C core knows gzip and deflate only; over HTTP zstd works."""
    ports, log = collector
    _post(ports["-".join(REFUSED)], request(secrets.token_bytes(16)).SerializeToString())
    until = time.monotonic() + 20
    while b"grpc-encoding" not in log.read_bytes():
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.05)
