"""Reads the corpus: small traces as YAML that a person can check at a glance.

A file holds `spans`, what a system did, and `findings`, exactly what is to be found, as
`mode state [by] [at]`. A span names itself by what it does:

    - workflow: support.answer        the root; `ask`, `answer`, `error`
    - chat: model-name                `says`, `calls`, `given`, `finish`, `tokens`, `used`
    - tool: name                      `arguments`, `result`, `error`, `call_id`
    - retrieval: query                `documents`
    - agent: name                     `ask`, `answer`
    - span: name                      anything else

and may have `id`, `in` (the parent's id; the root by default), `at: [start, end]` in seconds,
`attributes`, `events` and `status: error`. Spans without `at` follow one another, a second each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from fidelity_otel.model import Event, Finding
from fidelity_otel.processor.rawspan import RawSpan

FOLDER = Path(__file__).parent / "corpus"
TRACE = "c0ffee" + "0" * 26
EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = 10**9


def files() -> list[Path]:
    return sorted(FOLDER.rglob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def raw_spans(case: dict[str, Any]) -> list[RawSpan]:
    return list(_spans(case["spans"]))


def expected(case: dict[str, Any]) -> list[str]:
    return sorted(" ".join(line.split()) for line in case.get("findings") or [])


def shown(findings: tuple[Finding, ...], spans: list[RawSpan]) -> list[str]:
    """Findings as the corpus writes them: mode, state, by what, and the span's label."""
    labels = {s.span_id: s.attributes.get("corpus.label", s.span_id) for s in spans}
    out = []
    for f in findings:
        by = f" by {f.recovered_by}" if f.recovered_by else ""
        out.append(f"{f.mode} {f.state}{by} at {labels.get(f.span_id, f.span_id)}")
    return sorted(out)


def _spans(entries: list[dict[str, Any]]) -> Iterator[RawSpan]:
    ids: dict[str, str] = {}
    start = int(EPOCH.timestamp()) * SECOND
    root: str | None = None
    ends = start
    made = []
    for number, entry in enumerate(entries, start=1):
        span_id = f"{number:016x}"
        label = str(entry.get("id", number))
        ids[label] = span_id
        if "at" in entry:
            begin, end = (start + int(t * SECOND) for t in entry["at"])
        else:
            begin = start + (number - 1) * SECOND
            end = begin + SECOND // 2
        ends = max(ends, end)
        parent = ids[str(entry["in"])] if "in" in entry else root
        if root is None:
            root = span_id
        name, attributes = _attributes(entry)
        attributes["corpus.label"] = label
        attributes.update(entry.get("attributes") or {})
        error = entry.get("error")
        failed = error is not None or entry.get("status") == "error"
        made.append(
            RawSpan(
                trace_id=TRACE,
                span_id=span_id,
                name=name,
                parent_id=parent,
                start_ns=begin,
                end_ns=end,
                status_code=2 if failed else 0,
                status_message=error or "",
                attributes=attributes,
                events=tuple(
                    Event(e["name"], begin, {k: v for k, v in e.items() if k != "name"})
                    for e in entry.get("events") or []
                ),
                resource={"service.name": "shop"},
                scope_name="corpus",
            )
        )
    for one in made:
        if one.parent_id is None:
            import msgspec

            yield msgspec.structs.replace(one, end_ns=max(one.end_ns, ends + SECOND // 4))
        else:
            yield one


def _attributes(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "workflow" in entry or "agent" in entry:
        return _whole(entry)
    if "chat" in entry:
        return _chat(entry)
    if "tool" in entry:
        return _tool(entry)
    if "retrieval" in entry:
        out: dict[str, Any] = {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.retrieval.query.text": entry["retrieval"],
        }
        if "documents" in entry:
            out["gen_ai.retrieval.documents"] = json.dumps(entry["documents"], default=str)
        return "retrieval", out
    return entry["span"], {}


def _whole(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    kind = "workflow" if "workflow" in entry else "agent"
    out = {
        "gen_ai.operation.name": f"invoke_{kind}",
        f"gen_ai.{kind}.name": entry[kind],
    }
    if "ask" in entry:
        out["fidelity.input"] = json.dumps({"question": entry["ask"]})
    if "answer" in entry:
        out["fidelity.output"] = json.dumps(entry["answer"])
    return f"invoke_{kind} {entry[kind]}", out


def _chat(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    out: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": entry["chat"]}
    if "used" in entry:
        out["gen_ai.response.model"] = entry["used"]
    if "given" in entry:
        out["gen_ai.input.messages"] = json.dumps([_message(m) for m in entry["given"]])
    if "offers" in entry:
        offered = [t if isinstance(t, dict) else {"name": t} for t in entry["offers"]]
        out["gen_ai.tool.definitions"] = json.dumps([{"type": "function", **t} for t in offered])
    parts = []
    if entry.get("says"):
        parts.append({"type": "text", "content": entry["says"]})
    for call in entry.get("calls") or []:
        parts.append({"type": "tool_call", **call})
    if "says" in entry or "calls" in entry:
        said = {"role": "assistant", "parts": parts, "finish_reason": entry.get("finish", "stop")}
        out["gen_ai.output.messages"] = json.dumps([said])
    if "finish" in entry:
        out["gen_ai.response.finish_reasons"] = [entry["finish"]]
    if "tokens" in entry:
        given, said_tokens = entry["tokens"]
        out["gen_ai.usage.input_tokens"] = given
        out["gen_ai.usage.output_tokens"] = said_tokens
    return f"chat {entry['chat']}", out


def _message(entry: dict[str, Any]) -> dict[str, Any]:
    (role, content), *_ = entry.items()
    if role == "tool":
        part = {"type": "tool_call_response", "id": content["id"], "response": content["result"]}
        return {"role": "tool", "parts": [part]}
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _tool(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    out: dict[str, Any] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": entry["tool"],
    }
    if "arguments" in entry:
        given = entry["arguments"]
        out["gen_ai.tool.call.arguments"] = given if isinstance(given, str) else json.dumps(given)
    if "result" in entry:
        result = entry["result"]
        out["gen_ai.tool.call.result"] = (
            result if isinstance(result, str) else json.dumps(result, default=str)
        )
    if "call_id" in entry:
        out["gen_ai.tool.call.id"] = entry["call_id"]
    return f"execute_tool {entry['tool']}", out
