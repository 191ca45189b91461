"""Hostile request bodies without end, by a seed: grown from the schema, and good ones damaged.

Each says which answers are right for it. Where the generator knows what it made (a whole request, a
bomb, a stream that was cut off) there is one; where damage may or may not hit something that
matters, it is success or refusal, and never anything else.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import zstandard
from edge_traces import edge_trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fidelity_otel.processor import native
from fidelity_otel.processor.wire_json import message_to_json

LIMIT = 64 << 10
"""The request limit that bombs are made to exceed."""

OK, BAD, LARGE = frozenset({200}), frozenset({400}), frozenset({413})
EITHER = OK | BAD
ANY = EITHER | LARGE
_TEXTS = ("", "a", "shop", "ünïcode 😀", "\x00", "x" * 300, "gen_ai.operation.name", "chat")
_KEYS = (
    "gen_ai.operation.name",
    "gen_ai.tool.name",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.usage.input_tokens",
    "input.value",
    "llm.input_messages.0.message.content",
    "fidelity.complete",
    "error.type",
    "k",
    "",
)
_SAID = (
    '[{"role":"user","parts":[{"type":"text","content":"hi"}]}]',
    '[{"role":"user"' * 40,
    "[" * 500,
    '{"a":' * 200,
    "execute_tool",
    "chat",
    "\\ud800",
)


class Body(NamedTuple):
    """One request: how it was made, what is sent, and the answers that are right."""

    kind: str
    content: bytes
    path: str
    headers: dict[str, str]
    right: frozenset[int]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def _deep_value(depth: int) -> bytes:
    """An AnyValue of lists in lists."""
    value = field(1, b"end")
    for _ in range(depth):
        value = field(5, field(1, value))
    return value


def _around(span: bytes) -> bytes:
    return field(1, field(2, field(2, span)))


IDS = field(1, b"t" * 16) + field(2, b"s" * 8)
_DEEP = [
    _around(IDS + field(9, field(1, b"deep") + field(2, _deep_value(depth))))
    for depth in (1, 10, 24, 25, 30, 47, 48, 49, 90, 99, 100, 101, 500, 5000)
]
_LIMITS = (5, 10**18, 10**18, 10**6)  # of repeated calls, staleness and duration in ns, tokens
_KINDS = (
    *("whole", "damaged", "soup", "counts", "deep", "utf8", "json", "json_damaged", "odd"),
    "agent",
)
_PATHS = {"traces": "/v1/traces", "logs": "/v1/logs"}
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
    "zstd": zstandard.ZstdCompressor(level=1).compress,
}


def _plain_agents() -> list[bytes]:
    """Traces of which the sift says that nothing can be found in them, or would if it knew more."""
    all_ = (edge_trace(number, share=0.003) for number in range(1000))
    return [otlp for otlp in all_ if native.sift is None or native.sift.sift(otlp, *_LIMITS)]


class Bodies:
    """The bodies of one seed, in order."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._good = [self._request(signal) for signal in ("traces", "logs") for _ in range(40)]
        self._agents = _plain_agents()
        self._bombs = _bombs()
        self._number = 0

    def next(self) -> Body:
        r = self.random
        self._number += 1
        if self._number % 50 == 0:
            return self.bomb()
        kind = r.choices(_KINDS, (8, 30, 16, 0.4, 1, 8, 6, 20, 4, 6))[0]
        body: Body = getattr(self, kind)()
        if kind != "odd" and r.random() < 0.25:
            return self.encoded(body)
        return body

    # --- what the schema allows ------------------------------------------------------------------

    def _request(self, signal: str) -> tuple[str, Any]:
        r = self.random
        if signal == "logs":
            logs = ExportLogsServiceRequest()
            for _ in range(r.randint(0, 3)):
                record = logs.resource_logs.add().scope_logs.add().log_records.add()
                record.event_name = r.choice(("gen_ai.evaluation.result", "other", ""))
                record.trace_id = r.randbytes(r.choice((0, 16, 16)))
                self._attributes(record.attributes)
            return signal, logs
        made = ExportTraceServiceRequest()
        for _ in range(r.randint(0, 2)):
            resource = made.resource_spans.add()
            self._attributes(resource.resource.attributes)
            scope = resource.scope_spans.add()
            scope.scope.name = r.choice(_TEXTS)
            for _ in range(r.randint(0, 4)):
                span = scope.spans.add(
                    trace_id=r.randint(1, 6).to_bytes(16, "big"),
                    span_id=r.randint(1, 9).to_bytes(8, "big"),
                    parent_span_id=r.choice((b"", bytes(8), (1).to_bytes(8, "big"))),
                    name=r.choice(_TEXTS),
                    kind=r.randint(0, 5),
                    start_time_unix_nano=r.choice((0, 1, 2**63, 2**64 - 1, r.getrandbits(60))),
                    end_time_unix_nano=r.choice((0, 1, 2**63, 2**64 - 1, r.getrandbits(60))),
                )
                self._attributes(span.attributes)
                if r.random() < 0.3:
                    event = span.events.add(name=r.choice(("exception", "gen_ai.choice", "")))
                    self._attributes(event.attributes)
                if r.random() < 0.2:
                    span.links.add(trace_id=r.randbytes(r.choice((0, 3, 16))), span_id=b"12345678")
                span.status.code = r.randint(0, 2)
        return signal, made

    def _attributes(self, target: Any) -> None:
        r = self.random
        for _ in range(r.randint(0, 4)):
            value = target.add(key=r.choice(_KEYS)).value  # the same key may come twice
            which = r.randint(0, 5)
            if which == 0:
                value.int_value = r.choice((0, 1, -(2**63), 2**63 - 1))
            elif which == 1:
                value.double_value = r.choice((0.0, float("nan"), float("inf"), 1e308))
            elif which == 2:
                value.bytes_value = r.randbytes(5)
            elif which == 3:
                value.array_value.values.add().string_value = r.choice(_TEXTS)
            else:
                value.string_value = r.choice(_SAID)

    # --- kinds -----------------------------------------------------------------------------------

    def _protobuf(self, kind: str, content: bytes, signal: str, right: frozenset[int]) -> Body:
        media = {"content-type": "application/x-protobuf"}
        return Body(kind, content, _PATHS[signal], media, right)

    def whole(self) -> Body:
        signal, made = self.random.choice(self._good)
        return self._protobuf("whole", made.SerializeToString(), signal, OK)

    def damaged(self) -> Body:
        """A good request after one to four blows."""
        signal, made = self.random.choice(self._good)
        return self._protobuf("damaged", self._hurt(made.SerializeToString()), signal, EITHER)

    def agent(self) -> Body:
        """An agent's trace in which hardly anything can be found, under an id of its own; whole, or
        with bytes changed in place, which leaves more of it to be read.
        """
        r = self.random
        content = r.choice(self._agents)
        found = content.index(b"\x0a\x10") + 2  # the first span's first field
        content = content.replace(content[found : found + 16], r.randbytes(16))
        if r.random() < 0.3:
            return self._protobuf("agent", content, "traces", OK)
        changed = bytearray(content)
        for _ in range(r.randint(1, 3)):
            changed[r.randrange(len(changed))] ^= 1 << r.randint(0, 7)
        return self._protobuf("agent_hurt", bytes(changed), "traces", EITHER)

    def _hurt(self, body: bytes) -> bytes:
        r = self.random
        for _ in range(r.randint(1, 4)):
            at = r.randint(0, len(body))
            how = r.randint(0, 6)
            if how == 0:
                body = body[:at]
            elif how == 1:
                body = body[:at] + r.randbytes(r.randint(1, 6)) + body[at:]
            elif how == 2 and at < len(body):
                body = body[:at] + bytes((body[at] ^ 1 << r.randint(0, 7),)) + body[at + 1 :]
            elif how == 3:
                body = body[:at] + body[at + r.randint(1, 9) :]
            elif how == 4:
                body = body[:at] + body[at : at + r.randint(1, 40)] * r.randint(2, 20) + body[at:]
            elif how == 5:
                body = body[:at] + varint(r.choice((2**31, 2**32, 2**63, 2**64 - 1))) + body[at:]
            else:
                other = r.choice(self._good)[1].SerializeToString()
                body = body[:at] + other[r.randint(0, len(other)) :]
        return body[: LIMIT - 1]

    def soup(self) -> Body:
        """Fields that nobody defined: any number, any wire type, groups, lengths that lie."""
        signal = self.random.choice(("traces", "logs"))
        return self._protobuf("soup", self._soup(5), signal, EITHER)

    def _soup(self, depth: int) -> bytes:
        r, out = self.random, bytearray()
        for _ in range(r.randint(0, 4)):
            number = r.choice((1, 1, 2, 2, 3, 4, 9, 15, 16, 1000, 2**29 - 1, 0))
            wire = r.choice((2, 2, 2, 0, 1, 3, 4, 5, 6))
            out += varint(number << 3 | wire)
            if wire == 0:
                out += varint(r.choice((0, 1, 2**64 - 1))) if r.random() < 0.9 else b"\xff" * 11
            elif wire == 1:
                out += r.randbytes(8)
            elif wire == 5:
                out += r.randbytes(4)
            elif wire == 2:
                inner = self._soup(depth - 1) if depth and r.random() < 0.8 else r.randbytes(6)
                size = len(inner) if r.random() < 0.9 else r.choice((0, 2**31, 2**64 - 1))
                out += varint(size) + inner
        return bytes(out)

    def counts(self) -> Body:
        """As many of the smallest things as fit, or up to so many."""
        r = self.random
        room = r.choice((1_000, 8_000, LIMIT)) - 200
        most = room // 2
        content = r.choice(
            (
                lambda: field(1, b"") * r.randint(1, most),
                lambda: field(1, field(2, b"") * (most - 8)),
                lambda: field(1, field(2, field(2, b"") * (most - 8))),
                lambda: _around(IDS + field(9, b"") * r.randint(1, most - 40)),
                lambda: _around(IDS + field(11, b"") * r.randint(1, most - 40)),
                lambda: field(1, field(2, field(2, IDS) * (room // (len(IDS) + 4)))),
                lambda: field(1, field(1, b"\x0a\x02\x0a\x00" * 2000) + field(2, b"") * 2000),
            )
        )()
        return self._protobuf("counts", content, "traces", EITHER)

    def deep(self) -> Body:
        return self._protobuf("deep", self.random.choice(_DEEP), "traces", EITHER)

    def utf8(self) -> Body:
        """Bytes that are no text, wherever text is wanted; a good span beside them."""
        r = self.random
        junk = r.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80"))
        bad = IDS + r.choice(
            (
                field(5, junk),
                field(3, junk),
                field(9, field(1, junk)),
                field(9, field(1, b"k") + field(2, field(1, junk))),
                field(11, field(2, junk)),
                field(15, field(2, junk)),
            )
        )
        good = field(1, b"T" * 16) + field(2, b"S" * 8) + field(5, b"good")
        content = field(1, field(2, field(2, bad) + field(2, good)))
        # The good one is taken: a success in part, or whole where the reader is lenient.
        return self._protobuf("utf8", content, "traces", OK)

    # --- JSON ------------------------------------------------------------------------------------

    def _json(self, kind: str, content: bytes, signal: str, right: frozenset[int]) -> Body:
        return Body(kind, content, _PATHS[signal], {"content-type": "application/json"}, right)

    def json(self) -> Body:
        signal, made = self.random.choice(self._good)
        return self._json("json", message_to_json(made), signal, OK)

    def json_damaged(self) -> Body:
        r = self.random
        signal, made = r.choice(self._good)
        which = r.randint(0, 7)
        if which == 0:
            depth = r.choice((10, 100, 1000, 8000))
            opening = r.choice(
                (b"[", b'{"a":', b'{"resourceSpans":[', b'{"arrayValue":{"values":[')
            )
            return self._json("json_deep", (opening * depth)[: LIMIT - 1], "traces", BAD)
        if which == 1:
            key = r.choice(("resourceSpans", "x"))
            double = json.dumps({key: []})[:-1] + f', "{key}": {r.choice(("[]", "{}", "1"))}}}'
            return self._json("json_twice", double.encode(), "traces", EITHER)
        if which in (2, 3, 4):
            span: dict[str, Any] = {
                "traceId": "0" * 31 + "1",
                "spanId": "0" * 15 + "1",
                "name": "n",
            }
            name = r.choice((*span, "startTimeUnixNano", "kind", "attributes", "flags", "status"))
            span[name] = r.choice(
                (None, "", "z", "0" * 5000, -1, 1e300, 10**400, True, [], {}, [[]], [{}], "\ud800")
            )
            whole = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
            return self._json("json_values", json.dumps(whole).encode(), "traces", EITHER)
        body = self._hurt(message_to_json(made))
        return self._json("json_damaged", body, signal, EITHER)

    # --- encodings -------------------------------------------------------------------------------

    def encoded(self, body: Body) -> Body:
        """A body compressed; then maybe cut off, damaged, or compressed twice."""
        r = self.random
        name = r.choice(sorted(_ENCODERS))
        content, right, kind = _ENCODERS[name](body.content), body.right, body.kind
        how = r.randint(0, 9)
        if how == 0 and len(content) > 12:
            content, right, kind = content[: r.randint(1, len(content) - 1)], BAD, "cut_off"
        elif how in (1, 2):
            content, right, kind = self._hurt(content), ANY, "damaged_stream"
        elif how == 3 and body.content:
            content, kind, right = _ENCODERS[name](content), "twice", EITHER
        elif how == 4 and name != "deflate":
            empty = _ENCODERS[name](b"")
            content, kind = empty * 20 + content + empty * 20, "many_members"
        headers = body.headers | {"content-encoding": name}
        return Body(f"{name}_{kind}", content, body.path, headers, right)

    def bomb(self) -> Body:
        r = self.random
        name, content = r.choice(self._bombs)
        media = r.choice(("application/x-protobuf", "application/json"))
        headers = {"content-type": media, "content-encoding": name}
        return Body(f"{name}_bomb", content, r.choice(tuple(_PATHS.values())), headers, LARGE)

    def odd(self) -> Body:
        """Requests that are wrong before their body is looked at."""
        r = self.random
        body = self.whole()
        path, headers, right = r.choice(
            (
                ("/", {}, {404}),
                ("/v1/metrics", {}, {404}),
                ("/v1/traces", {"content-type": "text/plain"}, {415}),
                ("/v1/traces", {"content-type": ""}, {415}),
                ("/v1/traces", {"content-encoding": "br"}, {415}),
                ("/v1/traces", {"content-length": str(LIMIT + 1)}, {413}),
                ("/v1/traces", {"content-length": "9" * 400}, {413}),
                ("/v1/traces", {"content-length": "-5"}, {200, 400}),
            )
        )
        return Body("odd", body.content, path, body.headers | headers, frozenset(right))


def _bombs() -> list[tuple[str, bytes]]:
    """Small bodies that become large ones: of zeros, of empty fields, in one frame or in many."""
    found: list[tuple[str, bytes]] = []
    for size in (LIMIT + 1, 1 << 22, 1 << 26):
        for filling in (b"\x00", b"\x0a\x00", b"[" if size < 1 << 26 else b" "):
            whole = filling * (size // len(filling) + 1)
            for name in ("gzip", "deflate", "zstd"):
                found.append((name, _ENCODERS[name](whole)))
    streamed = zstandard.ZstdCompressor(level=1).compressobj()  # without its size in the header
    found.append(("zstd", streamed.compress(bytes(1 << 24)) + streamed.flush()))
    found.append(("gzip", gzip.compress(bytes(LIMIT // 2), 1) * 50))
    return [(name, body) for name, body in found if len(body) <= LIMIT]
