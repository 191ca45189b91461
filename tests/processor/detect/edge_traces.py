"""Random traces at the edges of what the detectors find: most parts plain, here and there one not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from otlp import add_attributes

NOW = 1_792_800_000 * 10**9  # in October 2026
_SECOND = 10**9
_PLAIN = (
    "Your parcel is on its way.",
    "The courier brings it before the evening.",
    "Please find the label attached.",
    "Delivery takes a day.",
    "ordinary words about order parcel refund courier",
    "Thanks",
    "yes",
    "",
    "   ",
    "\n",
    "café crème",
    "a long text " * 30,
    'tab\tand "quote" here',
    "back\\slash",
    "It costs 112 euros, as A-1234 says.",
    "Order 12345 has 3 parts.",
    "Where is my parcel? refund label courier window",
    "Where is my parcel refund label courier window now",
)
_TELLING = (
    "I'm sorry, but I can't help with that.",
    "I am unable to assist with this",
    "I can’t help with that",
    "I cannot assist",
    "Let me check that for you.",
    "One moment please.",
    "You hit the usage limit reached",
    "budget exceeded",
    "I already told you",
    "that's wrong",
    "not what I asked",
    "Order 12345 costs $99.50, 15 % off",
    "It is 345 or 1,112 or 112.5, or 1234 parts",
    "see https://x.y/z or 2026-11-25 at 12:30 in A-1234",
    "“a quotation of twelve”",
    "me@x.org",
    "it has been cancelled successfully",
    "It is still active and approved",
    "It is in stock and was delivered",
    "Kelvin \u212a sign, \u0131 without a dot, long \u017f",
    "\u0663\u0664\u0665",
    "zxqv blorp gnarf wibble frobnicate quux",
)
_DOCUMENTS = (
    "parcel refund label courier window return order 12345 A-1234",
    "blorp gnarf wibble frobnicate",
    "",
    "déjà vu parcel",
)
_RESULTS = (
    '{"order":"A-1234","state":"shipped"}',
    '{"status":200,"items":[1]}',
    '{"ok":true,"x":1}',
    '[{"a":1},{"a":2}]',
    '["a","b"]',
    "plain text result",
    '{"message":"fine","detail":"x"}',
    '{"a1":1,"b":2}',
    '{"amounts": [112, 345], "order": "A-1234", "n": 12345}',
    '{"price": 112.50, "n": 112 , "order": 12345}',
    '{"price": [112 , 3], "order": "a-12345"}',
    '{"type":"thing","value":"x","q":3}',
)
_TELLING_RESULTS = (
    '{"state":"pending"}',
    '{"status":"denied"}',
    '{"status":404,"message":"x"}',
    '{"code":503}',
    '{"ok":false}',
    '{"error":null,"x":2}',
    '{"error":"boom"}',
    '{"errors":[]}',
    '{"items":[]}',
    "[]",
    "{}",
    '[{"type":"text","text":"Error: no"}]',
    '[{"error":"x"}]',
    "[1]",
    "Error: failed",
    '  {"a":1}',
    '"Error: x"',
    "null",
    '{"message":"Error: x"}',
    '{"result":"Error: x"}',
    '{"response":{"error":"x"},"a":1,"b":2,"c":3,"d":4}',
    '{"type":"text","value":"Error: bad"}',
    '{"is_error":true}',
    '{"success":false,"reason":"no"}',
    '{"availability":"sold out"}',
    '{"decision":"REJECTED"}',
    "HTTP 500 : x",
    "404 not found",
    "timeout",
    '{"a":1.5e400}',
    '{"a":NaN}',
    '{"a":"\\ud800"}',
    '{"a":1,"a":{"error":"x"}}',
    "Exceptionally good",
    '{"data":"x","status":"failed"}',
    '{"status_code":"429","detail":"slow"}',
    '{"exception":"","k":1}',
    '{"documents":[],"n":0}',
    '{"outcome":"expired","x":[1]}',
    "",
)
_ARGUMENTS = ('{"q":"a"}', '{"q":"b","n":1}', '{"q":"c"}', '{"q":"dd","n":[2]}')
_TELLING_ARGUMENTS = (
    '{"q": "a"}',
    '{"q":"A"}',
    '{"n":1,"q":"b"}',
    "{}",
    "",
    '{"q":',
    '{"x":1.0}',
    '{"x":1.00}',
    '{"x":-0}',
    '{"x":0}',
    "[1]",
    '"text"',
    "not json",
    '{"q":"é"}',
    '{"q":"\\u0061"}',
)
_TOOLS = ("lookup", "search_kb")
_TELLING_TOOLS = ("cancel_order", "get", "transfer_to_human", "think")
_TROUBLES = (
    *("upstream timed out", "429 too many requests", "client disconnected", "no such tool", "boom"),
    *("recursion limit reached", "max iterations", "budget exceeded", "cancelled", "403", "é", ""),
)
_ERRORS = (None, None, "TimeoutError", "asyncio.CancelledError", "404", "ValidationError", "É", " ")
_FALLIBLE = ("execute_tool", "invoke_agent", "invoke_workflow", None)
_TELLING_NAMES: Mapping[str, Any] = {
    "error.type": "TimeoutError",
    "http.response.status_code": 500,
    "fidelity.cancelled": True,
    "fidelity.stream.complete": False,
    "fidelity.attempt.number": 2,
    "fidelity.shadow.role": "candidate",
    "llm.model": "x",
    "ai.prompt": "x",
    "traceloop.span.kind": "tool",
    "openinference.span.kind": "TOOL",
    "db.system": "pgvector",
    "fidelity.recovery": "abandoned",
    "app.map": {"a": 1},
}


class EdgeTrace:
    """One trace, grown from a random source; `share` of its parts are telling ones."""

    def __init__(self, rng: random.Random, share: float) -> None:
        self._rng, self._share = rng, share
        self._failing = rng.choice((share, share, 0.3))
        self._request = ExportTraceServiceRequest()
        resource = self._request.resource_spans.add()
        add_attributes(resource.resource.attributes, {"service.name": "shop"})
        self._scopes = [resource.scope_spans.add()]
        self._scopes[0].scope.name = "one"
        if self._rarely():
            self._scopes.append(resource.scope_spans.add())
            self._scopes[1].scope.name = rng.choice(("one", "two"))
        self._trace_id = rng.randbytes(16)
        self._spans: list[Span] = []

    def build(self) -> bytes:
        """The trace as an export request."""
        rng = self._rng
        root = self._span(
            rng.choice(("invoke_workflow", "invoke_agent", "chat", None)), None, self._root()
        )
        root.end_time_unix_nano = root.start_time_unix_nano + 60 * _SECOND
        if self._rarely(0.5):
            self._span("invoke_agent", None, {})
        parent = root
        if rng.random() < 0.5:
            said = {"gen_ai.output.messages": self._messages(out=True)} if self._one_in(3) else {}
            parent = self._span("invoke_agent", root, {"gen_ai.agent.name": "a", **said})
        makes: tuple[tuple[Callable[[Span], Span], int], ...] = (
            (self._chat, 6),
            (self._tool, 4),
            (self._retrieval, 2),
            (lambda above: self._span(None, above, {"app.x": "y"}), 1),
            (lambda above: self._span("embeddings", above, {"gen_ai.request.model": "e"}), 1),
        )
        for _ in range(rng.choice((8, 12)) if rng.random() < 0.05 else rng.randrange(1, 6)):
            above = rng.choice(self._spans) if self._one_in(10) else parent
            (make,) = rng.choices([m for m, _ in makes], [weight for _, weight in makes])
            make(above)
        return self._request.SerializeToString()

    def _rarely(self, factor: float = 1.0) -> bool:
        return self._rng.random() < self._share * factor

    def _one_in(self, count: int) -> bool:
        return self._rng.randrange(count) == 0

    def _of(self, plain: tuple[str, ...], telling: tuple[str, ...], factor: float = 2.0) -> str:
        return self._rng.choice(telling if self._rarely(factor) else plain)

    def _text(self) -> str:
        some = [self._of(_PLAIN, _TELLING) for _ in range(self._rng.choice((1, 1, 2)))]
        return " ".join(some)

    def _span(self, operation: str | None, parent: Span | None, given: Mapping[str, Any]) -> Span:
        rng = self._rng
        scope: ScopeSpans = rng.choice(self._scopes)
        span = scope.spans.add(trace_id=self._trace_id, span_id=rng.randbytes(8))
        if parent is not None:
            span.parent_span_id = rng.randbytes(8) if self._rarely(0.3) else parent.span_id
        span.name = f"{operation or 'step'} x"
        begin = NOW + len(self._spans) * _SECOND + rng.choice((0, 0, 0, -_SECOND, 5))
        span.start_time_unix_nano = begin
        span.end_time_unix_nano = 0 if self._rarely(0.3) else begin + rng.choice((1, 10)) * 10**8
        attributes = dict(given)
        if operation:
            attributes["gen_ai.operation.name"] = (
                rng.choice(("CHAT", "rerank", "guardrail", "x")) if self._rarely(0.3) else operation
            )
        if rng.random() < (self._failing if operation in _FALLIBLE else self._share):
            span.status.code = rng.choice((2, 2, 2, 0, 1)) if self._one_in(4) else 2
            span.status.message = rng.choice(_TROUBLES)
            kind = rng.choice(_ERRORS)
            if kind is not None:
                attributes["error.type"] = kind
        elif self._one_in(5):
            span.status.code = 1
        if self._rarely():
            name = rng.choice(list(_TELLING_NAMES))
            attributes[name] = _TELLING_NAMES[name]
        if self._one_in(3):
            attributes["app.z"] = rng.choice((1, 1.5, True, "x", ["a"], None, b"x"))
        if self._rarely():
            event = span.events.add(name=rng.choice(("exception", "fidelity.attempt", "note")))
            add_attributes(event.attributes, {"exception.message": "boom"})
        if self._rarely(0.3):
            span.links.add(trace_id=rng.randbytes(16), span_id=rng.randbytes(8))
        add_attributes(span.attributes, attributes)
        if self._rarely(0.3) and attributes:
            add_attributes(span.attributes, {rng.choice(list(attributes)): self._text()})
        self._spans.append(span)
        return span

    def _json(self, value: Any) -> str:
        shown = json.dumps(value, ensure_ascii=self._one_in(2))
        return shown[:-1] if self._rarely(0.3) else shown

    def _root(self) -> dict[str, Any]:
        rng, text = self._rng, self._text
        found: dict[str, Any] = {}
        kind = rng.randrange(3)
        if kind == 0:
            given = (
                {"question": text()},
                {"messages": [{"role": "user", "content": text()}]},
                {"x": text()},
                text(),
                {"query": text(), "input": text()},
                {"question": "", "text": text()},
                {"question": ["a"]},
            )
            told = (
                {"answer": text()},
                text(),
                {"result": text(), "output": text()},
                {"x": 1},
                [text()],
                {"answer": {"text": text()}},
                {"answer": text(), "messages": []},
            )
            found["fidelity.input"] = self._json(rng.choice(given))
            found["fidelity.output"] = text() if self._one_in(5) else self._json(rng.choice(told))
        elif kind == 1:
            found["gen_ai.input.messages"] = self._messages(out=False)
            found["gen_ai.output.messages"] = self._messages(out=True)
        if self._one_in(2):
            found["gen_ai.workflow.name"] = "support"
        if self._one_in(9):
            found["fidelity.workflow"] = "our own"
        return found

    def _part(self) -> dict[str, Any]:
        kind = self._rng.random()
        if kind < 0.6:
            return {"type": "text", "content": self._text()}
        if kind < 0.85:
            telling = ('{"q":1}', '{"q":', "x", {"q": 1.5})
            return {
                "type": "tool_call",
                "id": self._rng.choice(("c1", "c2", None)),
                "name": self._of(_TOOLS, _TELLING_TOOLS),
                "arguments": self._rng.choice(telling if self._rarely() else ({"q": "a"}, None)),
            }
        if kind < 0.9:
            return {"type": "reasoning", "content": self._text()}
        if kind < 0.97:
            response = self._rng.choice(("ok", {"error": "x"}, None, [1]))
            return {"type": "tool_call_response", "id": "c1", "response": response}
        return {"type": "image", "content": "y"}

    def _message(self, role: str) -> dict[str, Any]:
        rng = self._rng
        count = rng.randrange(3) if self._one_in(10) else 1
        shown: dict[str, Any] = {
            "role": rng.choice(("user", "system", "tool", "developer")) if self._rarely() else role,
            "parts": [
                self._part() if self._one_in(5) else {"type": "text", "content": self._text()}
                for _ in range(count)
            ],
        }
        if role == "assistant" and self._one_in(2):
            telling = ("length", "content_filter", "refusal", "max_tokens", "STOP", None, "")
            plain = ("stop", "tool_calls", "end_turn")
            shown["finish_reason"] = rng.choice(telling if self._rarely() else plain)
        if self._rarely(0.5):
            shown["content"] = self._text()
        return shown

    def _messages(self, *, out: bool) -> str:
        rng = self._rng
        if out:
            made = [self._message("assistant") for _ in range(rng.randrange(3))]
            if not self._rarely():
                made = [self._message("assistant")]
            if self._one_in(5):
                call = {"type": "tool_call", "name": rng.choice(_TOOLS), "arguments": {"q": "a"}}
                made[:1] = [{"role": "assistant", "parts": [call], "finish_reason": "tool_calls"}]
            return self._json(made)
        made = [self._message("user")]
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            made += [self._message("assistant"), self._message("user")]
        if self._one_in(10):
            made.append(self._message("user"))
        return self._json(made)

    def _chat(self, parent: Span) -> Span:
        rng = self._rng
        found: dict[str, Any] = {}
        if not self._rarely():
            found["gen_ai.output.messages"] = self._messages(out=True)
        if not self._one_in(10):
            found["gen_ai.input.messages"] = self._messages(out=False)
        if self._one_in(2):
            found["gen_ai.request.model"] = "gpt-4o"
            found["gen_ai.response.model"] = self._of(("gpt-4o-2024-08-06",), ("gpt-3.5",), 1)
        if self._one_in(3):
            telling = ("length", "refusal", "content_filter")
            found["gen_ai.response.finish_reasons"] = [self._of(("stop", "tool_calls"), telling, 1)]
        if self._one_in(3):
            found["gen_ai.usage.input_tokens"] = rng.choice((10, 20, 1000))
            found["gen_ai.usage.output_tokens"] = rng.choice((0, 5))
        if self._one_in(10):
            found["gen_ai.agent.name"] = rng.choice("ab")
        if self._one_in(4):
            found["gen_ai.tool.definitions"] = self._json(self._definitions())
        return self._span("chat", parent, found)

    def _definitions(self) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for name in _TOOLS[: 1 if self._rarely(3) else 2]:
            required = ["r"] if self._rarely(3) else self._rng.choice(([], ["q"]))
            schema = {"type": "object", "required": required}
            tool = {"name": name, "description": "d", "parameters": schema}
            made.append({"type": "function", "function": tool} if self._one_in(2) else tool)
        return made

    def _tool(self, parent: Span) -> Span:
        found: dict[str, Any] = {}
        if not self._rarely(0.3):
            name = self._rng.choice(_TELLING_TOOLS if self._one_in(10) else _TOOLS)
            found["gen_ai.tool.name"] = name
        if not self._one_in(10):
            found["gen_ai.tool.call.arguments"] = self._of(_ARGUMENTS, _TELLING_ARGUMENTS, 3)
        if not self._one_in(10):
            found["gen_ai.tool.call.result"] = self._of(_RESULTS, _TELLING_RESULTS, 5)
        if self._rarely(0.5):
            found["fidelity.output"] = self._of(_RESULTS, _TELLING_RESULTS)
        return self._span("execute_tool", parent, found)

    def _retrieval(self, parent: Span) -> Span:
        found: dict[str, Any] = {"gen_ai.retrieval.query.text": self._text()}
        if not self._one_in(10):
            count = 0 if self._rarely() else self._rng.randrange(1, 4)
            found["gen_ai.retrieval.documents"] = self._json(
                [self._document(number) for number in range(count)]
            )
        return self._span("retrieval", parent, found)

    def _document(self, number: int) -> dict[str, Any]:
        rng = self._rng
        shown: dict[str, Any] = {
            "id": f"d{number}",
            "content": rng.choice(_DOCUMENTS),
            "title": rng.choice(("t", "", None, "parcel")),
        }
        if self._one_in(2):
            fresh = ("2026-10-01T00:00:00Z", "2026-10-01", "2026-05-27T00:00:00+14:00")
            old = ("2021-01-01", "1600000000", "soon", "2026-13-01", "2026-05-20", "")
            shown["updated_at"] = self._of(fresh, old)
        if self._one_in(5):
            shown["indexed_at"] = rng.choice(("2026-10-01T00:00:00Z", "2020-01-01"))
        if self._one_in(10):
            shown["superseded_by"] = rng.choice((None, "none", "doc-9", ""))
        if self._one_in(3):
            shown["score"] = rng.choice((0.5, 1, None))
        if self._rarely(0.5):
            shown["extra"] = 1
        return shown


def edge_trace(seed: int, *, share: float = 0.02) -> bytes:
    """A trace as an export request; the same for the same seed."""
    return EdgeTrace(random.Random(seed), share).build()
