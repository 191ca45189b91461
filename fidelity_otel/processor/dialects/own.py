"""Our own names: what the SDK writes beside the GenAI conventions."""

from __future__ import annotations

from typing import Final

from fidelity_otel import semconv
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.values import integer, text, texts
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "read"]

NAME: Final = "fidelity"


def read(raw: RawSpan, draft: Draft) -> None:
    """Read the `fidelity.*` attributes and attempt events into the draft."""
    get = raw.attributes.get
    draft.put("workflow", text(get(semconv.FIDELITY_WORKFLOW)))
    draft.put("release", text(get(semconv.FIDELITY_RELEASE)))
    for field, name in (("input", semconv.FIDELITY_INPUT), ("output", semconv.FIDELITY_OUTPUT)):
        value = get(name)
        if value is not None and field not in draft.fields:
            draft.fields[field] = draft.value(value)  # an empty answer is an answer
    draft.losses += texts(get(semconv.FIDELITY_LOSSES))
    draft.put("attempt", integer(get(semconv.FIDELITY_ATTEMPT)))
    failed = sum(event.name == semconv.FIDELITY_ATTEMPT_EVENT for event in raw.events)
    attempts = integer(get(semconv.FIDELITY_ATTEMPTS))
    if attempts is None and failed:
        attempts = failed + (raw.status_code != 2)  # noqa: PLR2004 - 2 is OTLP's error
    draft.put("attempts", attempts)
    draft.put("recovery", text(get(semconv.FIDELITY_RECOVERY)))
