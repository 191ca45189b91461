"""A real `fidelity serve`, and how what a foreign exporter sent is compared with what it stored.

Every sender says in JSON what its SDK handed to the exporter: a list of spans whose values carry
their type (`{"i": "9223372036854775807"}`), since JSON alone cannot tell 1 from 1.0 or text from
bytes. The store's body is then decoded and must say the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

from fidelity_otel.processor import wire
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.store import open_store

READY_SECONDS = 60.0
STORED_SECONDS = 40.0
Sent = dict[str, Any]


class Service(NamedTuple):
    """A running service: its ports, and a way to what it has stored."""

    ports: dict[str, int]
    otlp: Callable[[str, int], bytes]
    """(trace id, spans) → the stored body, once it holds that many spans."""

    def spans(self, trace_id: str, count: int) -> list[RawSpan]:
        return wire.decode(self.otlp(trace_id, count))

    def address(self, protocol: str) -> str:
        return f"127.0.0.1:{self.ports[f'otlp_{protocol}']}"


def _ports(data: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, int]:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            ports: dict[str, int] = json.loads((data / "ports.json").read_text())
        except (OSError, ValueError):
            time.sleep(0.05)
            continue
        return ports
    raise AssertionError(f"fidelity serve did not become ready:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`fidelity serve` on free ports with a fresh store, as a process of its own."""
    folder = tmp_path_factory.mktemp("service")
    data, log = folder / "data", folder / "serve.log"
    command = os.environ.get("FIDELITY_COMMAND", str(Path(sys.executable).parent / "fidelity"))
    environment = {
        "FIDELITY_OTLP_GRPC_PORT": "0",
        "FIDELITY_OTLP_HTTP_PORT": "0",
        "FIDELITY_HTTP_PORT": "0",
        "FIDELITY_ASSEMBLE_SETTLE_SECONDS": "0.2",
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command.split(), "serve", "--data", str(data)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        ports = _ports(data, process, log)
        store = open_store(data)

        def otlp(trace_id: str, count: int) -> bytes:
            until = time.monotonic() + STORED_SECONDS
            held = None
            while time.monotonic() < until and process.poll() is None:
                held = store.trace(trace_id)
                if held is not None and held.record.span_count >= count:
                    return held.record.otlp
                time.sleep(0.05)
            found = "nothing" if held is None else f"{held.record.span_count} spans"
            raise AssertionError(
                f"of trace {trace_id} with {count} spans {found} came into the store:\n"
                f"{log.read_text(errors='replace')[-3000:]}"
            )

        yield Service(ports, otlp)
        store.close()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def plain(tagged: dict[str, Any]) -> Any:
    """A value with its type in front, as Python has it."""
    (tag, value), *more = tagged.items()
    assert not more, tagged
    if tag == "i":
        return int(value)
    if tag == "d":
        return float(value)
    if tag == "y":
        return base64.b64decode(value)
    if tag == "a":
        return [plain(item) for item in value]
    if tag == "m":
        return {key: plain(item) for key, item in value.items()}
    assert tag in {"s", "b", "n"}, tag
    return value


def alike(left: Any, right: Any) -> bool:
    """Equal in value and in type; NaN equals itself, and −0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(v, right[k]) for k, v in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    return bool(left == right)


def _expected(span: Sent) -> dict[str, Any]:
    def values(table: dict[str, Any]) -> dict[str, Any]:
        return {key: plain(value) for key, value in table.items()}

    return {
        "name": span["name"],
        "parent_id": span["parent_id"],
        "kind": span["kind"],
        "start_ns": int(span["start_ns"]),
        "end_ns": int(span["end_ns"]),
        "status_code": span["status_code"],
        "status_message": span["status_message"],
        "attributes": values(span["attributes"]),
        "events": [(e["name"], int(e["time_ns"]), values(e["attributes"])) for e in span["events"]],
        "links": [(n["trace_id"], n["span_id"], values(n["attributes"])) for n in span["links"]],
        "resource": values(span["resource"]),
        "scope_name": span["scope_name"],
        "scope_version": span["scope_version"],
        "trace_state": span["trace_state"],
    }


def _found(span: RawSpan) -> dict[str, Any]:
    return {
        "name": span.name,
        "parent_id": span.parent_id,
        "kind": span.kind,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status_code": span.status_code,
        "status_message": span.status_message,
        "attributes": span.attributes,
        "events": [(e.name, e.time_ns, e.attributes) for e in span.events],
        "links": [(n.trace_id, n.span_id, n.attributes) for n in span.links],
        "resource": span.resource,
        "scope_name": span.scope_name,
        "scope_version": span.scope_version,
        "trace_state": span.trace_state,
    }


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def check(sent: list[Sent], service: Service) -> None:
    """Every sent span is stored once and says what the sender's SDK said."""
    by_trace: dict[str, list[Sent]] = {}
    for span in sent:
        by_trace.setdefault(span["trace_id"], []).append(span)
    for trace_id, spans in by_trace.items():
        stored = service.spans(trace_id, len(spans))
        assert sorted(s.span_id for s in stored) == sorted(s["span_id"] for s in spans)
        by_id = {span.span_id: span for span in stored}
        for span in spans:
            expected, found = _expected(span), _found(by_id[span["span_id"]])
            for field, value in expected.items():
                here = _listed(found[field])
                assert alike(_listed(value), here), (
                    f"{span['name']}: {field}\n  sent  {value!r:.2000}\n  found {here!r:.2000}"
                )


def _absent(what: str) -> NoReturn:
    message = f"{what} is not to be had on this machine, so its exporter is not tried"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def missing() -> Callable[[str], NoReturn]:
    """Call it where a tool chain is not here: skips, and says so; a failure where CI=true."""
    return _absent


@pytest.fixture(scope="session")
def cache() -> Callable[[str, Sequence[Path]], Path]:
    """(name, sources) → the folder outside the clone for what is installed from these sources."""
    named = os.environ.get("FIDELITY_PARTS_DIR")
    root = Path(named).expanduser() if named else Path.home() / ".cache" / "fidelity-otel"

    def folder(name: str, sources: Sequence[Path]) -> Path:
        digest = hashlib.sha256()
        for source in sources:
            content = source.read_bytes()
            digest.update(f"{source.name} {len(content)}\n".encode() + content)
        return root / name / digest.hexdigest()[:16]

    return folder


@pytest.fixture(scope="session")
def compare(service: Service) -> Callable[[list[Sent]], None]:
    """Compare what was sent with what is stored."""
    return lambda sent: check(sent, service)
