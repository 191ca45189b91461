"""HaluEval's general set: ChatGPT answers with human labels.

The set has no retrieved knowledge: the only source that an answer can be grounded in is what the
user gave in the query (a text to summarise, a table, facts).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Answer(NamedTuple):
    """An answer, what was asked, and whether people found it hallucinated."""

    asked: str
    answered: str
    hallucinated: bool


def answers(folder: Path) -> Iterator[Answer]:
    with gzip.open(folder / "halueval" / "general_data.json.gz", "rt") as file:
        for line in file:
            one = json.loads(line)
            yield Answer(one["user_query"], one["chatgpt_response"], one["hallucination"] == "yes")
