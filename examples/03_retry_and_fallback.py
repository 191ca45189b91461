"""An application's own retries and fallbacks, recorded as first_try, recovered or fallback.

python examples/03_retry_and_fallback.py
"""

from __future__ import annotations

from opentelemetry.sdk.trace.export import ConsoleSpanExporter

import fidelity_otel as fidelity


def line(span: object) -> str:
    """A span's name and how it recovered."""
    attributes = getattr(span, "attributes", {})
    return f"{getattr(span, 'name', '')}: {attributes.get('fidelity.recovery', '')}\n"


fidelity.init(service="support", exporter=ConsoleSpanExporter(formatter=line))


@fidelity.chat
def ask(model: str, question: str) -> str:
    if model == "large":
        raise TimeoutError("the large model is busy")
    return f"{model} says: 30 days, to {question!r}"


@fidelity.workflow("support.answer")
def answer(question: str) -> str:
    for attempt in fidelity.attempts("ask", tries=2, choices=("large", "small")):
        with attempt:
            return ask(attempt.choice, question)
    return ""


print(answer("Can I bring it back?"))
fidelity.shutdown()
