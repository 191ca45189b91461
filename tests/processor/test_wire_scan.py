"""The native scanner and Python give the same, for whatever bytes; and each can be chosen."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp import calm, request, requests, span

from fidelity_otel.errors import WireError
from fidelity_otel.processor import native as native_parts
from fidelity_otel.processor import wire, wire_scan
from fidelity_otel.processor.rawspan import RawSpan
from fidelity_otel.processor.read_files import requests_in
from fidelity_otel.processor.wire_records import records_in
from fidelity_otel.processor.wire_schema import field, varint

FIXTURES = Path(__file__).parent / "dialects" / "fixtures"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = native_parts.in_use()
    yield
    native_parts.use(before == "native")


def bodies_of(path: Path) -> list[bytes]:
    def fail(place: str, why: str) -> None:
        raise AssertionError(f"{place}: {why}")

    return [body for _, body in requests_in(path.name, path.read_bytes(), fail)]


def outcome(step: Callable[[bytes], Any], body: bytes) -> str:
    """What a step gives or says, with types and the order of keys, and NaN equal to itself."""
    try:
        return repr(step(body))
    except WireError as error:
        return f"WireError: {error}"


def limited(limit: int) -> Callable[[bytes], Any]:
    return lambda body: wire.split(body, limit=limit)


def recorded(limit: int) -> Callable[[bytes], Any]:
    """The journal's records as they will lie on the disk, however many pieces they come in."""

    def step(body: bytes) -> Any:
        found = records_in(body, limit=limit, time_ns=1_764_000_000 * 10**9 + 7)
        return found._replace(pieces=[b"".join(found.pieces)])

    return step


def assert_same(body: bytes) -> bool:
    """Both ways agree on a body; whether the native scanner read it or declined."""
    for step in (wire.split, limited(300), recorded(1 << 30), recorded(300), wire.decode):
        native_parts.use(False)
        python = outcome(step, body)
        native_parts.use(True)
        assert outcome(step, body) == python
        assert outcome(step, body) == python  # the second time from its tables of what it has seen
    return None not in (
        wire_scan.decode(body),
        wire_scan.split(body, 1 << 30),
        wire_scan.records(body, 1 << 30, 0),
    )


native = pytest.mark.skipif(
    not native_parts.available(),
    reason="the native scanner was not built: no C compiler at install",
)


@native
@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_both_give_the_same_on_recorded_traces(path: Path) -> None:
    bodies = list(bodies_of(path))
    assert bodies
    # Exporters' own bytes are what it is for: none of them may take the slow way.
    assert all(assert_same(body) for body in bodies)


@native
@calm
@given(requests())
def test_both_give_the_same_on_any_request(made: ExportTraceServiceRequest) -> None:
    assert assert_same(made.SerializeToString())


@native
@calm
@given(st.binary(max_size=80))
def test_both_give_the_same_on_any_bytes(body: bytes) -> None:
    assert_same(body)


_BAD_IDS = [span(0, 1), span(1, 0), {**span(1, 2), "trace_id": b"short"}]
_ID = field(1, b"t" * 16) + field(2, b"s" * 8)


def around(inner: bytes) -> bytes:
    return field(1, field(2, field(2, inner)))


def pair(value: bytes) -> bytes:
    return field(9, field(1, b"key") + field(2, value))


def deep(depth: int) -> bytes:
    value = field(1, b"end")
    for _ in range(depth):
        value = field(5, field(1, value))
    return pair(value)


ODD = {
    "nothing": b"",
    "bad ids": request(*_BAD_IDS, span(1, 3)),
    "only bad ids": request(*_BAD_IDS),
    "a root whose parent is eight zeros": around(_ID + field(4, bytes(8)) + b"\x41" + bytes(7) + b"\1"),
    "an end of zero": around(_ID + b"\x41" + bytes(8)),
    "a field given twice": around(_ID + field(5, b"one") + field(5, b"two") + _ID),
    "a status given twice": around(_ID + field(15, b"\x18\2") + field(15, field(2, b"told"))),
    "a resource given twice": field(1, field(1, field(1, pair(b"")[2:])) * 2 + field(2, field(2, _ID))),
    "a scope given twice": field(1, field(2, field(1, field(1, b"a")) * 2 + field(2, _ID))),
    "a scope behind its spans": field(1, field(2, field(2, _ID) + field(1, field(1, b"late")))),
    "an empty scope and address": field(1, field(2, field(1, b"") + field(3, b"") + field(2, _ID))),
    "addresses of schemas": field(1, field(2, field(2, _ID) + field(3, b"s")) + field(3, b"r")),
    "bad text in a schema's address": field(1, field(2, field(2, _ID)) + field(3, b"\xff")),
    "bad text in an address not looked at": field(1, field(2, field(2, _ID) + field(3, b"\xff"))),
    "unknown fields": around(_ID + field(12 + 5, b"new")) + field(15, b"newer"),
    "a group": around(_ID + b"\x9b\x01\x9c\x01"),
    "field number zero": around(_ID + b"\x02\x00"),
    "a known field of another kind": around(_ID + b"\x28\x05"),
    "a kind of ten bytes": around(_ID + b"\x30" + varint(2**64 - 1)),
    "a status below zero": around(_ID + field(15, b"\x18" + varint(2**64 - 3))),
    "a number of eleven bytes": around(_ID + b"\x30" + b"\xff" * 10 + b"\1"),
    "a number that does not fit": around(_ID + b"\x30" + b"\xff" * 9 + b"\x7f"),
    "a tag that is longer than it need be": around(_ID + b"\xaa\x00\x01x"),
    "a length that is longer than it need be": around(_ID + b"\x2a\x81\x00x"),
    "a value before its key": around(_ID + field(9, field(2, field(1, b"v")) + field(1, b"k"))),
    "two values": around(_ID + pair(field(1, b"v") + b"\x18\1")),
    "a value of no kind": around(_ID + pair(b"")),
    "no value": around(_ID + field(9, field(1, b"k"))),
    "no key": around(_ID + field(9, field(2, b"\x10\1"))),
    "an unknown value": around(_ID + pair(b"\x40\1")),
    "a pair of two keys": around(_ID + field(9, field(1, b"a") + field(1, b"b"))),
    "the same key twice": around(_ID + pair(b"\x18\1") + field(9, field(1, b"b")) + pair(b"\x18\2")),
    "the completion marker": request(span(1, 2, **{"fidelity.complete": True})),
    "the marker, but false": request(span(1, 2, **{"fidelity.complete": False})),
    "the marker, but a text": request(span(1, 2, **{"fidelity.complete": "true"})),
    "the marker below another key": request(span(1, 2, a={"fidelity.complete": True})),
    "a carrier of outcomes": request(span(1, 2, name="fidelity.outcome"), span(2, 3)),
    "a long key": request(span(1, 2, **{"k" * 500: "v", "ü" * 40: 1})),
    "lists and maps are each their own": request(span(1, 2, a=[1], b={"c": [1]}), span(1, 3, a=[1])),
    "the largest request": request(*[span(i % 9 + 1, i + 1, text="x" * i) for i in range(300)]),
    **{f"depth {n}": around(_ID + deep(n)) for n in (1, 15, 16, 17, 31, 32, 33, 48, 98, 99, 100, 5000)},
    **{
        f"text {bad!r}": around(_ID + field(5, bad) + pair(field(1, bad)))
        for bad in (
            *(b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xc2", b"\xe0\x80\x80", b"\xe0\xa0", b"\xed\xa0\x80"),
            *(b"\xed\x9f\xbf", b"\xef\xbf\xbf", b"\xf0\x80\x80\x80", b"\xf0\x9f\x98\x80", b"\xf0\x9f"),
            *(b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"12345678\xff", b"\x00"),
        )
    },
}  # fmt: skip


@native
@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_both_give_the_same_on_what_is_odd(body: bytes) -> None:
    assert_same(body)


@native
def test_both_give_the_same_on_damaged_requests() -> None:
    source = random.Random(20261125)
    good = [body for path in FIXTURES.glob("*.jsonl") for body in bodies_of(path)]
    good += list(ODD.values())
    read = 0
    for _ in range(4000):
        body = source.choice(good)[:3000]
        for _ in range(source.randint(1, 3)):
            at, how = source.randint(0, len(body)), source.randint(0, 4)
            if how == 0:
                body = body[:at] + source.randbytes(source.randint(1, 4)) + body[at:]
            elif how == 1:
                body = body[:at] + body[at + source.randint(1, 9) :]
            elif how == 2:
                body = body[:at] + varint(source.choice((2**31, 2**32, 2**64 - 1))) + body[at:]
            elif at < len(body):
                body = body[:at] + bytes((body[at] ^ 1 << source.randint(0, 7),)) + body[at + 1 :]
        read += assert_same(body)
    assert read > 100  # some damage is to what nobody looks at


@native
def test_a_span_has_the_fields_that_the_native_scanner_fills_in_order() -> None:
    assert RawSpan.__struct_fields__ == (
        *("trace_id", "span_id", "name", "parent_id", "kind", "start_ns", "end_ns"),
        *("status_code", "status_message", "attributes", "events", "links", "resource"),
        *("scope_name", "scope_version", "trace_state", "flags"),
    )


@native
def test_what_one_reader_does_to_a_list_is_not_seen_by_the_next() -> None:
    body = request(span(1, 2, tags=["a"]))
    native_parts.use(True)
    wire.decode(body)[0].attributes["tags"].append("b")
    assert wire.decode(body)[0].attributes["tags"] == ["a"]


def test_python_alone_can_be_chosen() -> None:
    native_parts.use(False)
    assert native_parts.in_use() == "python"
    assert wire_scan.split(b"", 1) is None
    assert wire_scan.records(b"", 1, 0) is None
    assert wire_scan.decode(b"") is None
    native_parts.use(True)
    assert native_parts.in_use() == ("native" if native_parts.available() else "python")


@pytest.mark.parametrize(("said", "used"), [("off", "python"), ("", None), ("rubbish", None)])
def test_the_environment_chooses_for_every_command(said: str, used: str | None) -> None:
    code = "from fidelity_otel.processor import native; print(native.in_use())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],  # the installed package, not the folder we are in
        env={"FIDELITY_RECEIVE_NATIVE": said},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (used or ("native" if native_parts.available() else "python"))
