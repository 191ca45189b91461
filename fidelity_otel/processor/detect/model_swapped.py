"""Another model answered than the one that was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from fidelity_otel.model import Finding, Span
from fidelity_otel.processor.detect.evidence import plural
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, without_success
from fidelity_otel.processor.detect.settings import DetectSettings

__all__ = ["find", "same_model"]

_PREFIX: Final = re.compile(
    r"^(?:(?:us|eu|apac|global|jp|au)\.)?"
    r"(?:(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|google)\.)?"
)
_SUFFIX: Final = re.compile(
    r"(?:[-@_.](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{4}|\d{2}-\d{2}|\d{3}|v\d+(?:[.:]\d+)?"
    r"|latest|preview|exp"
    r"|stable|gguf|q\d\w*|f16|instruct|chat|it)|:\d+)+$"
)
_PROVIDERS: Final = ("openai", "anthropic", "ollama", "google", "mistral", "bedrock", "groq")
_NAME: Final = 200  # characters of a name that are looked at, and kept
_OPAQUE: Final = ("azure", "openai_compatible", "router", "gateway", "litellm")


@lru_cache(maxsize=1024)
def same_model(asked: str, used: str) -> bool:
    """Whether two names mean the same model: versions, dates, regions and folders don't count."""
    one, two = _plain(asked), _plain(used)
    if not one or not two or one == two or asked == used:
        return True
    short, long = sorted((one, two), key=len)
    # "claude-sonnet" may be resolved to "claude-sonnet-4-5", but "gpt-4" never to "gpt-4-1".
    return (
        long.startswith(short + "-")
        and long[len(short) + 1 : len(short) + 2].isdigit()
        and not any(c.isdigit() for c in short.rsplit("-", 1)[-1])
    )


def _plain(name: str) -> str:
    text = name.strip().lower().replace("\\", "/").rsplit("/", 1)[-1]
    head, colon, rest = text.partition(":")
    if colon:
        text = rest if head in _PROVIDERS else head if not rest.isdigit() else text
    return _SUFFIX.sub("", _PREFIX.sub("", text, count=1))


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """One finding a pair of names where a call was answered by another model."""
    pairs: dict[tuple[str, str], list[Span]] = {}
    for chat in facts.chats:
        asked, used = chat.model_requested, chat.model_used
        if not asked or not used or asked == used:
            continue
        pair = (asked[:_NAME], used[:_NAME])
        if not same_model(*pair) and not _opaque(chat):
            pairs.setdefault(pair, []).append(chat)
    for (asked, used), chats in pairs.items():
        first = chats[0]
        recovery = without_success(facts, first.start_ns)
        if first.recovery == "fallback":
            recovery = Recovery("recovered", "fallback", first.end_ns, noticed=True)
        yield Finding(
            mode="model_swapped",
            state=recovery.state,
            span_id=first.span_id,
            evidence=f"{asked[:60]} was asked for and {used[:60]} answered, in "
            f"{plural(len(chats), 'call')}.",
            span_ids=tuple(c.span_id for c in chats),
            recovered_by=recovery.by,
            noticed=recovery.noticed,
        )


def _opaque(chat: Span) -> bool:
    """Deployments and routers have names of their own, which say nothing of the model."""
    provider = (chat.provider or "").lower()
    return any(word in provider for word in _OPAQUE)
