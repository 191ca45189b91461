"""The assistant: plain code chooses the way, a small model words the answer.

This is the file to read to see how an application is instrumented. Everything that fidelity_otel
needs is: `init`, one decorator a function, one `bind`. The calls of the openai client are recorded
by themselves.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
from knowledge import Knowledge, in_our_words, load
from prompt import ask

import fidelity_otel as fidelity

fidelity.init(service="support-bot", release="1.0")

policies = Knowledge(load())
model = openai.OpenAI(base_url=os.environ["MODEL_URL"], api_key="none")
office = httpx.Client(base_url=os.environ["TOOLS_URL"], timeout=1.5)

ORDER = re.compile(r"\b\d{4}\b")
REFUND = re.compile(r"\brefund|money back", re.IGNORECASE)
STATES = {
    "packed": "is packed and leaves on {day}",
    "transit": "is on its way and arrives on {day}",
    "delivered": "is delivered on {day}",
    "cancelled": "is cancelled on {day}",
}


def answer(question: str, ticket: str) -> str:
    """Answer one customer: the front door of the assistant."""
    order = ORDER.search(question)
    if order is None:
        return answer_policy(question, ticket)
    return answer_order(question, ticket, order.group())


@fidelity.workflow("support.policy")
def answer_policy(question: str, ticket: str) -> str:
    """Answer from the policies."""
    fidelity.bind("ticket", ticket)  # what the help desk will close, one way or the other
    found = search(question) or search(in_our_words(question))
    facts = found[0]["content"] if found else "none"
    return ask(model, facts, question)


@fidelity.workflow("support.order")
def answer_order(question: str, ticket: str, number: str) -> str:
    """Answer about an order, or start a refund."""
    fidelity.bind("ticket", ticket)
    try:
        if REFUND.search(question):
            facts = refund_in_words(number, patiently(refund, number))
        else:
            facts = order_in_words(number, patiently(order_lookup, number))
    except (httpx.HTTPError, LookupError, AttributeError):
        facts = "none"  # the customer gets an answer whatever happens; see what comes of that
    return ask(model, facts, question)


@fidelity.retrieval("policies")
def search(question: str) -> list[dict[str, Any]]:
    """The passages that may answer a question."""
    return policies.search(question)


@fidelity.tool
def order_lookup(number: str) -> Any:
    """The order as the back office knows it."""
    response = office.get("/orders", params={"number": number})
    response.raise_for_status()
    return response.json()


@fidelity.tool
def refund(number: str) -> Any:
    """Start a refund; the back office refuses what is too old."""
    response = office.post("/refunds", json={"order": number})
    response.raise_for_status()
    return response.json()


def patiently(tool: Callable[[str], Any], number: str) -> Any:
    """Call a tool, and once more when it is busy or slow."""
    try:
        return tool(number)
    except httpx.TimeoutException:
        return tool(number)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            raise
        time.sleep(float(error.response.headers.get("Retry-After", "1")))
        return tool(number)


def order_in_words(number: str, found: list[dict[str, str]]) -> str:
    """What the back office says, as a sentence of facts."""
    if not found:
        return f"There is no order {number}."
    state = STATES.get(found[0].get("status", ""), "is being looked into")
    return f"Order {number} {state.format(day=found[0].get('day'))}."


def refund_in_words(number: str, said: dict[str, Any]) -> str:
    """What the back office did, as a sentence of facts."""
    if said.get("refund") == "refused":
        return f"The refund for order {number} is refused, because {said['reason']}."
    return f"A refund of {said.get('amount', 0):.2f} euros for order {number} is on its way."
