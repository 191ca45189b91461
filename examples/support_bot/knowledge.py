"""The knowledge base: policies in Markdown, found again with BM25.

A policy file has front matter (id, title, updated_at, superseded_by) and one passage a paragraph.
Two things are wrong with it, as in most companies: a superseded policy was never taken out of the
index, and the policies say "carriage" and "gift certificate" where customers say "delivery" and
"voucher".
"""

from __future__ import annotations

import re
from pathlib import Path

import bm25s

POLICIES = Path(__file__).parent / "policies"
STOP_WORDS = re.findall(
    r"\w+",
    """
    a about after also an and any are as at be been but by can could did do does for from get got
    had has have he her hi his how if im in is it its just last like me much my not now of off oh
    ok on one or our out please she so still than that the their them then there they this to too
    was we were what whats when where which while who why will with would you your
    """,
)
# What the retriever tries when nothing at all was found: a few words customers use, and ours.
SYNONYMS = {
    "express": "expedited conveyance",
    "quickest": "expedited conveyance consignment",
    "discount": "concession",
    "uni": "students",
    "cancel": "rescinded",
    "wardrobe": "furniture assembly",
    "smashed": "damage",
}


def load(folder: Path = POLICIES) -> list[dict[str, str]]:
    """Every passage of every policy: id ("returns#1"), title, content, dates, superseded_by."""
    passages = []
    for path in sorted(folder.glob("*.md")):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        fields = dict(line.split(":", 1) for line in front.strip().splitlines())
        policy = {name: value.strip() for name, value in fields.items() if value.strip()}
        for number, text in enumerate(body.strip().split("\n\n"), 1):
            passages.append({**policy, "id": f"{policy['id']}#{number}", "content": text})
    return passages


class Knowledge:
    """An index of passages."""

    def __init__(self, passages: list[dict[str, str]]) -> None:
        self.passages = passages
        self.index = bm25s.BM25()
        texts = [f"{p['title']}. {p['content']}" for p in passages]
        self.index.index(_words(texts), show_progress=False)

    def search(self, question: str, limit: int = 2) -> list[dict[str, object]]:
        """The best passages for a question, best first, each with its score; perhaps none."""
        places, scores = self.index.retrieve(_words([question]), k=limit, show_progress=False)
        return [
            {**self.passages[place], "score": round(float(score), 3)}
            for place, score in zip(places[0], scores[0], strict=True)
            if score > 0
        ]


def in_our_words(question: str) -> str:
    """The question with the company's words added for the customer's."""
    added = [ours for theirs, ours in SYNONYMS.items() if theirs in question.lower()]
    return " ".join([question, *added])


def _words(texts: list[str]) -> list[list[str]]:
    return bm25s.tokenize(texts, stopwords=STOP_WORDS, return_ids=False, show_progress=False)
