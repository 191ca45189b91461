"""How the model is asked: three examples, the facts, the question. Used by bot and benchmark alike.

A model of 135 million parameters follows examples, hardly instructions; one sentence of facts is
what it can repeat without mixing things up.
"""

from __future__ import annotations

import openai
from model import NAME
from openai.types.chat import ChatCompletionMessageParam

SYSTEM = "Answer the customer in one short sentence, using only the facts."
EXAMPLES = (
    (
        "Umbrellas are lent for 4 days.",
        "How long can I keep an umbrella?",
        "Umbrellas are lent for 4 days.",
    ),
    (
        "Sharpening a saw costs 7 euros.",
        "what do u charge for a saw??",
        "Sharpening a saw costs 7 euros.",
    ),
    (
        "Dogs are not allowed in the cafe.",
        "can my dog come into the cafe",
        "Dogs are not allowed in the cafe.",
    ),
)


def ask(client: openai.OpenAI, facts: str, question: str) -> str:
    """The model's answer to a question, from facts that may be empty or wrong."""
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": SYSTEM}]
    for known, asked, answered in EXAMPLES:
        messages.append({"role": "user", "content": f"Facts: {known}\nQuestion: {asked}"})
        messages.append({"role": "assistant", "content": answered})
    messages.append({"role": "user", "content": f"Facts: {facts}\nQuestion: {question}"})
    completion = client.chat.completions.create(
        model=NAME, messages=messages, temperature=0, seed=7, max_tokens=40
    )
    return (completion.choices[0].message.content or "").strip()
