"""Sending on: in order, unchanged, at least once, whatever the destination and the service do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp import request, span
from receiving import Receiving

from fidelity_otel.errors import ConfigError, JournalError
from fidelity_otel.model import Decision, Finding, TraceRecord
from fidelity_otel.processor.forward import Cursor, Destination, Findings, forwarders
from fidelity_otel.processor.journal import Journal
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.wire_findings import findings_as_logs, findings_as_spans


class Sink:
    """An OTLP/HTTP endpoint that keeps what it took and answers as it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.codes: list[int] = []
        self.refuse = b"\x00never"
        self.headers: dict[str, str] = {}
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                sink.headers = {k.lower(): v for k, v in self.headers.items()}
                code = sink.codes.pop(0) if sink.codes else 200
                if code == 200 and sink.refuse in body:
                    code = 400
                if code == 200:
                    sink.taken.append((self.path, body))
                self.send_response(code)
                self.send_header("content-length", "0")
                if code in (307, 302):
                    self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def spans(self) -> list[bytes]:
        """Every span taken, as bytes, in order."""
        return [
            each.SerializeToString(deterministic=True)
            for path, body in self.taken
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for each in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.close()


def bodies(count: int, *, text: str = "x" * 2000) -> list[bytes]:
    return [
        request(span(n, n, parent=None, text=text) | {"trace_state": "ot=th:8;rv:ff,vendor=a:b"})
        for n in range(1, count + 1)
    ]


def spans_of(some: list[bytes]) -> list[bytes]:
    return [
        ExportTraceServiceRequest.FromString(body)
        .resource_spans[0]
        .scope_spans[0]
        .spans[0]
        .SerializeToString(deterministic=True)
        for body in some
    ]


class Forwarding:
    """A receiving side with forwarders that run until the block is left."""

    def __init__(self, folder: Path, *urls: str, headers: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.settings = {"forward.to": urls, "forward.headers": headers}
        self.tally = Tally()
        self.lags: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self.there = Receiving(self.folder / "journal")
        self.there.journal.segment_bytes = 4096
        self.forwarders = forwarders(
            self.settings, self.there.journal, self.folder / "forward", tally=self.tally,
            lag=self.lags.__setitem__,
        )  # fmt: skip
        self.tasks = [asyncio.create_task(each.run()) for each in self.forwarders]
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.forwarders:
            each.stop()
        await asyncio.gather(*self.tasks)
        await self.there.close()

    async def receive(self, some: list[bytes]) -> None:
        for body in some:
            await self.there.intake.take("traces", body, "http")

    async def until(self, condition: Any) -> None:
        for _ in range(3000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never came to be")


async def test_spans_arrive_in_order_byte_for_byte_with_their_tracestate(
    tmp_path: Path, sink: Sink
) -> None:
    sent = bodies(30)
    async with Forwarding(tmp_path, sink.url, headers=("X-Team=search",)) as there:
        await there.receive(sent)
        await there.until(lambda: len(sink.spans()) >= 30)
        await there.until(lambda: there.lags and not any(there.lags.values()))
    assert sink.spans() == spans_of(sent)
    assert sink.headers["x-team"] == "search"
    assert there.tally.get("forward_sent") == 30


async def test_one_that_is_down_delays_itself_alone_and_keeps_the_journal(
    tmp_path: Path, sink: Sink
) -> None:
    slow = Sink()
    slow.codes = [503] * 4
    sent = bodies(20)
    try:
        async with Forwarding(tmp_path, sink.url, slow.url) as there:
            there.forwarders[1].destination.send = _held(there.forwarders[1].destination.send)  # type: ignore[method-assign]
            await there.receive(sent)
            await there.until(lambda: len(sink.spans()) >= 20)
            journal = there.there.journal
            journal.need("assembler", journal.end)
            journal.trim()
            assert len(journal.segments) > 5, "what one destination lacks was deleted"
            assert slow.spans() == []
            _held.gate.set()  # type: ignore[attr-defined]
            await there.until(lambda: len(slow.spans()) >= 20)
            await there.until(lambda: not any(there.lags.values()))
            journal.trim()
            assert len(journal.segments) == 1
    finally:
        slow.close()
    assert slow.spans() == sink.spans() == spans_of(sent)


def _held(send: Any) -> Any:
    gate = _held.gate = threading.Event()  # type: ignore[attr-defined]

    def wait(signal: str, body: bytes) -> Any:
        gate.wait(20)
        return send(signal, body)

    return wait


async def test_a_restart_goes_on_where_it_was(tmp_path: Path, sink: Sink) -> None:
    sent = bodies(12)
    async with Forwarding(tmp_path, sink.url) as there:
        await there.receive(sent[:6])
        await there.until(lambda: not any(there.lags.values()) and len(sink.spans()) == 6)
        sink.codes = [500] * 1000
        await there.receive(sent[6:9])
        await there.until(lambda: there.forwarders[0].stalled)
    sink.codes = []
    async with Forwarding(tmp_path, sink.url) as there:
        await there.receive(sent[9:])
        await there.until(lambda: len(sink.spans()) >= 12)
    assert sink.spans() == spans_of(sent)


@pytest.mark.parametrize("code", [401, 404, 429, 500, 502, 503, 302, 307])
async def test_what_may_be_mended_is_sent_again(tmp_path: Path, sink: Sink, code: int) -> None:
    sink.codes = [code, code]
    sent = bodies(3)
    async with Forwarding(tmp_path, sink.url) as there:
        await there.receive(sent)
        await there.until(lambda: len(sink.spans()) >= 3)
        assert there.tally.get("forward_refused") == 0
    assert sink.spans() == spans_of(sent)


async def test_only_what_is_refused_for_good_is_left_out_and_counted(
    tmp_path: Path, sink: Sink
) -> None:
    sent = bodies(9)
    sent[4] = request(span(5, 5, parent=None, text="poison"))
    sink.refuse = b"poison"
    async with Forwarding(tmp_path, sink.url) as there:
        await there.receive(sent)
        await there.until(lambda: len(sink.spans()) >= 8)
        await there.until(lambda: not any(there.lags.values()))
    assert sink.spans() == spans_of(sent[:4] + sent[5:])
    assert there.tally.get("forward_refused") == 1
    assert there.tally.get("forward_sent") == 8


async def test_a_destination_that_is_new_begins_with_what_comes_in_next(
    tmp_path: Path, sink: Sink
) -> None:
    sent = bodies(4)
    async with Forwarding(tmp_path) as there:
        await there.receive(sent[:2])
    async with Forwarding(tmp_path, sink.url) as there:
        await there.receive(sent[2:])
        await there.until(lambda: len(sink.spans()) >= 2)
    assert sink.spans() == spans_of(sent[2:])


def record(**more: Any) -> TraceRecord:
    found = (
        Finding("loop", "unrecovered", f"{2:016x}", "The same call thrice."),
        Finding("timeout", "recovered", f"{3:016x}", "It took 30 s. \ud800"),
    )
    decision = Decision(f"{1:032x}", "s", "w", 1, 1.0, 0.5, flagged=True, decided_ns=99)
    return TraceRecord(
        trace_id=f"{1:032x}", otlp=b"", decision=decision, findings=found, service="shop",
        workflow="answer", end_ns=50, **more,
    )  # fmt: skip


async def test_findings_go_the_same_way_to_their_own_endpoint(tmp_path: Path, sink: Sink) -> None:
    findings = Findings("logs")
    async with Forwarding(tmp_path, sink.url) as there:
        await there.receive(bodies(1))
        findings.found(record())
        await asyncio.to_thread(there.there.journal.write, findings.take())
        assert findings.take() == []
        await there.until(lambda: {path for path, _ in sink.taken} == {"/v1/traces", "/v1/logs"})
    (body,) = [body for path, body in sink.taken if path == "/v1/logs"]
    logs = ExportLogsServiceRequest.FromString(body).resource_logs[0]
    first, second = logs.scope_logs[0].log_records
    assert first.event_name == second.event_name == "fidelity.finding"
    assert (first.trace_id.hex(), first.span_id.hex()) == (f"{1:032x}", f"{2:016x}")
    assert (first.severity_text, second.severity_text) == ("WARN", "INFO")
    said = {a.key: a.value.string_value for a in first.attributes}
    assert said["fidelity.finding.mode"] == "loop"
    assert said["fidelity.workflow"] == "answer"
    assert logs.resource.attributes[0].value.string_value == "shop"
    assert len(sink.spans()) == 1


def test_findings_as_a_span_are_part_of_their_trace_and_the_same_each_time() -> None:
    one, same, revised = (findings_as_spans(record(revision=n)) for n in (0, 0, 1))
    assert one == same
    made = ExportTraceServiceRequest.FromString(one).resource_spans[0].scope_spans[0].spans[0]
    assert (made.trace_id.hex(), made.parent_span_id.hex()) == (f"{1:032x}", f"{2:016x}")
    assert [e.name for e in made.events] == ["fidelity.finding"] * 2
    other = ExportTraceServiceRequest.FromString(revised).resource_spans[0].scope_spans[0].spans[0]
    assert other.span_id != made.span_id
    assert findings_as_logs(record()) != b""


def test_cursors_survive_and_damaged_ones_are_said(tmp_path: Path) -> None:
    path = tmp_path / "forward" / "a.json"
    Cursor(path, 7).move(9)
    assert Cursor(path, 1).position == 9
    path.write_text("{")
    with pytest.raises(JournalError, match=r"a\.json.*Mend"):
        Cursor(path, 1)


@pytest.mark.parametrize(
    ("urls", "headers", "message"),
    [
        (("grpc://x:4317",), (), "not an OTLP/HTTP endpoint"),
        (("x:4318",), (), "not an OTLP/HTTP endpoint"),
        (("http://x:4318", "http://x:4318/"), (), "twice"),
        (("http://x:4318",), ("no equals",), "name=value"),
    ],
)
def test_wrong_settings_are_named(
    tmp_path: Path, urls: tuple[str, ...], headers: tuple[str, ...], message: str
) -> None:
    journal = Journal(tmp_path / "journal")
    settings = {"forward.to": urls, "forward.headers": headers}
    try:
        with pytest.raises(ConfigError, match=message):
            forwarders(settings, journal, tmp_path, tally=Tally(), lag=lambda _n, _b: None)
    finally:
        journal.close()


def test_a_destination_never_raises() -> None:
    assert Destination("http://127.0.0.1:9").send("traces", b"").end == "later"
