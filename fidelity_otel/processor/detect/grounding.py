"""Whether the specifics of an answer have support in what the system had read.

Specifics are what can be looked up word for word: numbers, identifiers, addresses, quotations.
Claims in prose are out of reach of any such rule, and are left to reviewers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from fidelity_otel.model import Finding, Message
from fidelity_otel.processor.detect.evidence import plural, quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.dialects.values import compact, number

__all__ = ["Grounding", "find", "grounding", "specifics"]

_LONGEST_ANSWER: Final = 20_000
_LONGEST_SOURCE: Final = 400_000
_LONGEST_PIECE: Final = 60_000
_MOST_CLAIMS: Final = 60
_MOST_NUMBERS: Final = 500
_SMALL: Final = 100

_SPECIFIC: Final = re.compile(
    r"(?P<address>https?://[^\s)\]>\"']+|[\w.+-]+@[\w-]+\.[\w.]+)"
    r"|[\"“](?P<quote>[^\"“”\n]{12,200})[\"”]"
    r"|(?P<code>\b(?=[A-Za-z\d_-]*\d)(?=[A-Za-z\d_-]*[A-Za-z])[A-Za-z\d][A-Za-z\d_-]{2,40}\b)"
    r"|(?P<number>[$€£]?\s?\d[\d,]*(?:\.\d+)?(?:\s?%)?)"
)
_HINT: Final = re.compile(r"[\d\"“@]|://")
_ASCII_HINT: Final = re.compile(r"[0-9\"@]")  # as above, but looked up in one table
"""Every specific has one of these; most answers of chat have none, and this says so at once."""
_ORDINAL: Final = re.compile(
    r"(?:\d+(?:st|nd|rd|th|am|pm|h|m|s|x|kg|km|gb|mb|min|hrs?)|[ap]m)\Z", re.IGNORECASE
)
_MARKER: Final = re.compile(r"(?m)^\s*(?:#+\s*)?\d{1,2}[.)]\s")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")


class Grounding(NamedTuple):
    """How many specifics an answer holds and which of them have no support."""

    claims: int
    unsupported: tuple[str, ...]


def specifics(answer: str) -> list[tuple[str, str]]:
    """The specifics of an answer as (kind, text), each once, in order; list markers are none."""
    if answer.isascii():
        if _ASCII_HINT.search(answer) is None and "://" not in answer:
            return []
    elif _HINT.search(answer) is None:
        return []
    text = _MARKER.sub(" ", answer[:_LONGEST_ANSWER])
    found: dict[tuple[str, str], None] = {}
    for match in _SPECIFIC.finditer(text):
        kind = match.lastgroup or ""
        shown = match.group(kind).strip(" .,;:*_")
        if kind == "code" and _ORDINAL.search(shown):
            shown = "".join(_NUMBER.findall(shown)[:1])
            kind = "number"
        if kind == "number" and not _telling(shown):
            continue
        if shown:
            found[kind, shown] = None
        if len(found) >= _MOST_CLAIMS:
            break
    return list(found)


def _telling(shown: str) -> bool:
    """Small whole numbers are everywhere: they count for nothing, unless of money or percent."""
    plain = shown.strip("$€£ %").replace(",", "")
    value = number(plain)
    if value is None:
        return False
    return value >= _SMALL or "." in plain or any(sign in shown for sign in "$€£%")


def grounding(answer: str, sources: Iterable[str]) -> Grounding:
    """Look an answer's specifics up in its sources.

    Args:
        answer: what the user got.
        sources: texts that the system had read: documents, tool results, the conversation.

    Returns:
        How many specifics there are, and those that no source holds. A number that is a sum or
        difference of two numbers, or a small multiple of one, of the sources counts as supported.
    """
    claims = specifics(answer)
    if not claims:
        return Grounding(0, ())
    text = "\n".join(sources)[:_LONGEST_SOURCE].lower()
    missing = [(kind, shown) for kind, shown in claims if not _holds(text, kind, shown.lower())]
    numbers = [shown for kind, shown in missing if kind == "number"]
    derived = _derived(numbers, text) if numbers else set()
    return Grounding(len(claims), tuple(shown for _, shown in missing if shown not in derived))


def _holds(text: str, kind: str, shown: str) -> bool:
    if kind == "number":
        plain = shown.strip("$€£ %").replace(",", "")
        forms = {plain}
        value = number(plain)
        if value is not None:
            forms |= {
                f"{value:g}",
                f"{value:.2f}",
                f"{value:,.0f}",
                f"{value:,.2f}",
                f"{value:.1f}",
            }
            if "%" in shown:
                forms.add(f"{value / 100:g}")
        return any(_whole(text, form) for form in forms)
    if kind == "quote":
        return " ".join(shown.split()) in " ".join(text.split()) or shown.rstrip(".!?,") in text
    return shown in text


def _whole(text: str, form: str) -> bool:
    """Whether a number stands in a text as a number of its own, not as digits of a longer one."""
    at, size = text.find(form), len(form)
    for _ in range(50):
        if at < 0:
            return False
        before, after = text[at - 1 : at] if at else "", text[at + size : at + size + 1]
        rest = text[at + size + 1 : at + size + 2]
        longer = after.isdigit() or (after in (".", ",") and rest.isdigit() and "." not in form)
        if not before.isdigit() and not (longer and not (after == "." and set(rest) <= {"0"})):
            return True
        at = text.find(form, at + 1)
    return True


def _derived(numbers: list[str], text: str) -> set[str]:
    """Those numbers that simple arithmetic on the text's numbers gives."""
    known = {float(n) for n in _NUMBER.findall(text.replace(",", ""))[:_MOST_NUMBERS]}
    out: set[str] = set()
    for shown in numbers:
        value = number(shown.strip("$€£ %").replace(",", ""))
        if value is None:
            continue
        near = any(
            round(value - a, 2) in known
            or round(value + a, 2) in known
            or any(abs(a * factor - value) < 0.011 for factor in range(2, 10))  # noqa: PLR2004
            for a in known
        )
        if near or abs(sum(known) - value) < 0.011:  # noqa: PLR2004
            out.add(shown)
    return out


# --- the detector --------------------------------------------------------------------------------


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """A finding where specifics of the answer have no support in documents or tool results."""
    if not facts.answer or not specifics(facts.answer):
        return
    sources = list(evidence_of(facts))
    if not sources:
        return
    found = grounding(facts.answer, [*sources, *conversation_of(facts)])
    if not found.unsupported or facts.said_so:  # asked last: it reads the answer
        return
    told = ", ".join(quoted(u, 40) for u in found.unsupported[:4])
    more = f" and {len(found.unsupported) - 4} more" if len(found.unsupported) > 4 else ""  # noqa: PLR2004
    span = facts.answering
    yield Finding(
        mode="ungrounded",
        state="unrecovered",
        span_id=span.span_id if span else facts.trace.spans[0].span_id,
        evidence=f"{told}{more} in the answer: of {plural(found.claims, 'specific')} "
        "not in what was retrieved, returned by tools or said.",
        noticed=False,
    )


def evidence_of(facts: Facts) -> Iterator[str]:
    """What retrievals and tools gave."""
    for step in facts.retrievals:
        for document in step.documents or ():
            yield " ".join(
                t for t in (document.title, document.content, document.source, document.id) if t
            )[:_LONGEST_PIECE]
    for step in facts.steps:
        if step.failure is None and step.result is not None:
            yield compact(step.result, _LONGEST_PIECE)
        if step.documents:
            yield " ".join((d.content or "")[:_LONGEST_PIECE] for d in step.documents)


def conversation_of(facts: Facts) -> Iterator[str]:
    """What the user and the instructions said, and what the tools were asked and failed with."""
    yield facts.trace.request
    if facts.chats:
        last = facts.chats[-1]
        yield last.system or ""
        yield from (_all_text(m)[:_LONGEST_PIECE] for m in last.input_messages)
    for step in facts.steps:
        yield step.key
        if step.failure is not None:
            yield step.message


def _all_text(message: Message) -> str:
    """A message's texts, calls and results; what the assistant said before is no evidence."""
    if message.role == "assistant":
        return ""
    return " ".join(
        p.content or (compact(p.response, _LONGEST_PIECE) if p.response is not None else "")
        for p in message.parts
    )
