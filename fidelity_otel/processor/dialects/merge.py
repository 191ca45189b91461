"""One call that two instrumentations recorded becomes one span, and its tokens count once.

A framework and the client under it, or a client that traces itself and a patch around it, each
write a span for the same model call. Such pairs are nested, come from different scopes and name the
same response or no other; siblings are the same call where they carry the same response id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fidelity_otel.model import Span, ToolCall

__all__ = ["merged"]

_MERGED: Final = frozenset(("chat", "embeddings", "execute_tool", "rerank", "retrieval"))
_NOTHING: Final[tuple[Any, ...]] = (None, (), "")
_FILLED: Final = (
    "error_type",
    "status_message",
    "provider",
    "model_requested",
    "model_used",
    "response_id",
    "system",
    "input_messages",
    "output_messages",
    "finish_reasons",
    "usage",
    "tool_definitions",
    "query",
    "documents",
    "input",
    "output",
    "attempt",
    "attempts",
    "recovery",
    "agent",
    "conversation_id",
    "user_id",
)


def merged(spans: Sequence[Span]) -> list[Span]:
    """The spans with duplicates of one call merged and usage only where it was spent.

    Args:
        spans: all spans of a trace, each id once, in order of start.
    """
    if len({s.scope for s in spans if s.operation in _MERGED}) > 1:
        spans = _without_duplicates(spans)
    return _usage_once(spans)


def _without_duplicates(spans: Sequence[Span]) -> list[Span]:
    by_id = {s.span_id: s for s in spans}
    into = _pairs(spans, by_id)
    if not into:
        return list(spans)
    for inner_id in sorted(into, key=lambda i: by_id[i].start_ns, reverse=True):
        outer_id = _end_of(into, inner_id)
        by_id[outer_id] = _union(by_id[outer_id], by_id[inner_id])
    out = []
    for span in spans:
        if span.span_id in into:
            continue
        kept = by_id[span.span_id]
        parent = kept.parent_id
        if parent in into:
            kept = msgspec.structs.replace(kept, parent_id=_end_of(into, parent))
        out.append(kept)
    return out


def _pairs(spans: Sequence[Span], by_id: dict[str, Span]) -> dict[str, str]:
    """The duplicates: inner span id → outer span id."""
    inner_of: dict[str, list[str]] = {}
    responses: dict[tuple[str, str], Span] = {}
    for span in spans:
        if span.operation not in _MERGED or span.attempt is not None:
            continue
        outer = _outer(span, by_id)
        if outer is not None and _same_call(outer, span):
            inner_of.setdefault(outer.span_id, []).append(span.span_id)
        elif span.response_id:
            first = responses.setdefault((span.operation, span.response_id), span)
            if first is not span and first.scope != span.scope:
                inner_of.setdefault(first.span_id, []).append(span.span_id)
    # Several inner calls are attempts or steps of the outer one, not one duplicate.
    return {inner[0]: outer for outer, inner in inner_of.items() if len(inner) == 1}


def _end_of(into: dict[str, str], span_id: str) -> str:
    seen: set[str] = set()
    while span_id in into and span_id not in seen:
        seen.add(span_id)
        span_id = into[span_id]
    return span_id


def _outer(span: Span, by_id: dict[str, Span]) -> Span | None:
    """The nearest ancestor of the same operation, with nothing but plain spans between."""
    parent_id, steps = span.parent_id, 0
    while parent_id is not None and steps < 8:  # noqa: PLR2004 - instrumentations nest shallowly
        parent = by_id.get(parent_id)
        if parent is None or parent is span:
            return None
        if parent.operation == span.operation:
            return parent
        if parent.operation:
            return None
        parent_id, steps = parent.parent_id, steps + 1
    return None


def _same_call(outer: Span, inner: Span) -> bool:
    if outer.scope == inner.scope or outer.attempt is not None:
        return False
    if outer.response_id and inner.response_id:
        return outer.response_id == inner.response_id
    if outer.tool is not None and inner.tool is not None:
        return outer.tool.name == inner.tool.name
    return True


def _union(outer: Span, inner: Span) -> Span:
    """The outer span with what only the inner one says."""
    changes: dict[str, Any] = {}
    for name in _FILLED:
        ours, theirs = getattr(outer, name), getattr(inner, name)
        if ours in _NOTHING and theirs not in _NOTHING:
            changes[name] = theirs
    if outer.tool is not None and inner.tool is not None:
        changes["tool"] = _union_tool(outer.tool, inner.tool)
    dialects = dict.fromkeys([*outer.dialect.split("+"), *inner.dialect.split("+")])
    changes["dialect"] = "+".join(d for d in dialects if d)
    changes["losses"] = tuple(dict.fromkeys([*outer.losses, *inner.losses]))
    changes["events"] = outer.events + inner.events
    changes["attributes"] = {**inner.attributes, **outer.attributes}
    changes["merged"] = (*outer.merged, inner.span_id, *inner.merged)
    return msgspec.structs.replace(outer, **changes)


def _union_tool(outer: ToolCall, inner: ToolCall) -> ToolCall:
    changes = {
        name: getattr(inner, name)
        for name in ("id", "arguments", "arguments_text", "result", "error")
        if getattr(outer, name) is None and getattr(inner, name) is not None
    }
    return msgspec.structs.replace(outer, **changes) if changes else outer


def _usage_once(spans: Sequence[Span]) -> list[Span]:
    """Drop the usage of spans that only sum up what spans below them used."""
    spending = [s for s in spans if s.usage is not None]
    if len(spending) < 2:  # noqa: PLR2004
        return list(spans)
    by_id = {s.span_id: s for s in spans}
    above: set[str] = set()
    for span in spending:
        parent_id = span.parent_id
        while parent_id is not None and parent_id not in above:
            parent = by_id.get(parent_id)
            if parent is None:
                break
            above.add(parent_id)
            parent_id = parent.parent_id
    return [
        msgspec.structs.replace(s, usage=None) if s.usage is not None and s.span_id in above else s
        for s in spans
    ]
