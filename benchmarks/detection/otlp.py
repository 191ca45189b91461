"""Small OTLP requests from plain Python: what the adapters write."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from fidelity_otel.processor.wire import from_json

EPOCH = 1_760_000_000
SECOND = 10**9


def value(given: Any) -> dict[str, Any]:
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {"doubleValue": given}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(v) for v in given]}}
    return {"stringValue": given if isinstance(given, str) else json.dumps(given)}


class Writer:
    """Collects the spans of one trace, a second each, all below the first."""

    def __init__(self, key: str, workflow: str) -> None:
        self.trace_id = sha256(key.encode()).hexdigest()[:32]
        self.workflow = workflow
        self.spans: list[dict[str, Any]] = []

    def add(
        self,
        name: str,
        attributes: dict[str, Any],
        *,
        error: str | None = None,
        parent: int | None = 0,
        scope_start: int | None = None,
    ) -> int:
        number = len(self.spans)
        start = (EPOCH + (number if scope_start is None else scope_start)) * SECOND
        span: dict[str, Any] = {
            "traceId": self.trace_id,
            "spanId": f"{number + 1:016x}",
            "name": name,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + SECOND // 2),
            "attributes": [
                {"key": k, "value": value(v)} for k, v in attributes.items() if v is not None
            ],
        }
        if number and parent is not None:
            span["parentSpanId"] = f"{parent + 1:016x}"
        if error is not None:
            span["status"] = {"code": 2, "message": error}
        self.spans.append(span)
        return number

    def root(self, asked: str, answered: str | None) -> None:
        self.add(
            f"invoke_workflow {self.workflow}",
            {
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.workflow.name": self.workflow,
                "fidelity.input": json.dumps({"question": asked}),
                "fidelity.output": None if answered is None else json.dumps(answered),
            },
        )

    def chat(self, model: str, given: list[Any], said: list[Any], **more: Any) -> int:
        return self.add(
            f"chat {model}",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": model,
                "gen_ai.input.messages": json.dumps(given),
                "gen_ai.output.messages": json.dumps(said),
                **more,
            },
        )

    def tool(self, name: str, arguments: Any, result: Any, call_id: str | None = None) -> int:
        return self.add(
            f"execute_tool {name}",
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.call.id": call_id,
                "gen_ai.tool.call.arguments": arguments,
                "gen_ai.tool.call.result": result,
            },
        )

    def body(self) -> bytes:
        """The trace as a protobuf request."""
        if self.spans:
            self.spans[0]["endTimeUnixNano"] = str((EPOCH + len(self.spans)) * SECOND)
        resource = {"attributes": [{"key": "service.name", "value": value("benchmark")}]}
        scope = [{"scope": {"name": "adapter"}, "spans": self.spans}]
        request = {"resourceSpans": [{"resource": resource, "scopeSpans": scope}]}
        return from_json(json.dumps(request).encode())
