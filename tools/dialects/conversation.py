"""What every recording says, through whatever client and decorators it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

SYSTEM = "You are the support assistant of a shop."
GOOD, FAILING = "Where is my order A-17?", "Where is my order B-2?"
SESSION, USER = "s-1", "u-1"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_order",
            "description": "Looks an order up",
            "parameters": {
                "type": "object",
                "properties": {"order_id": {"type": "string"}},
                "required": ["order_id"],
            },
        },
    }
]
DOCUMENTS = [
    {"id": "shipping-3", "text": "Orders ship within two days.", "score": 0.9},
    {"id": "shipping-1", "text": "Orders ship within a week.", "score": 0.4},
]


def get_order(order_id: str) -> dict[str, str]:
    """Looks an order up."""
    if order_id.startswith("B"):
        raise RuntimeError("the order system is down")
    return {"status": "shipped", "day": "Monday"}


def search_policy(query: str) -> list[dict[str, Any]]:
    """Finds policies."""
    return DOCUMENTS


def converse(
    client: Any,
    question: str,
    *,
    tool: Callable[..., Any] = get_order,
    retrieve: Callable[..., Any] = search_policy,
) -> str:
    """One turn of the assistant."""
    found = retrieve(question)
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": question},
    ]
    assert found
    first = client.chat.completions.create(model="small", messages=messages, tools=TOOLS)
    message = first.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls:
        try:
            result = json.dumps(tool(**json.loads(call.function.arguments)))
        except RuntimeError as error:
            result = f"Error: {error}"
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    last = client.chat.completions.create(model="small", messages=messages, tools=TOOLS)
    return last.choices[0].message.content
