"""The way out: what arrives, what is tried again, what is dropped and counted, and how it stops."""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from fidelity_otel.errors import ConfigError
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.export_batch import BatchProcessor, ExporterSender
from fidelity_otel.sdk.export_choice import sender_of, traces_url
from fidelity_otel.sdk.export_http import HttpSender, Target, target_of
from fidelity_otel.sdk.export_pace import Pace
from fidelity_otel.sdk.lean import LeanSpan, LeanTracer
from fidelity_otel.sdk.options import Options
from fidelity_otel.sdk.private import Privacy
from fidelity_otel.testing import Loopback, Reply, StepClock


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as found:
        found.answer(Reply(b""))
        yield found


def spans(count: int, *, text: str = "") -> list[Any]:
    out: list[LeanSpan] = []
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = LeanTracer.of(provider, provider.get_tracer("fidelity_otel"), out.append, "")
    assert tracer is not None
    for i in range(count):
        span = tracer.start(f"s{i}", SpanKind.INTERNAL, {"text": text}, None, ())
        assert span is not None
        span.end()
    return out


MADE: list[HttpSender] = []


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def sender(server: Loopback, **more: Any) -> HttpSender:
    MADE.append(HttpSender(Target(server.url + "/v1/traces", **more), Privacy(None, ())))
    return MADE[-1]


def names(server: Loopback) -> list[str]:
    found = []
    for _, headers, body in server.requests:
        raw = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(
            headers.get("content-encoding", ""), bytes
        )(body)
        for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
            found += [s.name for scope in resource.scope_spans for s in scope.spans]
    return found


def eventually(check: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.002)


def test_one_connection_is_kept(server: Loopback) -> None:
    out = sender(server)
    for _ in range(3):
        assert out.send(spans(2))
    assert names(server) == ["s0", "s1"] * 3
    ports = {headers["x-port"] for _, headers, _ in server.requests}
    assert len(ports) == 1


def test_a_connection_that_the_receiver_closed_is_made_anew() -> None:
    with Loopback() as server:
        server.answer(Reply(b"", headers={"connection": "close"}))
        out = sender(server)
        assert out.send(spans(1))
        assert out.send(spans(1))
        assert names(server) == ["s0", "s0"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_help_is_tried_again(status: int, server: Loopback) -> None:
    again = Reply(b"", status=status, headers={"retry-after": "0"})
    server.answer(again, again, Reply(b""))
    assert sender(server).send(spans(1))
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_what_cannot_help_is_not(status: int, server: Loopback) -> None:
    server.answer(Reply(b"", status=status))
    assert not sender(server).send(spans(1))
    assert len(server.requests) == 1


def test_retry_after_is_obeyed_or_given_up(server: Loopback) -> None:
    server.answer(Reply(b"", status=503, headers={"retry-after": "3600"}))
    started = time.monotonic()
    assert not sender(server, timeout=1.0).send(spans(1))
    assert time.monotonic() - started < 5
    assert len(server.requests) == 1


def test_what_is_too_large_goes_in_halves(server: Loopback) -> None:
    """opik#605: a 413, and the whole batch was gone; dd-trace-py#13260: > 1 MB vanished."""
    assert sender(server).send(spans(40, text="x" * 500_000))
    assert sorted(names(server)) == sorted(f"s{i}" for i in range(40))
    assert len(server.requests) > 1
    server.answer(Reply(b"", status=413), Reply(b"", status=413), Reply(b""))
    assert sender(server).send(spans(4))
    assert len(server.requests) == 5


def test_gzip(server: Loopback) -> None:
    assert sender(server, compression="gzip").send(spans(3, text="abc" * 100))
    assert names(server) == ["s0", "s1", "s2"]
    assert server.requests[0][1]["content-encoding"] == "gzip"


def exported(span: Any, mask: Any) -> list[dict[str, Any]]:
    """The attributes that a custom exporter gets."""
    memory = InMemorySpanExporter()
    assert ExporterSender(memory, Privacy(mask, ("secrets",))).send([span])
    return [dict(found.attributes or {}) for found in memory.get_finished_spans()]


def test_the_mask_sees_what_a_custom_exporter_gets() -> None:
    (span,) = spans(1, text="hidden sk-abcdefghij0123456789")
    (found,) = exported(span, lambda _key, text: text.replace("hidden", "***"))
    assert found == {"text": "*** [secrets]", "fidelity.losses": ("masked:text",)}


def test_the_mask_sees_each_text_once_however_often_it_is_sent(server: Loopback) -> None:
    seen: list[str] = []

    def mask(key: str, text: str) -> str:
        seen.append(key)
        return text + "!"

    MADE.append(HttpSender(Target(server.url + "/v1/traces"), Privacy(mask, ())))
    server.answer(
        Reply(b"", status=413), Reply(b"", status=503, headers={"retry-after": "0"}), Reply(b"")
    )
    assert MADE[-1].send(spans(2, text="a"))
    assert seen == ["text", "text"]
    assert len(server.requests) == 4
    assert all(b"a!!" not in body for _, _, body in server.requests)


def test_a_span_that_cannot_be_encoded_takes_no_other_with_it(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIDELITY_STRICT", raising=False)
    before = guard.counts["dropped_export"]
    made = spans(3)
    made[1].end_time = -1  # no time of OTLP's
    assert sender(server).send(made)
    assert sender(server).send([made[1]])
    assert names(server) == ["s0", "s2"]
    assert guard.counts["dropped_export"] == before + 2


def test_a_request_of_many_pieces_is_one_message(server: Loopback) -> None:
    for compression in ("none", "gzip", "deflate"):
        assert sender(server, compression=compression).send(spans(90, text="é" * 3000))
        assert names(server) == [f"s{i}" for i in range(90)], compression
        server.requests.clear()


def test_the_sending_thread_pauses_after_a_stretch_of_work() -> None:
    clock, pauses, pressed = StepClock(0), list[float](), False
    pace = Pace(lambda: pressed, lambda: clock() / 1e9, pauses.append)
    for _ in range(10):
        clock.advance(0.00005)
        pace()
    assert len(pauses) == 2, "after four times 50 µs each"
    pressed = True
    clock.advance(1)
    pace()
    assert len(pauses) == 2, "not where spans would be dropped"


@pytest.mark.parametrize(("count", "pressed"), [(1, False), (2, True), (9, True)])
def test_no_pauses_with_an_eighth_of_the_queue_full(count: int, pressed: bool) -> None:
    queue = batch(Slow(), OTEL_BSP_MAX_QUEUE_SIZE="10")
    queue._thread = threading.current_thread()  # none that takes away
    for span in spans(count):
        queue.put(span)
    assert queue._pressed() is pressed
    queue._queue.clear()
    queue.stop(0.1)


class Slow:
    """A sender that sends when it is let."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.sent: list[Any] = []
        self.closed = False

    def send(self, batch: list[Any], rest: Any = bool) -> bool:
        self.go.wait(20)
        self.sent += batch
        return not self.closed

    def hurry(self) -> None: ...

    def close(self) -> None:
        self.closed = True
        self.go.set()

    def forked(self) -> None: ...


def batch(sender: Any, **environ: str) -> BatchProcessor:
    return BatchProcessor(sender, environ)


def test_a_full_queue_never_blocks_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    out = Slow()
    queue = batch(out, OTEL_BSP_MAX_QUEUE_SIZE="10", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2")
    before = guard.counts["dropped_queue_full"]
    for span in spans(100):
        queue.put(span)
    dropped = guard.counts["dropped_queue_full"] - before
    assert 86 <= dropped <= 90, "ten wait, and up to two batches are under way"
    assert caplog.text.count("spans are dropped") == 1
    out.go.set()
    assert queue.force_flush(5000)
    assert len(out.sent) == 100 - dropped
    assert queue.stop(1)


def test_flush_waits_as_long_as_told_and_no_longer() -> None:
    out = Slow()
    queue = batch(out)
    for span in spans(3):
        queue.put(span)
    assert not queue.force_flush(50)
    out.go.set()
    assert queue.force_flush(5000)
    assert [s.name for s in out.sent] == ["s0", "s1", "s2"]
    assert queue.force_flush(0), "nothing is waiting"


def test_stop_is_bounded_and_counts_what_it_leaves() -> None:
    out = Slow()
    queue = batch(out, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1")
    for span in spans(5):
        queue.put(span)
    before = guard.counts["dropped_shutdown"]
    assert not queue.stop(0.05)
    assert out.closed
    assert guard.counts["dropped_shutdown"] >= before + 3
    queue.put(spans(1)[0])
    assert queue.stop(1)


def test_spans_are_sent_without_a_flush_once_a_batch_is_full() -> None:
    out = Slow()
    out.go.set()
    queue = batch(out, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4", OTEL_BSP_SCHEDULE_DELAY="60000")
    for span in spans(4):
        queue.put(span)
    eventually(lambda: len(out.sent) == 4)
    queue.stop(1)


def test_spans_are_sent_after_the_delay() -> None:
    out = Slow()
    out.go.set()
    queue = batch(out, OTEL_BSP_SCHEDULE_DELAY="5")
    queue.put(spans(1)[0])
    eventually(lambda: len(out.sent) == 1)
    queue.stop(1)


def test_no_thread_before_the_first_span() -> None:
    """openai-agents#2489: a thread and locks at import time."""
    before = threading.active_count()
    queue = batch(Slow())
    assert threading.active_count() == before
    queue.stop(0.1)


def test_a_sender_that_raises_does_not_end_the_thread() -> None:
    class Broken(Slow):
        def send(self, batch: list[Any], rest: Any = bool) -> bool:
            if not self.sent:
                self.sent.append(None)
                raise RuntimeError("broken")
            return super().send(batch)

    out = Broken()
    out.go.set()
    queue = batch(out, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1")
    one, two = spans(2)
    queue.put(one)
    assert not queue.force_flush(5000)
    queue.put(two)
    assert queue.force_flush(5000)
    assert out.sent == [None, two]
    queue.stop(1)


def test_wrong_settings_fall_back(caplog: pytest.LogCaptureFixture) -> None:
    queue = batch(Slow(), OTEL_BSP_MAX_QUEUE_SIZE="many", OTEL_BSP_SCHEDULE_DELAY="-1")
    assert queue._limit == 2048
    assert queue._delay == 5.0
    assert "OTEL_BSP_MAX_QUEUE_SIZE" in caplog.text


def test_targets() -> None:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://base:4318/",
        "OTEL_EXPORTER_OTLP_HEADERS": "a=1,b=%20two,broken",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": "/ca.pem",
    }
    found = target_of("", {"B": "mine"}, env)
    assert found == Target(
        "https://base:4318/v1/traces",
        headers=(("a", "1"), ("b", "mine")),
        timeout=3.0,
        compression="gzip",
        certificate="/ca.pem",
    )
    assert target_of("", {}, {}).url == "http://localhost:4318/v1/traces"
    both = {**env, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x/own"}
    assert target_of("", {}, both).url == "http://x/own"
    for wrong in ("nonsense", "http://", "ftp://x", "http://x:port"):
        with pytest.raises(ConfigError, match="is no address"):
            target_of(wrong, {}, {})
    with pytest.raises(ConfigError, match="COMPRESSION"):
        target_of("", {}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "brotli"})


def test_endpoints_as_people_write_them(caplog: pytest.LogCaptureFixture) -> None:
    for text in ("http://h:4318", "http://h:4318/", "h:4318", "http://h:4318/v1/traces"):
        assert traces_url(text) == "http://h:4318/v1/traces"
    assert traces_url("https://h/otlp") == "https://h/otlp/v1/traces"
    assert "4317" not in caplog.text
    traces_url("http://h:4317")
    assert "4317 is the port of OTLP over gRPC" in caplog.text


def test_the_choice_of_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    none = Privacy(None, ())
    assert isinstance(sender_of(Options(), None, none, {}), HttpSender)
    assert sender_of(Options(), None, none, {"OTEL_TRACES_EXPORTER": "none"}) is None
    named = Options(endpoint="http://127.0.0.1:1")
    assert isinstance(sender_of(named, None, none, {"OTEL_TRACES_EXPORTER": "none"}), HttpSender)
    assert sender_of(Options(endpoint="http://"), None, none, {}) is None
    grpc = sender_of(Options(), None, none, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert isinstance(grpc, ExporterSender)
    grpc.close()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    proxied = sender_of(Options(endpoint="http://far.example"), None, none, {})
    assert isinstance(proxied, ExporterSender), "ours does not speak to proxies"
    proxied.close()
