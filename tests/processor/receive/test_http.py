"""OTLP/HTTP rule by rule (OTLP 1.11: "OTLP/HTTP", "Partial Success", "Failures", "JSON")."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import zstandard
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from otlp import request, span
from receiving import Receiving, ask

from fidelity_otel.processor.wire import to_json

BODY = request(span(1, 1, parent=None), span(1, 2))
BOTH = [("0" * 31 + "1", "0" * 15 + "1"), ("0" * 31 + "1", "0" * 15 + "2")]
JSON = {"content-type": "application/json"}


@pytest_asyncio.fixture
async def there(tmp_path: Path) -> AsyncIterator[Receiving]:
    receiving = Receiving(tmp_path / "journal")
    yield receiving
    await receiving.close()


async def test_success_is_200_with_an_empty_response_of_the_same_type(there: Receiving) -> None:
    code, headers, body = await ask(there.http, BODY)
    assert (code, headers["content-type"], body) == (200, "application/x-protobuf", b"")
    assert not ExportTraceServiceResponse.FromString(body).HasField("partial_success")
    assert there.spans() == BOTH
    code, headers, body = await ask(there.http, to_json(BODY), headers=JSON)
    assert (code, headers["content-type"], body) == (200, "application/json", b"{}")
    assert there.spans() == BOTH * 2


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip", lambda b: gzip.compress(b[:9]) + gzip.compress(b[9:])),
        ("zstd", zstandard.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("", bytes),
    ],
)
async def test_encodings(there: Receiving, encoding: str, encode: object) -> None:
    assert callable(encode)
    code, _, _ = await ask(there.http, encode(BODY), headers={"content-encoding": encoding})
    assert code == 200
    assert there.spans() == BOTH


async def test_a_body_in_pieces(there: Receiving) -> None:
    code, _, _ = await ask(there.http, [BODY[:7], b"", BODY[7:]])
    assert (code, there.spans()) == (200, BOTH)


@pytest.mark.parametrize("body", [b"", request()])
async def test_an_empty_request_is_a_success(there: Receiving, body: bytes) -> None:
    assert (await ask(there.http, body))[0] == 200
    assert (await ask(there.http, b"{}", headers=JSON))[0] == 200
    assert there.spans() == []


async def test_partial_success_names_what_was_refused(there: Receiving) -> None:
    mixed = request(span(1, 1), span(0, 2), span(1, 3))
    code, _, body = await ask(there.http, mixed)
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    assert (code, partial.rejected_spans) == (200, 1)
    assert "trace id" in partial.error_message
    code, _, body = await ask(there.http, to_json(mixed), headers=JSON)
    told = json.loads(body)["partialSuccess"]
    assert (code, told["rejectedSpans"]) == (200, "1")
    assert there.metered["http", "partial"] == 2
    assert len(there.spans()) == 4


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"\xff\xff", {}, "not an OTLP trace request"),
        (b"{", JSON, "not JSON"),
        (b'{"resourceSpans":[{"scopeSpans":7}]}', JSON, r"$.resourceSpans[0].scopeSpans"),
        (BODY, {"content-encoding": "gzip"}, "compressed body is damaged"),
        (gzip.compress(BODY, mtime=0)[:-5], {"content-encoding": "gzip"}, "cut off"),
        (zstandard.compress(BODY)[:-3], {"content-encoding": "zstd"}, "cut off"),
        (b"junk", {"content-encoding": "zstd"}, "damaged"),
    ],
)
async def test_bad_data_is_400_with_a_status(
    there: Receiving, body: bytes, headers: dict[str, str], says: str
) -> None:
    code, answered, told = await ask(there.http, body, headers=headers)
    assert code == 400
    if headers == JSON:
        assert answered["content-type"] == "application/json"
        status = json.loads(told)
        assert (status["code"], says in status["message"]) == (3, True)
    else:
        made = Status.FromString(told)
        assert answered["content-type"] == "application/x-protobuf"
        assert (made.code, says in made.message) == (3, True), made.message
    assert there.spans() == []
    assert there.admission.in_flight == 0


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        ({"method": "GET"}, 405, "only POST"),
        ({"path": "/v1/metrics"}, 404, "/v1/traces or /v1/logs"),
        ({"path": "/"}, 404, "nothing is served at /"),
        ({"headers": {"content-type": "text/plain"}}, 415, "'text/plain' is neither"),
        ({"headers": {"content-encoding": "br"}}, 415, "'br' is none of gzip, deflate, zstd"),
    ],
)
async def test_other_requests_are_told_what_is_wanted(
    there: Receiving, asked: dict[str, object], code: int, says: str
) -> None:
    answered, headers, body = await ask(there.http, BODY, **asked)  # type: ignore[arg-type]
    assert answered == code
    assert says in Status.FromString(body).message
    if code == 405:
        assert headers["allow"] == "POST"


async def test_content_type_parameters_and_case_do_not_matter(there: Receiving) -> None:
    kind = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await ask(there.http, to_json(BODY), headers=kind))[0] == 200


async def test_the_size_limit_holds_before_during_and_after_decompression(tmp_path: Path) -> None:
    there = Receiving(tmp_path / "j", max_request_bytes=1_000)
    big = request(span(1, 1, text="x" * 2_000))
    for body, headers in (
        (b"", {"content-length": "1001"}),  # said to be too large: not even read
        (big, {}),
        ([big[:900], big[900:]], {}),
        (gzip.compress(big, mtime=0), {"content-encoding": "gzip"}),
        (zstandard.compress(big), {"content-encoding": "zstd"}),
        (zlib.compress(bytes(100 << 20)), {"content-encoding": "deflate"}),
        (gzip.compress(bytes(100 << 20), mtime=0), {"content-encoding": "gzip"}),
    ):
        code, _, told = await ask(there.http, body, headers=headers)
        assert code == 413
        assert "receive.max_request_bytes" in Status.FromString(told).message
    assert there.admission.in_flight == 0
    assert (await ask(there.http, BODY))[0] == 200
    await there.close()


async def test_overload_is_503_with_retry_after_before_anything_is_parsed(tmp_path: Path) -> None:
    there = Receiving(tmp_path / "j", max_in_flight=1_000)
    there.admission.enter(900)
    junk = b"\xff" * 200  # would be 400 if it were looked at
    code, headers, told = await ask(there.http, junk, headers={"content-length": "200"})
    assert (code, headers["retry-after"]) == (503, "1")
    status = Status.FromString(told)
    assert status.code == 14
    assert status.details[0].type_url.endswith("google.rpc.RetryInfo")
    assert there.metered["http", "refused"] == 1
    there.admission.leave(900)
    assert (await ask(there.http, BODY))[0] == 200
    await there.close()


async def test_a_full_journal_is_503_with_retry_after(tmp_path: Path) -> None:
    there = Receiving(tmp_path / "j", max_journal=50)
    code, headers, told = await ask(there.http, BODY)
    assert (code, headers["retry-after"]) == (503, "5")
    assert "journal.max_bytes" in Status.FromString(told).message
    there.journal.max_bytes = 1 << 20
    assert (await ask(there.http, BODY))[0] == 200
    assert there.spans() == BOTH
    await there.close()


async def test_a_slow_body_is_given_up_and_its_room_freed(tmp_path: Path) -> None:
    there = Receiving(tmp_path / "j", body_seconds=0.01)
    scope_body = [BODY[:5]]

    async def never() -> dict[str, object]:
        import asyncio

        if scope_body:
            return {"type": "http.request", "body": scope_body.pop(), "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/x-protobuf"), (b"content-length", b"500")]
    scope = {"type": "http", "method": "POST", "path": "/v1/traces", "headers": headers}
    await there.http(scope, never, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 408
    assert there.admission.in_flight == 0
    await there.close()


async def test_a_sender_that_goes_away_leaves_nothing_behind(there: Receiving) -> None:
    code, _, _ = await ask(there.http, [BODY, b""], ending="http.disconnect")
    assert (code, there.spans(), there.admission.in_flight) == (400, [], 0)


async def test_a_token_is_asked_for(tmp_path: Path) -> None:
    there = Receiving(tmp_path / "j", token="s3cret")
    for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}):
        code, headers, _ = await ask(there.http, BODY, headers=given)
        assert (code, headers["www-authenticate"]) == (401, "Bearer")
    good = {"authorization": "Bearer s3cret"}
    assert (await ask(there.http, BODY, headers=good))[0] == 200
    await there.close()


async def test_outcome_events_come_as_logs(there: Receiving) -> None:
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    event = records.add(event_name="gen_ai.evaluation.result", trace_id=b"t" * 16, time_unix_nano=5)
    event.attributes.add(key="gen_ai.evaluation.name").value.string_value = "solved"
    event.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 1.0
    records.add().body.string_value = "just a line"
    body = logs.SerializeToString()
    code, _, told = await ask(there.http, body, path="/v1/logs")
    partial = ExportLogsServiceResponse.FromString(told).partial_success
    assert (code, partial.rejected_log_records) == (200, 0)
    assert "1 log records are no gen_ai.evaluation.result" in partial.error_message
    (first,) = there.spans()
    await ask(there.http, body, path="/v1/logs")
    assert there.spans() == [first, first]  # a retry has the same ids, so it is counted once
    assert (await ask(there.http, b"\xff", path="/v1/logs"))[0] == 400
