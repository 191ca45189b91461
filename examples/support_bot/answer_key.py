"""The answer key: plain code that says whether an answer did what the customer needed.

The bot never sees it. An answer is right when it states every required fact, states nothing that is
forbidden, and brings up nothing that neither the truth nor the customer speaks of: no other figure
("30 days, or 10 after the receipt"), no other weekday, no other subject ("the erasure of personal
data is completed within 30 days").
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Beginnings of words that say what a passage is about.
SUBJECTS = re.findall(
    r"\w+",
    """
    abroad account address amend assembl carriage cash certificate charge cheque collect concession
    consignment credited customer damage disposal electrical erasure expedited furniture gift
    guarantee instalment interest invoice kni label loyalty mattress newsletter paypal personal
    points postage price purchase receipt refund reimburse rescind reserved saturday ship spare
    stock store student telephone transit unused warehouse wrapping
    """,
)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class Question:
    """A customer's question, and the same in the company's words with the right source."""

    id: str
    question: str
    clean: str
    passage: str = ""  # of the policy that answers it …
    order: str = ""  # … or the order that it is about


@dataclass(frozen=True, slots=True)
class Key:
    """What a right answer says. `required` and `forbidden` are regular expressions."""

    id: str
    truth: str
    required: tuple[str, ...]
    forbidden: tuple[str, ...]


def read_questions(path: Path = HERE / "questions.jsonl") -> list[Question]:
    """All customers' questions, in the file's order."""
    return [Question(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def read_keys(path: Path = HERE / "answer_key.jsonl") -> dict[str, Key]:
    """The keys by the question's id."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {
        row["id"]: Key(row["id"], row["truth"], tuple(row["required"]), tuple(row["forbidden"]))
        for row in rows
    }


def is_right(key: Key, question: str, answer: str) -> bool:
    """Whether the answer did what the customer needed."""
    text = _digits(answer)
    known = _digits(f"{key.truth} {question}")
    return (
        all(re.search(fact, text) for fact in key.required)
        and not any(re.search(fact, text) for fact in key.forbidden)
        and set(_figures(text)) <= set(_figures(known))
        and _among(WEEKDAYS, text) <= _among(WEEKDAYS, known)
        and _among(SUBJECTS, text) <= _among(SUBJECTS, known)
    )


def _among(beginnings: Sequence[str], text: str) -> set[str]:
    """Which of these some word of the text begins with."""
    return {start for start in beginnings if re.search(rf"\b{start}", text)}


def _digits(text: str) -> str:
    """Lower case, number words as digits, one kind of apostrophe."""
    lowered = text.lower().replace("’", "'")
    for value, word in enumerate(NUMBERS):
        lowered = re.sub(rf"\b{word}\b", str(value), lowered)
    return lowered


def _figures(text: str) -> list[str]:
    """The figures in a text, written alike: "4,90" and "4.90" are "4.9"."""
    found = re.findall(r"\d+(?:[.,]\d+)?", text)
    return [f"{float(figure.replace(',', '.')):g}" for figure in found]
