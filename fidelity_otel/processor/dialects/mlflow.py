"""MLflow tracing: `mlflow.spanType`, `mlflow.spanInputs`, `mlflow.spanOutputs`, `mlflow.chat.*`.

Source: mlflow/mlflow, `mlflow/tracing/constant.py`. Values are JSON texts, texts among them quoted.
"""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel.model import Operation
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.langfuse import put_usage_details
from fidelity_otel.processor.dialects.payload import put_input, put_output
from fidelity_otel.processor.dialects.values import number, text, unwrapped
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "read"]

NAME: Final = "mlflow"
_TYPES: Final[dict[str, Operation]] = {
    "LLM": "chat",
    "CHAT_MODEL": "chat",
    "EMBEDDING": "embeddings",
    "AGENT": "invoke_agent",
    "WORKFLOW": "invoke_workflow",
    "TOOL": "execute_tool",
    "RETRIEVER": "retrieval",
    "RERANKER": "rerank",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluation",
}


def read(raw: RawSpan, draft: Draft) -> None:
    """Read what MLflow says into the draft."""
    get = raw.attributes.get

    def opened(name: str) -> Any:
        return unwrapped(get(name), 1)

    kind = opened("mlflow.spanType")
    if isinstance(kind, str):
        draft.put("operation", _TYPES.get(kind.upper(), ""))
    operation = draft.fields.get("operation")
    if operation == "execute_tool":
        draft.put_tool("name", text(opened("mlflow.spanFunctionName")) or raw.name)
    elif operation == "invoke_agent":
        draft.put("agent", raw.name)
    inputs = get("mlflow.spanInputs")
    if inputs is not None:
        put_input(inputs, draft)
    outputs = get("mlflow.spanOutputs")
    if outputs is not None:
        put_output(outputs, draft)
    tools = opened("mlflow.chat.tools")
    if isinstance(tools, list):
        draft.put("tool_definitions", tuple(t for t in tools if isinstance(t, dict)))
    put_usage_details(get("mlflow.chat.tokenUsage"), draft)
    cost = opened("mlflow.llm.cost")
    if isinstance(cost, dict):
        draft.put_usage("cost_usd", number(cost.get("total_cost")))
    if operation in ("chat", "embeddings"):
        draft.put("provider", text(opened("mlflow.llm.provider")))
        draft.put("model_used", text(opened("mlflow.llm.model")))
    for field, names in (
        ("conversation_id", ("mlflow.trace.session", "mlflow.trace.sessionId")),
        ("user_id", ("mlflow.trace.user", "mlflow.trace.userId")),
    ):
        for name in names:
            draft.put(field, text(opened(name)))
