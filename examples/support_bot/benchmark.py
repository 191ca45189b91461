"""The benchmark: the same questions, cleanly worded, with the right source in hand.

No retriever, no tools, no customer's spelling: what a score on a leader board measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import openai
from answer_key import Key, Question, is_right
from knowledge import load
from prompt import ask


def benchmark(
    questions: list[Question], keys: Mapping[str, Key], model_url: str, done: Callable[[], None]
) -> float:
    """The share of right answers, 0 to 1.

    Args:
        questions: to be asked.
        keys: what right answers say, by the question's id.
        model_url: base URL of the model's API.
        done: called after each answer.
    """
    passages = {passage["id"]: passage["content"] for passage in load()}
    right = 0
    with openai.OpenAI(base_url=model_url, api_key="none") as client:
        answers: dict[tuple[str, str], str] = {}
        for question in questions:
            key = keys[question.id]
            facts = passages[question.passage] if question.passage else key.truth
            asked = (facts, question.clean)
            if asked not in answers:  # the same words get the same answer
                answers[asked] = ask(client, *asked)
            right += is_right(key, question.clean, answers[asked])
            done()
    return right / len(questions)
