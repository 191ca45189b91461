"""The answer says otherwise than the tool: success claimed for a call that failed, a status turned.

Only plain contradictions are told: a claim of success after the last try of a writing tool failed,
and one value of a tool's result against its opposite in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from fidelity_otel.model import Finding
from fidelity_otel.processor.detect.evidence import quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.step import Step
from fidelity_otel.processor.detect.wording import is_reading
from fidelity_otel.processor.dialects.values import unwrapped

__all__ = ["find"]

_DONE: Final = (
    "book|cancel+|updat|refund|process|chang|upgrad|downgrad|add|sent|creat|schedul|plac|confirm|remov"
    "|delet|exchang|return|modifi|appli|submit|transferr|pay|paid|complet|reserv|issu|ship|register"
)
_CLAIM: Final = re.compile(
    rf"\b(?:(?:has|have|was|were|is|are)(?: now)? (?:been )?(?:successfully )?(?:{_DONE})\w*"
    rf"|successfully (?:{_DONE})\w*|i(?:'ve| have)(?: now| just| successfully)? (?:{_DONE})\w*)",
    re.IGNORECASE,
)
_PURE: Final = frozenset(("think", "calculate", "plan", "reflect", "note", "reason"))
_OPPOSITES: Final[tuple[tuple[frozenset[str], re.Pattern[str]], ...]] = (
    (
        frozenset(("denied", "rejected", "declined", "refused", "not_approved", "ineligible")),
        re.compile(r"\b(?:approved|accepted|granted|eligible|confirmed)\b", re.IGNORECASE),
    ),
    (
        frozenset(("cancelled", "canceled", "terminated", "closed")),
        re.compile(
            r"\b(?:active|on (?:its|the) way|confirmed|still open|in transit)\b", re.IGNORECASE
        ),
    ),
    (
        frozenset(("out_of_stock", "unavailable", "sold_out", "sold out", "out of stock")),
        re.compile(r"\b(?:in stock|available|ready to ship)\b", re.IGNORECASE),
    ),
    (
        frozenset(("pending", "processing", "not_shipped", "preparing", "queued")),
        re.compile(
            r"\b(?:(?:was|has been|is) (?:delivered|shipped|completed|refunded))\b", re.IGNORECASE
        ),
    ),
    (
        frozenset(("expired", "inactive", "disabled", "suspended", "invalid", "blocked")),
        re.compile(r"\bis (?:still )?(?:valid|active|enabled|working)\b", re.IGNORECASE),
    ),
)
_MEMBERS: Final = ("status", "state", "result", "decision", "availability", "outcome")
_NEGATED: Final = re.compile(
    r"(?:\bnot|n['’]t|\bno longer|\bnever|\bun|\bin|\bwithout|\bonce|\bif"
    r"|\bwhen)\W+(?:\w+\W+){0,2}\Z",
    re.IGNORECASE,
)
_MOST_READ: Final = 6000


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of plain contradictions between the answer and what the tools gave."""
    answer = facts.answer[:_MOST_READ]
    if not answer or not facts.steps:
        return
    failed = _last_write_failed(facts)
    if failed is not None:
        claim = _CLAIM.search(answer)
        if claim is not None and not _negated(answer, claim.start()) and not facts.said_so:
            yield _finding(
                facts,
                failed,
                f"The answer says {quoted(_around(answer, claim), 60)}, but the last "
                f"call of {failed.name} failed: {quoted(failed.message)}",
            )
    for step, value, claim in _turned(facts, answer):
        yield _finding(
            facts,
            step,
            f"Tool {step.name} says {quoted(value, 40)}, the answer "
            f"{quoted(_around(answer, claim), 60)}",
        )


def _last_write_failed(facts: Facts) -> Step | None:
    """The last call of a tool that changes something, where it failed and nothing was written."""
    last: Step | None = None
    for step in facts.steps:
        if is_reading(step.name) or step.name in _PURE or step in facts.handovers:
            continue
        last = step
    if last is None or last.failure is None:
        return None
    written = any(
        s.failure is None and not is_reading(s.name) and s.name not in _PURE for s in facts.steps
    )
    return None if written else last


def _turned(facts: Facts, answer: str) -> Iterator[tuple[Step, str, re.Match[str]]]:
    """Statuses that only one tool result has and whose opposite the answer says."""
    said: dict[str, list[tuple[Step, str]]] = {}
    for step in facts.steps[-20:]:
        if step.failure is None:
            for name, value in _statuses(step.result):
                said.setdefault(name, []).append((step, value))
    lowered = answer.lower()
    for pairs in said.values():
        if len({value for _, value in pairs}) != 1:
            continue  # of several things, one can't tell which the answer means
        step, value = pairs[-1]
        if value.replace("_", " ") in lowered:
            continue
        for values, opposite in _OPPOSITES:
            if value in values:
                claim = opposite.search(answer)
                if claim is not None and not _negated(answer, claim.start()):
                    yield step, value, claim


def _statuses(result: Any) -> Iterator[tuple[str, str]]:
    opened = unwrapped(result, 1)
    if isinstance(opened, dict):
        for name in _MEMBERS:
            value = opened.get(name)
            if isinstance(value, str) and len(value) < 40:  # noqa: PLR2004 - a word, not a text
                yield name, value.lower()


def _negated(answer: str, at: int) -> bool:
    return _NEGATED.search(answer[max(0, at - 30) : at]) is not None


def _around(answer: str, claim: re.Match[str]) -> str:
    start = answer.rfind(".", 0, claim.start()) + 1
    return answer[max(start, claim.start() - 30) : claim.end() + 20]


def _finding(facts: Facts, step: Step, evidence: str) -> Finding:
    span = facts.answering
    return Finding(
        mode="tool_misread",
        state="unrecovered",
        span_id=span.span_id if span else step.span_id,
        evidence=f"{evidence}.",
        span_ids=(step.span_id,),
        noticed=False,
    )
