"""How conversation, user, workflow and release sit in OTel's context and travel as baggage."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import baggage, context
from opentelemetry.context import Context

from fidelity_otel import semconv as sc

__all__ = ["values_in", "with_marks", "with_values"]

BAGGAGE_KEYS: Final = {
    "fidelity.conversation": sc.GEN_AI_CONVERSATION_ID,
    "fidelity.workflow": sc.FIDELITY_WORKFLOW,
    "fidelity.release": sc.FIDELITY_RELEASE,
}
_USER_KEY: Final = context.create_key("fidelity-user")
_MARKS_KEY: Final = context.create_key("fidelity-marks")
_BAGGAGE_KEY: Final = next(iter(baggage.set_baggage("a", "b", Context())))
_LENGTH: Final = 256


def with_values(
    *,
    conversation: str | None,
    user: str | None,
    workflow: str | None,
    release: str | None,
    base: Context | None = None,
) -> Context:
    """The context with these values set; None leaves what is there."""
    found = base if base is not None else context.get_current()
    pairs = zip(BAGGAGE_KEYS, (conversation, workflow, release), strict=True)
    for key, value in pairs:
        if value is not None:
            found = baggage.set_baggage(key, str(value)[:_LENGTH], found)
    return found if user is None else context.set_value(_USER_KEY, str(user)[:_LENGTH], found)


def with_marks(marks: dict[str, Any]) -> Context:
    """The current context with attributes for the next span that starts in it, and only that."""
    return context.set_value(_MARKS_KEY, dict(marks))


def values_in(found: Context | None) -> dict[str, Any]:
    """The attributes that a context asks every span within it to carry."""
    current = context.get_current() if found is None else found
    out: dict[str, Any] = {}
    if _BAGGAGE_KEY in current:
        carried = baggage.get_all(current)
        for key, attribute in BAGGAGE_KEYS.items():
            if isinstance(value := carried.get(key), str):
                out[attribute] = value
    marks = current.get(_MARKS_KEY)
    if isinstance(marks, dict) and marks:
        out.update(marks)
        marks.clear()  # for one span only
    if isinstance(user := current.get(_USER_KEY), str):
        out[sc.USER_ID] = user
    return out
