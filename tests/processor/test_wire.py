"""Taking requests apart and together loses nothing, whatever is in them."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from otlp import calm, request, requests, span

from fidelity_otel.errors import WireError
from fidelity_otel.processor import wire
from fidelity_otel.processor.wire_json import logs_from_json
from fidelity_otel.processor.wire_schema import field


def contents(body: bytes | ExportTraceServiceRequest) -> Counter[tuple[bytes, bytes, bytes]]:
    """Every span with its resource and scope, as bytes, counted."""
    if isinstance(body, bytes):
        body = ExportTraceServiceRequest.FromString(body)
    found: Counter[tuple[bytes, bytes, bytes]] = Counter()
    for resource in body.resource_spans:
        for scope in resource.scope_spans:
            for each in scope.spans:
                found[
                    resource.resource.SerializeToString(deterministic=True)
                    + resource.schema_url.encode(),
                    scope.scope.SerializeToString(deterministic=True) + scope.schema_url.encode(),
                    each.SerializeToString(deterministic=True),
                ] += 1
    return found


@calm
@given(requests())
def test_split_keeps_every_span_with_its_resource_and_scope(
    made: ExportTraceServiceRequest,
) -> None:
    batch = wire.split(made.SerializeToString())
    assert batch.rejected == 0
    assert contents(b"".join(p.otlp for p in batch.parts)) == contents(made)
    assert len({p.trace_id for p in batch.parts}) == len(batch.parts)
    for part in batch.parts:
        spans = wire.decode(part.otlp)
        assert {s.trace_id for s in spans} == {part.trace_id.hex()}
        assert b"".join(bytes.fromhex(s.span_id) for s in spans) == part.span_ids
        assert part.root == any(s.parent_id is None and s.end_ns for s in spans)


@calm
@given(st.lists(requests(traces=1), max_size=4), st.randoms(use_true_random=False))
def test_join_holds_each_span_once_whatever_came_twice(
    made: list[ExportTraceServiceRequest], random: object
) -> None:
    bodies = [m.SerializeToString() for m in made]
    joined = wire.join([*bodies, *bodies[::-1]])
    seen = Counter((s.trace_id, s.span_id) for s in wire.decode(joined))
    wanted = {(s.trace_id, s.span_id) for body in bodies for s in wire.decode(body)}
    assert seen == Counter(dict.fromkeys(wanted, 1))
    assert wire.join([joined]) == joined


@calm
@given(requests())
def test_join_of_a_split_is_the_request(made: ExportTraceServiceRequest) -> None:
    parts = wire.split(made.SerializeToString()).parts
    assert contents(wire.join(p.otlp for p in parts)) == contents(made)


def test_join_prefers_the_span_that_has_ended() -> None:
    pending, ended = request(span(1, 5, end=0, state="open")), request(span(1, 5, state="done"))
    for order in ([pending, ended], [ended, pending]):
        (only,) = wire.decode(wire.join(order))
        assert only.attributes == {"state": "done"}


@calm
@given(requests())
def test_json_round_trip(made: ExportTraceServiceRequest) -> None:
    body = made.SerializeToString()
    assert ExportTraceServiceRequest.FromString(wire.from_json(wire.to_json(body))) == made


def plain(value: Any) -> Any:
    """An AnyValue as the specification says, by the published schema."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {p.key: plain(p.value) for p in value.kvlist_value.values}
    return getattr(value, kind)


def pairs(attributes: Any) -> dict[str, Any]:
    return {a.key: plain(a.value) for a in attributes}


@calm
@given(requests(), st.booleans())
def test_decode_agrees_with_the_published_schema(
    made: ExportTraceServiceRequest, again: bool
) -> None:
    body = made.SerializeToString()
    spans = iter(wire.decode(body * (1 + again)))
    for resource in list(made.resource_spans) * (1 + again):
        for scope in resource.scope_spans:
            for each in scope.spans:
                read = next(spans)
                assert read.trace_id == each.trace_id.hex()
                assert read.span_id == each.span_id.hex()
                assert read.parent_id in (None, each.parent_span_id.hex())
                assert (read.name, read.kind, read.flags) == (each.name, each.kind, each.flags)
                assert (read.start_ns, read.end_ns) == (
                    each.start_time_unix_nano,
                    each.end_time_unix_nano,
                )
                assert (read.status_code, read.status_message) == (
                    each.status.code,
                    each.status.message,
                )
                assert read.trace_state == each.trace_state
                assert read.attributes == pairs(each.attributes)
                assert read.resource == pairs(resource.resource.attributes)
                assert read.scope_name == scope.scope.name
                assert [(e.name, e.time_ns, e.attributes) for e in read.events] == [
                    (e.name, e.time_unix_nano, pairs(e.attributes)) for e in each.events
                ]
                assert [(n.trace_id, n.span_id) for n in read.links] == [
                    (n.trace_id.hex(), n.span_id.hex()) for n in each.links
                ]
    assert next(spans, None) is None


def test_values_of_one_span_are_not_those_of_the_next() -> None:
    body = request(span(1, 1, m={"k": [1]}, s="x"), span(1, 2, m={"k": [1]}, s="x"))
    first, second = wire.decode(body)
    first.attributes["m"]["k"].append(2)
    first.attributes["s"] = "y"
    assert second.attributes == {"m": {"k": [1]}, "s": "x"}
    assert wire.decode(body)[0].attributes == {"m": {"k": [1]}, "s": "x"}


@calm
@given(st.binary(max_size=40))
def test_any_bytes_as_a_key_value_pair_are_read_as_protobuf_reads_them(raw: bytes) -> None:
    body = field(1, field(1, field(1, raw)) + field(2, field(2, b"")))
    try:
        wanted: Any = KeyValue.FromString(raw)
    except DecodeError:
        with pytest.raises(WireError):
            wire.decode(body)
        return
    (read,) = wire.decode(body)
    assert read.resource == {wanted.key: plain(wanted.value)}


def test_decode_gives_plain_values() -> None:
    body = request(
        span(
            1,
            2,
            parent=None,
            name="root",
            t="x",
            i=-3,
            f=0.5,
            b=True,
            raw=b"\0",
            l=[1, "a"],
            m={"k": [None]},
        )
    )
    (root,) = wire.decode(body)
    assert root.attributes == {
        "t": "x", "i": -3, "f": 0.5, "b": True, "raw": b"\0", "l": [1, "a"], "m": {"k": [None]},
    }  # fmt: skip
    assert root.parent_id is None
    assert root.resource == {"service.name": "shop"}
    assert (root.scope_name, root.start_ns, root.end_ns) == ("test", 1_000, 2_000)


def test_unknown_fields_of_span_scope_and_resource_survive() -> None:
    unknown = b"\xfa\x3e\x03new"  # field 1007
    inner = (
        ExportTraceServiceRequest.FromString(request(span(1, 1)))
        .resource_spans[0]
        .scope_spans[0]
        .spans[0]
    )
    raw = inner.SerializeToString() + unknown
    scope = b"\x12" + bytes([len(raw)]) + raw + unknown
    resource = b"\x12" + bytes([len(scope)]) + scope + unknown
    body = b"\x0a" + bytes([len(resource)]) + resource
    (part,) = wire.split(body).parts
    assert part.otlp.count(unknown) == 3
    assert wire.join([part.otlp, part.otlp]).count(unknown) == 3


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"trace_id": b""}, "empty trace id"),
        ({"trace_id": bytes(16)}, "zero trace id"),
        ({"trace_id": b"x" * 15}, "short trace id"),
        ({"span_id": bytes(8)}, "zero span id"),
        ({"span_id": b"x" * 9}, "long span id"),
    ],
)
def test_spans_without_identity_are_refused_and_the_rest_kept(
    fields: dict[str, bytes], why: str
) -> None:
    batch = wire.split(request(span(1, 1), span(1, 2) | fields, span(2, 3)))
    assert (batch.spans, batch.rejected) == (2, 1), why
    assert "1 spans have a trace id or span id" in batch.reason


def test_a_span_that_cannot_be_decoded_costs_only_itself() -> None:
    body = request(span(1, 1, name="good"), span(1, 2, name="badbadbad"))
    batch = wire.split(body.replace(b"badbadbad", b"bad\xff\xfebad!"))
    assert (batch.spans, batch.rejected) == (1, 1)
    assert "could not be decoded" in batch.reason
    assert [s.name for s in wire.decode(batch.parts[0].otlp)] == ["good"]


def test_growth_by_a_repeated_resource_is_bounded() -> None:
    body = request(*(span(n, n) for n in range(1, 200)), service="x" * 10_000)
    with pytest.raises(WireError, match="smaller resource attributes"):
        wire.split(body, limit=1_000_000)
    assert len(wire.split(body, limit=10_000_000).parts) == 199


@pytest.mark.parametrize("broken", [b"\x0a", b"\xff\xff", b"{}", b"\x0a\x05hello", b"\x0b" * 200])
def test_bytes_that_are_not_otlp(broken: bytes) -> None:
    for read in (wire.split, wire.decode, lambda b: wire.join([b])):
        with pytest.raises(WireError, match="not an OTLP trace request"):
            read(broken)


@calm
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (wire.split, wire.decode, wire.from_json, wire.to_json):
        with contextlib.suppress(WireError):
            read(body)


@calm
@given(requests(), st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_damaged_requests_are_read_or_refused(
    made: ExportTraceServiceRequest, at: int, junk: bytes
) -> None:
    body = made.SerializeToString()
    at = min(at, len(body))
    damaged = body[:at] + junk + body[at + len(junk) :]
    try:
        batch = wire.split(damaged)
    except WireError:
        return
    for part in batch.parts:  # what was kept can be read later: nothing acked is undecodable
        assert len(wire.decode(part.otlp)) == len(part.span_ids) // 8
        wire.join([part.otlp])


def test_deep_nesting_is_refused_not_a_crash() -> None:
    value = '{"arrayValue":{"values":[' * 5_000
    body = '{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":' + value
    with pytest.raises(WireError):
        wire.from_json(body.encode())
    closed = body + '{"intValue":1}' + "]}}" * 5_000 + "}]}}]}"
    with pytest.raises(WireError):
        wire.from_json(closed.encode())
    value = b""
    for _ in range(300):
        value = field(5, field(1, value))  # AnyValue.array_value { ArrayValue.values { … } }
    body = field(1, field(1, field(1, field(2, value))))
    for read in (wire.split, wire.decode):
        with pytest.raises(WireError):
            read(body)


JSON_SPAN = {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174"}


def as_json(**fields: object) -> bytes:
    spans = [JSON_SPAN | fields]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def test_json_ids_are_hex_of_either_case() -> None:
    for change in (str, str.lower):
        changed = {k: change(v) for k, v in JSON_SPAN.items()}
        (read,) = wire.decode(wire.from_json(as_json(**changed)))
        assert (read.trace_id, read.span_id) == (
            "5b8efff798038103d269b633813fc60c",
            "eee19b7ec3c1b174",
        )


@pytest.mark.parametrize("number", ["1544712660000000000", 1544712660000000000, 1.54471266e18])
def test_json_64_bit_integers_are_strings_or_numbers(number: object) -> None:
    (read,) = wire.decode(wire.from_json(as_json(startTimeUnixNano=number)))
    assert read.start_ns == 1544712660000000000


def test_json_unknown_keys_and_snake_case_are_ignored() -> None:
    (read,) = wire.decode(
        wire.from_json(as_json(name="n", future={"a": [1]}, start_time_unix_nano=5))
    )
    assert (read.name, read.start_ns) == ("n", 0)


def test_json_null_is_absence() -> None:
    (read,) = wire.decode(wire.from_json(as_json(name=None, attributes=None)))
    assert (read.name, read.attributes) == ("", {})


def test_json_bytes_are_base64() -> None:
    encoded = base64.b64encode(b"\xff\xfe\x00").decode()
    body = as_json(attributes=[{"key": "k", "value": {"bytesValue": encoded}}])
    (read,) = wire.decode(wire.from_json(body))
    assert read.attributes == {"k": b"\xff\xfe\x00"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "SPAN_KIND_SERVER"}, r"\.kind: an enum's integer is wanted"),
        ({"traceId": "not hex!"}, r"\.traceId: not hex"),
        ({"traceId": 5}, r"\.traceId: a string is wanted, found the number 5"),
        ({"name": 5}, r"\.name: the number 5 is not a value of name"),
        ({"attributes": {}}, r"\.attributes: an array is wanted, found an object"),
        ({"status": []}, r"\.status: an object is wanted, found an array"),
        ({"startTimeUnixNano": "x"}, r"\.startTimeUnixNano: an integer is wanted"),
        ({"startTimeUnixNano": -1}, "not an OTLP request"),
        ({"startTimeUnixNano": 2**64}, "not an OTLP request"),
        ({"startTimeUnixNano": 1.5}, "an integer is wanted"),
        ({"events": [{"attributes": [{"key": "k", "value": {"boolValue": 1}}]}]},
         r"events\[0\]\.attributes\[0\]\.value\.boolValue"),
        ({"name": "\ud800"}, "not"),
    ],
)  # fmt: skip
def test_json_that_breaks_the_rules_is_refused_with_its_place(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(WireError, match=message):
        wire.from_json(as_json(**fields))


def test_logs_json() -> None:
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"%s","body":{"stringValue":"x"},"severityNumber":9}]}]}]}'
    made = ExportLogsServiceRequest.FromString(logs_from_json(body % (b"0a" * 16)))
    (record,) = made.resource_logs[0].scope_logs[0].log_records
    assert (record.trace_id, record.body.string_value) == (b"\x0a" * 16, "x")
