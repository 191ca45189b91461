"""Know whether an AI system in production does what its users need.

    import fidelity_otel as fidelity

    fidelity.init(service="support")

    @fidelity.workflow("support.answer")
    def answer(question: str) -> str: ...

    fidelity.outcome(("ticket", "T-42"), "resolved", True)  # later, from anywhere

Importing this loads nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fidelity_otel.integrations import instrument as instrument
    from fidelity_otel.integrations import uninstrument as uninstrument
    from fidelity_otel.sdk.attempts import attempts as attempts
    from fidelity_otel.sdk.context import context as context
    from fidelity_otel.sdk.context import continue_trace as continue_trace
    from fidelity_otel.sdk.context import headers as headers
    from fidelity_otel.sdk.observe import agent as agent
    from fidelity_otel.sdk.observe import chat as chat
    from fidelity_otel.sdk.observe import embeddings as embeddings
    from fidelity_otel.sdk.observe import guardrail as guardrail
    from fidelity_otel.sdk.observe import observe as observe
    from fidelity_otel.sdk.observe import rerank as rerank
    from fidelity_otel.sdk.observe import retrieval as retrieval
    from fidelity_otel.sdk.observe import tool as tool
    from fidelity_otel.sdk.observe import workflow as workflow
    from fidelity_otel.sdk.outcome import bind as bind
    from fidelity_otel.sdk.outcome import handle as handle
    from fidelity_otel.sdk.outcome import outcome as outcome
    from fidelity_otel.sdk.reference import Handle as Handle
    from fidelity_otel.sdk.setup import flush as flush
    from fidelity_otel.sdk.setup import init as init
    from fidelity_otel.sdk.setup import shutdown as shutdown
    from fidelity_otel.sdk.shadow import shadow as shadow
    from fidelity_otel.sdk.shadow_gate import ShadowBlocked as ShadowBlocked
    from fidelity_otel.sdk.span import ActiveSpan as ActiveSpan
    from fidelity_otel.sdk.span import span as span

_WHERE = {
    "ActiveSpan": "sdk.span",
    "ShadowBlocked": "sdk.shadow_gate",
    "Handle": "sdk.reference",
    "agent": "sdk.observe",
    "attempts": "sdk.attempts",
    "bind": "sdk.outcome",
    "chat": "sdk.observe",
    "context": "sdk.context",
    "continue_trace": "sdk.context",
    "embeddings": "sdk.observe",
    "flush": "sdk.setup",
    "guardrail": "sdk.observe",
    "handle": "sdk.outcome",
    "headers": "sdk.context",
    "init": "sdk.setup",
    "instrument": "integrations",
    "observe": "sdk.observe",
    "outcome": "sdk.outcome",
    "rerank": "sdk.observe",
    "retrieval": "sdk.observe",
    "shadow": "sdk.shadow",
    "shutdown": "sdk.setup",
    "span": "sdk.span",
    "tool": "sdk.observe",
    "uninstrument": "integrations",
    "workflow": "sdk.observe",
}

__all__ = [
    "ActiveSpan",
    "Handle",
    "ShadowBlocked",
    "agent",
    "attempts",
    "bind",
    "chat",
    "context",
    "continue_trace",
    "embeddings",
    "flush",
    "guardrail",
    "handle",
    "headers",
    "init",
    "instrument",
    "observe",
    "outcome",
    "rerank",
    "retrieval",
    "shadow",
    "shutdown",
    "span",
    "tool",
    "uninstrument",
    "workflow",
]


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{where}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
