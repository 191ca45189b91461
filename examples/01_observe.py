"""The ten lines: record an assistant, and say later what became of its answer.

    python examples/01_observe.py

Prints the spans instead of sending them; in an application, leave `exporter` out.
"""

from __future__ import annotations

from opentelemetry.sdk.trace.export import ConsoleSpanExporter

import fidelity_otel as fidelity

fidelity.init(service="support", exporter=ConsoleSpanExporter(formatter=lambda s: f"{s.name}\n"))


@fidelity.retrieval
def search(question: str) -> list[dict[str, object]]:
    print(f"looking for {question!r}")
    return [{"id": "returns", "score": 2.1, "content": "Goods can be returned for 30 days."}]


@fidelity.workflow("support.answer")
def answer(question: str, ticket: str) -> str:
    fidelity.bind("ticket", ticket)
    return str(search(question)[0]["content"])


print(answer("Can I bring it back?", ticket="T-42"))
fidelity.outcome(("ticket", "T-42"), "resolved", True, source="helpdesk")
fidelity.shutdown()
