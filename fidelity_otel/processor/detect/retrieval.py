"""Retrieval that brings nothing, or brings what is out of date."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fidelity_otel.model import Document, Finding
from fidelity_otel.processor.detect.evidence import quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, leaves, of_retrieval, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.step import Step
from fidelity_otel.processor.detect.tool_failures import elapsed, ending
from fidelity_otel.processor.detect.words import common

__all__ = ["find_empty", "find_stale"]

_DAY_NS = 86_400 * 10**9
_SEARCHING = re.compile(r"search|retriev|look_?up|query|find|recall|knowledge|faq", re.IGNORECASE)


def find_empty(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of retrievals, and of searching tools, that found nothing."""
    for step in facts.retrievals:
        if step.documents == () and step.failure is None:
            yield _empty(step, "The retrieval", of_retrieval(facts, step))
    last: dict[str, Step] = {}
    for step in facts.steps:
        if step.failure is None and _is_empty(step) and _SEARCHING.search(step.name):
            last[step.name] = step
    for name, step in last.items():
        yield _empty(step, f"Tool {name}", _of_search(facts, step))


def _is_empty(step: Step) -> bool:
    result = step.result
    if step.documents is not None:
        return step.documents == ()
    if result in ([], {}, "[]", "{}", "null"):
        return True
    if isinstance(result, dict) and len(result) <= 4:  # noqa: PLR2004 - a list with its frame
        lists = [v for v in result.values() if isinstance(v, list)]
        return len(lists) == 1 and not lists[0]
    return False


def _of_search(facts: Facts, failed: Step) -> Recovery:
    wanted = leaves(failed.arguments)
    for step in facts.steps[failed.index + 1 : failed.index + 33]:
        if step.failure is not None or not _SEARCHING.search(step.name) or _is_empty(step):
            continue
        if step.name == failed.name or not leaves(step.arguments).isdisjoint(wanted):
            by = "requery" if step.name == failed.name else "other_tool"
            return Recovery("recovered", by, step.end_ns, noticed=True)
    return without_success(facts, failed.start_ns)


def _empty(step: Step, noun: str, recovery: Recovery) -> Finding:
    asked = f" for {quoted(step.key)}" if step.key != "{}" else ""
    return Finding(
        mode="retrieval_empty",
        state=recovery.state,
        span_id=step.span_id,
        evidence=f"{noun} found nothing{asked}{ending(recovery, step.end_ns)}.",
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=elapsed(recovery, step.end_ns),
    )


# --- stale ---------------------------------------------------------------------------------------


def find_stale(
    facts: Facts, settings: DetectSettings, now_ns: int | None = None
) -> Iterator[Finding]:
    """Findings of retrievals whose documents are superseded or older than the setting allows.

    Age is counted at the time of the request (`now_ns` where given). Where fresh documents came
    along and the answer's words are nearer to one of those, the stale one did no harm: no finding.
    """
    told: set[str] = set()
    for step in facts.retrievals:
        if not step.documents:
            continue
        at = now_ns if now_ns is not None else step.start_ns
        stale = [(d, why) for d in step.documents if (why := _stale(d, at, settings)) is not None]
        if not stale:
            continue
        fresh = [d for d in step.documents if _stale(d, at, settings) is None]
        worst = max(stale, key=lambda pair: _nearness(pair[0], facts.answer))
        if fresh and facts.answer and _nearest_is_fresh(fresh, worst[0], facts.answer):
            continue
        label = _label(worst[0])
        if label in told:  # one finding a document, however often it comes up
            continue
        told.add(label)
        recovery = _refreshed(facts, settings, step, at)
        yield _stale_finding(step, worst, len(stale), recovery)


def _refreshed(facts: Facts, settings: DetectSettings, step: Step, at: int) -> Recovery:
    for later in facts.retrievals[step.index + 1 : step.index + 9]:
        if later.documents and all(_stale(d, at, settings) is None for d in later.documents):
            return Recovery("recovered", "requery", later.end_ns, noticed=True)
    return without_success(facts, step.start_ns)


def _stale_finding(
    step: Step, worst: tuple[Document, str], count: int, recovery: Recovery
) -> Finding:
    document, why = worst
    of = f"{count} of {len(step.documents or ())} documents"
    return Finding(
        mode="retrieval_stale",
        state=recovery.state,
        span_id=step.span_id,
        evidence=f"Retrieved {quoted(_label(document), 60)}, which {why} ({of} out of date)"
        f"{ending(recovery, step.end_ns)}.",
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=elapsed(recovery, step.end_ns),
    )


def _label(document: Document) -> str:
    return document.title or document.id or document.source or (document.content or "")[:40]


def _stale(document: Document, at_ns: int, settings: DetectSettings) -> str | None:
    """Why a document is out of date, or None."""
    if document.superseded_by and document.superseded_by.lower() not in ("none", "null", "false"):
        return f"is superseded by {quoted(document.superseded_by, 40)}"
    told = document.updated_at or document.indexed_at
    when = instant(told)
    if when is None or at_ns <= 0:
        return None
    days = (at_ns - when) / _DAY_NS
    if days > settings.stale_days:
        verb = "was last updated" if document.updated_at else "was indexed"
        return f"{verb} {days:.0f} days before"
    return None


def instant(value: Any) -> int | None:
    """Nanoseconds since the epoch of an ISO 8601 text or a Unix time (s, ms); else None."""
    if not isinstance(value, str) or not value or len(value) > 40:  # noqa: PLR2004
        return None
    return _instant(value)


@lru_cache(maxsize=2048)  # the same documents are found over and over
def _instant(value: str) -> int | None:
    if value.replace(".", "", 1).isdigit() and len(value) >= 9:  # noqa: PLR2004 - a Unix time
        seconds = float(value)
        seconds = seconds / 1000 if seconds > 1e11 else seconds  # noqa: PLR2004 - milliseconds
        return int(seconds * 1e9) if seconds < 1e11 else None  # noqa: PLR2004
    try:
        when = datetime.fromisoformat(value)
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        return int(when.timestamp()) * 10**9
    except (ValueError, OverflowError, OSError):
        return None


def _nearest_is_fresh(fresh: Sequence[Document], stale: Document, answer: str) -> bool:
    return max(_nearness(d, answer) for d in fresh) > _nearness(stale, answer)


def _nearness(document: Document, answer: str) -> int:
    """How many of the answer's words a document holds."""
    return common(answer, document.content or "")
