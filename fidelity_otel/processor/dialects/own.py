"""Our own names: what the SDK writes beside the GenAI conventions."""

from __future__ import annotations

from typing import Final

from fidelity_otel import semconv
from fidelity_otel.processor.dialects.draft import Draft, Rule
from fidelity_otel.processor.dialects.values import integer, text, texts
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "RULES", "read"]

NAME: Final = "fidelity"
RULES: Final = (
    Rule("workflow", semconv.FIDELITY_WORKFLOW, text),
    Rule("release", semconv.FIDELITY_RELEASE, text),
    Rule("attempt", semconv.FIDELITY_ATTEMPT, integer),
    Rule("recovery", semconv.FIDELITY_RECOVERY, text),
)


def read(raw: RawSpan, draft: Draft) -> None:
    """Read the other `fidelity.*` attributes and attempt events into the draft."""
    get = raw.attributes.get
    for field, name in (("input", semconv.FIDELITY_INPUT), ("output", semconv.FIDELITY_OUTPUT)):
        value = get(name)
        if value is not None and field not in draft.fields:
            draft.fields[field] = draft.value(value)  # an empty answer is an answer
    draft.losses += texts(get(semconv.FIDELITY_LOSSES))
    failed = sum(event.name == semconv.FIDELITY_ATTEMPT_EVENT for event in raw.events)
    attempts = integer(get(semconv.FIDELITY_ATTEMPTS))
    if attempts is None and failed:
        attempts = failed + (raw.status_code != 2)  # noqa: PLR2004 - 2 is OTLP's error
    draft.put("attempts", attempts)
