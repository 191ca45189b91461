"""Outcomes that travel as spans: our carrier span, and `gen_ai.evaluation.result` events."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from fidelity_otel import semconv
from fidelity_otel.model import Event, Outcome, OutcomeRef
from fidelity_otel.processor.dialects.values import integer, number, text
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["is_carrier", "outcomes_of"]

_LABELS: Final = {
    **dict.fromkeys(("right", "correct", "pass", "passed", "true", "yes", "success", "good"), 1.0),
    **dict.fromkeys(("wrong", "incorrect", "fail", "failed", "false", "no", "failure", "bad"), 0.0),
    **dict.fromkeys(("partly", "partial", "partially_correct"), 0.5),
}


def is_carrier(raw: RawSpan) -> bool:
    """Whether a span only carries an outcome: it says nothing of its own trace."""
    return raw.name == semconv.FIDELITY_OUTCOME_SPAN


def outcomes_of(spans: Sequence[RawSpan]) -> tuple[Outcome, ...]:
    """The outcomes that a trace's spans carry, each id once (the last one said wins).

    An explicit reference on the carrier beats its link, and the link beats the ambient span. An
    evaluation event without a carrier is about the span that it sits on, or the response it names.
    """
    found: dict[str, Outcome] = {}
    for raw in spans:
        if is_carrier(raw):
            one = _carried(raw)
            if one is not None:
                found[one.id] = one
            continue
        for event in raw.events:
            if event.name == semconv.GEN_AI_EVALUATION_RESULT:
                one = _evaluated(raw, event)
                if one is not None:
                    found[one.id] = one
    return tuple(found.values())


def value_of(value: Any, label: str | None) -> float | None:
    """An outcome's value 0–1, from the number given, else from a label that says right or wrong."""
    if isinstance(value, bool):
        return float(value)
    given = number(value)
    if given is not None:
        return given
    return _LABELS.get(label.lower()) if label else None


def _carried(raw: RawSpan) -> Outcome | None:
    event = next((e for e in raw.events if e.name == semconv.GEN_AI_EVALUATION_RESULT), None)
    said = {**(event.attributes if event else {}), **raw.attributes}
    name = text(said.get(semconv.FIDELITY_OUTCOME_NAME, said.get(semconv.GEN_AI_EVALUATION_NAME)))
    if name is None:
        return None
    label = text(
        said.get(semconv.FIDELITY_OUTCOME_LABEL, said.get(semconv.GEN_AI_EVALUATION_SCORE_LABEL))
    )
    value = said.get(
        semconv.FIDELITY_OUTCOME_VALUE, said.get(semconv.GEN_AI_EVALUATION_SCORE_VALUE)
    )
    return Outcome(
        id=text(said.get(semconv.FIDELITY_OUTCOME_ID)) or f"{raw.trace_id}:{raw.span_id}",
        ref=_reference(raw, said),
        name=name,
        value=value_of(value, label),
        label=label,
        source=text(said.get(semconv.FIDELITY_OUTCOME_SOURCE)) or "",
        observed_ns=integer(said.get(semconv.FIDELITY_OUTCOME_OBSERVED_AT)) or raw.start_ns,
        received_ns=raw.end_ns or raw.start_ns,
        supersedes=text(said.get(semconv.FIDELITY_OUTCOME_SUPERSEDES)),
        explanation=text(
            said.get(
                semconv.FIDELITY_OUTCOME_EXPLANATION,
                said.get(semconv.GEN_AI_EVALUATION_EXPLANATION),
            )
        ),
    )


def _reference(raw: RawSpan, said: dict[str, Any]) -> OutcomeRef:
    key_name = text(said.get(semconv.FIDELITY_OUTCOME_KEY_NAME))
    key_value = text(said.get(semconv.FIDELITY_OUTCOME_KEY_VALUE))
    response_id = text(
        said.get(semconv.FIDELITY_OUTCOME_RESPONSE_ID, said.get(semconv.GEN_AI_RESPONSE_ID))
    )
    trace_id = text(said.get(semconv.FIDELITY_OUTCOME_TRACE_ID))
    span_id = text(said.get(semconv.FIDELITY_OUTCOME_SPAN_ID))
    if not trace_id and not response_id and not (key_name and key_value):
        if len(raw.links) == 1:
            trace_id, span_id = raw.links[0].trace_id, raw.links[0].span_id
        elif raw.parent_id is not None:
            trace_id, span_id = raw.trace_id, raw.parent_id
    return OutcomeRef(
        trace_id=trace_id.lower() if trace_id else None,
        span_id=span_id.lower() if span_id else None,
        response_id=response_id,
        key_name=key_name if key_value else None,
        key_value=key_value if key_name else None,
    )


def _evaluated(raw: RawSpan, event: Event) -> Outcome | None:
    get = event.attributes.get
    name = text(get(semconv.GEN_AI_EVALUATION_NAME))
    if name is None:
        return None
    label = text(get(semconv.GEN_AI_EVALUATION_SCORE_LABEL))
    response_id = text(get(semconv.GEN_AI_RESPONSE_ID))
    given = text(get(semconv.FIDELITY_OUTCOME_ID))
    said = f"{raw.trace_id}:{raw.span_id}:{event.time_ns}:{name}:{response_id or ''}"
    return Outcome(
        id=given or sha256(said.encode("utf-8", "replace")).hexdigest()[:32],
        ref=OutcomeRef(trace_id=raw.trace_id, span_id=raw.span_id, response_id=response_id),
        name=name,
        value=value_of(get(semconv.GEN_AI_EVALUATION_SCORE_VALUE), label),
        label=label,
        source=text(get(semconv.FIDELITY_OUTCOME_SOURCE)) or raw.scope_name,
        observed_ns=event.time_ns or raw.end_ns,
        received_ns=raw.end_ns or event.time_ns,
        explanation=text(get(semconv.GEN_AI_EVALUATION_EXPLANATION)),
    )
