"""The scripted reviewer: works through the real review queue, over the API, with the answer key.

It stands in for a person and is called "scripted reviewer" wherever its name shows. It sees what a
reviewer sees, no more: the question, the steps, the documents, the answer. It does not know which
arm chose the item, what the detectors found, or what anyone else said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
from answer_key import Key, Question, is_right

NAMES = ("scripted reviewer 1", "scripted reviewer 2")  # two, so that double reviews have an end


class Reviewer:
    """One scripted reviewer.

    Args:
        api: a client of the service's address.
        name: as it shows in the audit trail and in the report.
        questions: all questions that customers ask.
        keys: what right answers say, by the question's id.
    """

    def __init__(
        self, api: httpx.Client, name: str, questions: list[Question], keys: Mapping[str, Key]
    ) -> None:
        self.api = api
        self.name = name
        self.keys = {question.question: keys[question.id] for question in questions}

    def work(self, done: Callable[[], None], leave: int = 0) -> int:
        """Judge until nothing is left for this reviewer, or only `leave` items; says how many."""
        judged = 0
        while self._waiting() > leave:
            response = self.api.post("/api/v1/queue/next", json={"reviewer": self.name})
            response.raise_for_status()
            if response.status_code == httpx.codes.NO_CONTENT:
                break
            lease = response.json()
            said = self.judge(lease["item"])
            self.api.post(
                f"/api/v1/leases/{lease['lease_id']}/verdict", json={**said, "reviewer": self.name}
            ).raise_for_status()
            judged += 1
            done()
        return judged

    def judge(self, item: Mapping[str, Any]) -> dict[str, str]:
        """The verdict on an item, from what it shows."""
        key = self.keys.get(item["request"].strip())
        if key is None:
            return {"verdict": "cannot_tell", "note": "not a question of the answer key"}
        if is_right(key, item["request"], item["answer"]):
            return {"verdict": "right"}
        return {"verdict": "wrong", "mode": blame(item, key), "correction": key.truth}

    def _waiting(self) -> int:
        progress = self.api.get("/api/v1/progress").raise_for_status().json()
        return int(progress["open"])


def blame(item: Mapping[str, Any], key: Key) -> str:
    """What went wrong, as far as the item shows it: one of the rubric's failure modes."""
    documents, tools = item["documents"], item["tools"]
    if documents and documents[0].get("superseded_by"):
        return "retrieval_stale"
    if any(is_right(key, "", document.get("text", "")) for document in documents):
        return "ungrounded"  # it had the right passage and said something else
    if documents:
        return "wrong_document"
    if not tools:
        return "terminology_gap"  # nothing was found for the customer's words
    failed = tools[-1].get("error") or not tools[-1].get("result")
    return "tool_error" if failed else "tool_misread"
