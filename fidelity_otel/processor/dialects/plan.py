"""Plans for the native reader: what it does with each attribute of spans of certain names.

It reads whole spans that are written in the GenAI conventions' attributes and our own names, which
most are. A plan is three bytes a step: what to do, the field, and which of the attributes. The
order is that of the readers in `own`, `genai` and `GENERAL`, as the first to fill a field wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fidelity_otel import semconv
from fidelity_otel.model import Span, Usage
from fidelity_otel.processor.dialects import genai, own
from fidelity_otel.processor.dialects.draft import Rule
from fidelity_otel.processor.dialects.values import integer

__all__ = ["FIELDS", "STEPS", "plan_of"]

STEPS: Final = (
    *("text", "integer", "usage", "own_value", "operation", "messages", "system", "definitions"),
    *("reasons", "tool_name", "tool_id", "tool_arguments", "tool_result", "documents"),
)
"""What can be done with an attribute, and in `FIELDS` where that goes; as `_read.c` has them."""
FIELDS: Final = Span.__struct_fields__

_READERS: Final = frozenset((own.NAME, genai.NAME))
_NOT_PLANNED: Final = (semconv.FIDELITY_LOSSES, semconv.HTTP_REQUEST_RESEND_COUNT)
_OWN: Final = (
    ("own_value", "input", semconv.FIDELITY_INPUT),
    ("own_value", "output", semconv.FIDELITY_OUTPUT),
    ("integer", "attempts", semconv.FIDELITY_ATTEMPTS),
)
_GENAI: Final = (
    ("operation", "operation", semconv.GEN_AI_OPERATION_NAME),
    ("messages", "input_messages", semconv.GEN_AI_INPUT_MESSAGES),
    ("messages", "output_messages", semconv.GEN_AI_OUTPUT_MESSAGES),
    ("system", "system", semconv.GEN_AI_SYSTEM_INSTRUCTIONS),
    ("definitions", "tool_definitions", semconv.GEN_AI_TOOL_DEFINITIONS),
    ("reasons", "finish_reasons", semconv.GEN_AI_RESPONSE_FINISH_REASONS),
    ("tool_name", "tool", semconv.GEN_AI_TOOL_NAME),
    ("tool_id", "tool", semconv.GEN_AI_TOOL_CALL_ID),
    ("tool_arguments", "tool", semconv.GEN_AI_TOOL_CALL_ARGUMENTS),
    ("tool_result", "tool", semconv.GEN_AI_TOOL_CALL_RESULT),
    ("documents", "documents", semconv.GEN_AI_RETRIEVAL_DOCUMENTS),
)
_MOST: Final = 256


def plan_of(names: Sequence[str], dialects: Sequence[str], general: Iterable[Rule]) -> bytes | None:
    """The plan for spans of these attributes; None where the native reader is not for them.

    Args:
        names: the attributes' names, in the order of the spans' attributes.
        dialects: the names of the dialects that the spans are written in.
        general: the rules that are followed after all dialects.
    """
    if len(names) > _MOST or not _READERS.issuperset(dialects):
        return None
    if not set(names).isdisjoint(_NOT_PLANNED):
        return None
    ways = (*_by_rules(own.RULES), *_OWN, *_by_rules(genai.RULES), *_GENAI, *_by_rules(general))
    places = {name: place for place, name in enumerate(names)}
    plan = bytearray()
    for step, field, name in ways:
        if name in places:
            fields = Usage.__struct_fields__ if step == "usage" else FIELDS
            plan += bytes((STEPS.index(step), fields.index(field), places[name]))
    return bytes(plan)


def _by_rules(rules: Iterable[Rule]) -> Iterable[tuple[str, str, str]]:
    for rule in rules:
        kind = "integer" if rule.read is integer else "text"
        yield "usage" if rule.usage else kind, rule.field, rule.name
