"""A candidate beside the incumbent: it gets a copy of the request, and no say.

python examples/04_shadow.py
"""

from __future__ import annotations

from opentelemetry.sdk.trace.export import ConsoleSpanExporter

import fidelity_otel as fidelity


def line(span: object) -> str:
    """A span's name, its role, and what it answered."""
    held = getattr(span, "attributes", {})
    said = held.get("fidelity.output") or held.get("fidelity.shadow.blocked")
    return f"{getattr(span, 'name', '')}: {held.get('fidelity.shadow.role', '')} {said}\n"


fidelity.init(service="support", exporter=ConsoleSpanExporter(formatter=line))


@fidelity.tool
def refund(order: str) -> str:
    return f"refunded {order}"


def candidate(order: str) -> str:
    try:
        return refund(order)  # has an effect: not run for a candidate
    except fidelity.ShadowBlocked as error:
        return str(error)


@fidelity.shadow(candidate, sample=1.0, timeout=5)
@fidelity.workflow("support.refund")
def answer(order: str) -> str:
    return refund(order)


print(answer("A-17"))
fidelity.flush()
fidelity.shutdown()
