"""The load: export requests of an agent's traces, built once, made fresh by patching trace ids.

One request holds 64 traces of 8 spans: a support assistant that retrieves, plans, calls two tools
and answers. Every span has 25 attributes and the spans are 2.44 KB on average, the size measured on
real GenAI traces. One trace in eight shows something worth finding: a failed tool (recovered or
not), a cut answer, stale or missing documents, a slow turn.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

__all__ = ["SPANS_A_TRACE", "TRACES_A_REQUEST", "Request", "requests", "trace_bodies"]

TRACES_A_REQUEST = 64
SPANS_A_TRACE = 8
ATTRIBUTES = 25
SPAN_BYTES = 2440
VOCABULARY = (
    "order parcel refund warehouse customer address invoice delivery courier label return policy "
    "window days receipt account payment card balance credit item size colour stock supplier label "
    "number status shipped pending delayed signed neighbour pickup point email phone confirm check "
    "update change cancel replace broken missing wrong late early please thanks today tomorrow"
)
WORDS = VOCABULARY.split()
FAULTS = ("", "", "", "", "", "", "", "unrecovered", "", "", "", "", "", "", "", "recovered") + (
    ("",) * 7 + ("cut",) + ("",) * 7 + ("stale",) + ("",) * 7 + ("empty",) + ("",) * 7 + ("slow",)
)


def _text(rng: random.Random, size: int) -> str:
    words: list[str] = []
    length = 0
    while length < size:
        words.append(rng.choice(WORDS))
        length += len(words[-1]) + 1
    return " ".join(words)[:size]


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    return AnyValue(string_value=value)


def _messages(*turns: tuple[str, str]) -> str:
    return json.dumps(
        [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in turns]
    )


class _Trace:
    """Builds the eight spans of one trace."""

    def __init__(self, rng: random.Random, number: int, now_ns: int) -> None:
        self.rng = rng
        self.fault = FAULTS[number % len(FAULTS)]
        self.trace_id = rng.randbytes(16)
        self.conversation = f"conv-{rng.randrange(1 << 32):08x}"
        self.user = f"user-{rng.randrange(20_000)}"
        self.question = f"Where is my {rng.choice(WORDS)}? {_text(rng, 120)}"
        self.answer = f"Your {rng.choice(WORDS)} is on its way. {_text(rng, 240)}"
        self.order = f"A-{rng.randrange(100_000, 999_999)}"
        self.seconds = 45.0 if self.fault == "slow" else 4.0 + rng.random() * 2
        self.end_ns = now_ns - rng.randrange(10**9)
        self.start_ns = self.end_ns - int(self.seconds * 1e9)
        self.spans: list[Span] = []

    def build(self) -> list[Span]:
        root = self._span("support.answer", None, 0, 1, self._root(), failed=self._broken)
        agent = self._span("invoke_agent support", root, 0.01, 0.99, self._agent())
        self._span("retrieval kb", agent, 0.02, 0.1, self._retrieval())
        self._span("chat gpt-4o", agent, 0.1, 0.3, self._chat(0))
        tool_failed = self.fault in {"unrecovered", "recovered"}
        self._span(
            "execute_tool lookup", agent, 0.3, 0.4, self._tool(0, tool_failed), failed=tool_failed
        )
        self._span("chat gpt-4o", agent, 0.4, 0.6, self._chat(1))
        self._span(
            "execute_tool lookup", agent, 0.6, 0.7, self._tool(1, self._broken), failed=self._broken
        )
        self._span("chat gpt-4o", agent, 0.7, 0.98, self._chat(2))
        # Exporters send spans as they end: children before their parents.
        self.spans.sort(key=lambda span: span.end_time_unix_nano)
        return self.spans

    @property
    def _broken(self) -> bool:
        return self.fault == "unrecovered"

    def _span(
        self,
        name: str,
        parent: Span | None,
        begin: float,
        end: float,
        attributes: dict[str, Any],
        *,
        failed: bool = False,
    ) -> Span:
        length = self.end_ns - self.start_ns
        span = Span(
            trace_id=self.trace_id,
            span_id=self.rng.randbytes(8),
            parent_span_id=parent.span_id if parent is not None else b"",
            name=name,
            kind=Span.SPAN_KIND_CLIENT if name.startswith("chat") else Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=self.start_ns + int(begin * length),
            end_time_unix_nano=self.start_ns + int(end * length),
            flags=0x101,
        )
        if failed:
            span.status.code = Status.STATUS_CODE_ERROR
            span.status.message = "upstream timed out"
            attributes["error.type"] = "TimeoutError"
        attributes["gen_ai.conversation.id"] = self.conversation
        for key, value in self._surroundings().items():
            if len(attributes) == ATTRIBUTES:
                break
            attributes.setdefault(key, value)
        span.attributes.extend(KeyValue(key=k, value=_value(v)) for k, v in attributes.items())
        self.spans.append(span)
        return span

    def _surroundings(self) -> dict[str, Any]:
        rng = self.rng
        return {
            "user.id": self.user,
            "session.id": self.conversation,
            "thread.id": rng.randrange(1 << 16),
            "thread.name": "asyncio_0",
            "code.function.name": "support.app.answer",
            "code.file.path": "/srv/support/app.py",
            "code.line.number": rng.randrange(1, 900),
            "server.address": "api.example.com",
            "server.port": 443,
            "http.response.status_code": 200,
            "network.protocol.version": "1.1",
            "deployment.environment.name": "production",
            "app.tenant": f"tenant-{rng.randrange(40)}",
            "app.region": "eu-central-1",
            "app.flag.new_planner": rng.random() < 0.5,
            "app.queue.seconds": rng.random(),
            "app.build": "2026.11.03-4f1c9e2",
            "app.request.id": f"{rng.getrandbits(128):032x}",
            "app.locale": "de-AT",
            "app.channel": "web",
            "app.experiment": "b",
            "app.cache.hit": False,
            "app.retries": 0,
            "app.shard": rng.randrange(64),
        }

    def _root(self) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": "support.answer",
            "fidelity.release": "2026.11.03",
            "fidelity.key.ticket": f"T-{self.order}",
            "fidelity.input": json.dumps({"question": self.question, "history": self._fill(900)}),
            "fidelity.output": json.dumps({"answer": self.answer}),
            "user.id": self.user,
        }

    def _agent(self) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "support",
            "gen_ai.agent.id": "agent-7",
            "gen_ai.provider.name": "openai",
            "gen_ai.input.messages": _messages(("user", self.question + self._fill(600))),
            "gen_ai.output.messages": _messages(("assistant", self.answer)),
        }

    def _retrieval(self) -> dict[str, Any]:
        year = 2021 if self.fault == "stale" else 2026
        documents = [
            {
                "id": f"doc-{self.rng.randrange(5000)}",
                "score": round(0.9 - 0.1 * i, 3),
                "title": _text(self.rng, 30),
                "content": self._fill(270),
                "updated_at": f"{year}-10-{i + 1:02}T08:00:00Z",
            }
            for i in range(0 if self.fault == "empty" else 4)
        ]
        return {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": "kb",
            "gen_ai.retrieval.query.text": self.question,
            "gen_ai.retrieval.top_k": 4,
            "gen_ai.retrieval.documents": json.dumps(documents),
        }

    def _chat(self, turn: int) -> dict[str, Any]:
        last = turn == 2
        cut = last and self.fault == "cut"
        output: list[dict[str, Any]] = [{"type": "text", "content": self.answer}]
        if not last:
            call = {"id": f"call_{self.order}_{turn}", "name": "lookup"}
            arguments = {"order": self.order, "try": turn}
            output = [{"type": "tool_call", **call, "arguments": arguments}]
        reason = "length" if cut else "stop" if last else "tool_calls"
        message = {"role": "assistant", "parts": output, "finish_reason": reason}
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.response.id": f"chatcmpl-{self.rng.getrandbits(96):024x}",
            "gen_ai.request.temperature": 0.2,
            "gen_ai.request.max_tokens": 512,
            "gen_ai.request.top_p": 1.0,
            "gen_ai.response.finish_reasons": [reason],
            "gen_ai.usage.input_tokens": 700 + 200 * turn,
            "gen_ai.usage.output_tokens": 60,
            "gen_ai.system_instructions": json.dumps(
                [{"type": "text", "content": "You help customers with their orders. Be brief."}]
            ),
            "gen_ai.input.messages": _messages(
                ("user", self.question), ("assistant", self._fill(300)), ("user", self._fill(700))
            ),
            "gen_ai.output.messages": json.dumps([message]),
        }

    def _tool(self, turn: int, failed: bool) -> dict[str, Any]:
        result = {"order": self.order, "state": "shipped", "notes": self._fill(1000)}
        shown: Any = {"error": "timed out"} if failed else result
        return {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "lookup",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": f"call_{self.order}_{turn}",
            "gen_ai.tool.description": "Looks an order up in the warehouse.",
            "gen_ai.tool.call.arguments": json.dumps({"order": self.order, "try": turn}),
            "gen_ai.tool.call.result": json.dumps(shown),
        }

    def _fill(self, size: int) -> str:
        return _text(self.rng, size)


def _grow(traces: list[list[Span]], rng: random.Random, mean: int) -> None:
    """Lengthen a text of every span until the mean size is reached, as longer chats would be."""
    count = sum(len(spans) for spans in traces)
    size = sum(span.ByteSize() for spans in traces for span in spans)
    missing = max(0, mean - size // count)
    for spans in traces:
        for span in spans:
            for pair in span.attributes:
                if pair.key == "code.function.name":
                    pair.key, pair.value.string_value = "app.context", _text(rng, missing + 10)


def _request(traces: list[list[Span]]) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key, value in {
        "service.name": "support",
        "service.version": "2026.11.03",
        "service.instance.id": "support-5d9f7c",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "host.name": "node-3",
    }.items():
        resource.resource.attributes.append(KeyValue(key=key, value=_value(value)))
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "fidelity_otel", "0.1.0"
    scope.spans.extend(span for spans in traces for span in spans)
    return request.SerializeToString()


class Request:
    """One request's bytes, with every place where a trace id stands."""

    def __init__(self, seed: int, now_ns: int) -> None:
        rng = random.Random(seed)
        built = [_Trace(rng, number, now_ns) for number in range(TRACES_A_REQUEST)]
        traces = [trace.build() for trace in built]
        _grow(traces, rng, SPAN_BYTES)
        body = _request(traces)
        self.spans = sum(len(spans) for spans in traces)
        self._body = np.frombuffer(bytearray(body), dtype=np.uint8)
        starts: list[int] = []
        owner: list[int] = []
        for number, trace in enumerate(built):
            at = body.find(trace.trace_id)
            while at >= 0:
                starts.append(at)
                owner.append(number)
                at = body.find(trace.trace_id, at + 16)
        if len(starts) != self.spans:
            raise AssertionError("a trace id occurs where none should")
        self._places = np.asarray(starts)[:, None] + np.arange(16)
        self._owner = np.asarray(owner)

    def __len__(self) -> int:
        return len(self._body)

    def fresh(self, ids: bytes) -> bytes:
        """The request with new trace ids: 16 bytes for each of its traces."""
        table = np.frombuffer(ids, dtype=np.uint8).reshape(TRACES_A_REQUEST, 16)
        self._body[self._places] = table[self._owner]
        return self._body.tobytes()


def requests(count: int = 8, *, now_ns: int | None = None) -> list[Request]:
    """Requests of different content; seeds are fixed, so that every system gets the same load."""
    now = time.time_ns() if now_ns is None else now_ns
    return [Request(seed, now) for seed in range(count)]


def trace_bodies(spans: int, size: int, *, seed: int = 1) -> Iterator[tuple[bytes, bytes]]:
    """Endless single-trace requests of about `size` bytes: (trace id, body)."""
    rng = random.Random(seed)
    now = time.time_ns()
    number = 0
    while True:
        first = _Trace(rng, number, now)
        built = first.build()
        while len(built) < spans:
            more = _Trace(rng, number, now)
            for span in more.build():
                span.trace_id, span.parent_span_id = first.trace_id, built[-1].span_id
                built.append(span)
        built = built[:spans]
        _grow([built], rng, size // spans)
        yield first.trace_id, _request([built])
        number += 1
