"""Calls that could never have worked: tools that were not offered, arguments that are not JSON.

Where the tool itself refused, `tool_failures` has found it already; here is what only the call
shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fidelity_otel.model import Finding, Span
from fidelity_otel.processor.detect.evidence import quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.step import Step
from fidelity_otel.processor.detect.tool_failures import elapsed, ending

__all__ = ["find"]

_PATH_LIKE = ("transfer_to_", "handoff_to_", "final_result", "final_answer", "structured_output")


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of calls to tools that were not offered, and with arguments that do not parse."""
    failed_ids = {s.call_id for s in facts.steps if s.failure is not None and s.call_id}
    failed_names = {s.name for s in facts.steps if s.failure is not None}
    told: set[tuple[str, str]] = set()
    for chat in facts.chats:
        offered: dict[str, Any] | None = None
        for message in chat.output_messages:
            for part in message.parts:
                if part.type != "tool_call" or part.name is None or part.id in failed_ids:
                    continue
                if offered is None:
                    offered = _offered(chat)
                mode, why = _wrong(part.name, part.arguments, offered)
                if not mode or part.name in failed_names or (mode, part.name) in told:
                    continue
                told.add((mode, part.name))
                yield _finding(facts, chat, mode, f"The model called {part.name[:80]} {why}")
    for step in facts.steps:
        if step.arguments_text is None or step.failure is not None:
            continue
        if ("malformed_arguments", step.name) not in told and _broken(step):
            told.add(("malformed_arguments", step.name))
            why = f"with arguments that are not JSON: {quoted(step.key)}"
            yield _finding(
                facts, step.span, "malformed_arguments", f"The model called {step.name} {why}", step
            )


def _offered(chat: Span) -> dict[str, Any]:
    """The tools that a model was offered: name → parameters' schema."""
    out: dict[str, Any] = {}
    for definition in chat.tool_definitions:
        inner = definition.get("function")
        entry = inner if isinstance(inner, dict) else definition
        name = entry.get("name")
        if isinstance(name, str):
            out[name] = entry.get("parameters", entry.get("inputSchema", entry.get("input_schema")))
    return out


def _wrong(name: str, arguments: Any, offered: dict[str, Any]) -> tuple[str, str]:
    """The mode of what is wrong with a call and the words for it; ("", "") where nothing is."""
    if isinstance(arguments, str) and _cut_json(arguments):
        return "malformed_arguments", f"with arguments that are not JSON: {quoted(arguments)}"
    if not offered:
        return "", ""
    if name not in offered:
        if name.startswith(_PATH_LIKE):
            return "", ""
        return "unknown_tool", f"which is not among the {len(offered)} tools that it was offered"
    schema = offered[name]
    required = schema.get("required") if isinstance(schema, dict) else None
    if isinstance(required, list) and isinstance(arguments, dict):
        missing = [r for r in required if isinstance(r, str) and r not in arguments]
        if missing:
            return "malformed_arguments", f"without {quoted(', '.join(missing))}"
    return "", ""


def _cut_json(text: str) -> bool:
    """Whether a text was meant to be JSON and is not: the reader has opened what it could."""
    return text.lstrip()[:1] in ("{", "[")


def _broken(step: Step) -> bool:
    return step.arguments_text is not None and _cut_json(step.arguments_text)


def _finding(
    facts: Facts, span: Span, mode: str, evidence: str, step: Step | None = None
) -> Finding:
    recovery = _later(facts, span, step)
    return Finding(
        mode=mode,
        state=recovery.state,
        span_id=span.span_id,
        evidence=f"{evidence}{ending(recovery, span.end_ns)}.",
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=elapsed(recovery, span.end_ns),
    )


def _later(facts: Facts, span: Span, step: Step | None) -> Recovery:
    """A successful step after the call makes up for it: the model corrected itself."""
    since = span.end_ns
    for other in facts.steps:
        if other.failure is not None or other.asked_only or other is step:
            continue
        if other.start_ns >= since:
            if step is not None and other.name != step.name:
                continue
            by = "retry" if step is not None else "other_tool"
            return Recovery("recovered", by, other.end_ns, noticed=True)
    return without_success(facts, span.start_ns)
