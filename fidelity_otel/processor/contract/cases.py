"""Tests of a contract, beside it in its file: small traces, and which rules they break."""

from __future__ import annotations

from typing import Any

import msgspec

from fidelity_otel.model import Document, Message, Part, Span, ToolCall, Trace
from fidelity_otel.processor.contract.contracts import Contract, Contracts

__all__ = ["Case", "Outcome", "run_cases"]

_NS = 1_000_000_000


class _Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: Any = None
    result: Any = None
    error: str | None = None


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    content: str = ""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trace in short, and the names of the rules that it must break; all others must hold."""

    name: str = ""
    request: str = ""
    answer: str = ""
    tools: tuple[_Tool, ...] = ()
    documents: tuple[_Document, ...] = ()
    seconds: float = 1.0
    breaks: tuple[str, ...] = ()
    line: int = 0

    def trace(self, workflow: str) -> Trace:
        """The trace that it stands for."""
        end = int(self.seconds * _NS)
        trace_id = f"{self.line:032x}"

        def span(place: int, name: str, **more: Any) -> Span:
            return Span(
                trace_id,
                f"{place:016x}",
                name,
                parent_id=f"{1:016x}" if place > 1 else None,
                start_ns=place,
                end_ns=place + 1 if place > 1 else end,
                **more,
            )

        spans = [span(1, workflow, operation="invoke_workflow", workflow=workflow)]
        if self.documents:
            found = tuple(Document(id=d.id, content=d.content) for d in self.documents)
            spans.append(
                span(2, "search", operation="retrieval", query=self.request, documents=found)
            )
        for tool in self.tools:
            call = ToolCall(
                tool.name, arguments=tool.arguments, result=tool.result, error=tool.error
            )
            spans.append(span(len(spans) + 2, tool.name, operation="execute_tool", tool=call))
        said = (Message("assistant", (Part("text", self.answer),)),)
        spans.append(span(len(spans) + 2, "chat", operation="chat", output_messages=said))
        return Trace(
            trace_id,
            tuple(spans),
            root_id=spans[0].span_id,
            workflow=workflow,
            start_ns=0,
            end_ns=end,
            request=self.request,
            answer=self.answer,
        )


class Outcome(msgspec.Struct, frozen=True):
    """What became of a case: the rules it should have broken and did not, and those too many."""

    workflow: str
    case: Case
    missed: tuple[str, ...]
    extra: tuple[str, ...]
    failed: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether exactly the named rules were broken, and all could be evaluated."""
        return not (self.missed or self.extra or self.failed)


def run_cases(contract: Contract) -> list[Outcome]:
    """Run a contract's tests against its own rules."""
    made = []
    for case in contract.cases:
        alone = Contracts([contract])
        broken = {breach.rule for breach in alone.check(case.trace(contract.workflow))}
        asked = {rule.name for rule in alone.rules_of(contract.workflow)}
        wanted = asked.intersection(case.breaks)  # judges are not asked here
        made.append(
            Outcome(
                contract.workflow,
                case,
                tuple(sorted(wanted - broken)),
                tuple(sorted(broken - wanted)),
                tuple(sorted(alone.failed)),
            )
        )
    return made
