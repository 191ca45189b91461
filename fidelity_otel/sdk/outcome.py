"""Late evidence: a reference now, `outcome(reference, …)` in minutes or months, from anywhere."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.model import OutcomeRef
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.reference import Handle, parse_reference
from fidelity_otel.sdk.state import STATE

__all__ = ["bind", "handle", "outcome", "outcome_attributes"]

_SECONDS_UNTIL: Final = 1e11  # a number below is seconds since the epoch, above nanoseconds
_KEY_LENGTH: Final = 256


def handle() -> Handle:
    """A reference to the current trace and span: a string to store beside the answer.

    Empty (and false) outside of a span, or while the SDK is off.
    """
    recorder = STATE.recorder
    if recorder is None:
        return Handle()
    try:
        return recorder.handle()
    except Exception as error:  # noqa: BLE001
        guard.trip("handle", error)
        return Handle()


def bind(name: str, value: object) -> None:
    """Attach a business key ("ticket", "T-42") to the current trace, for outcomes to refer to.

    Args:
        name: of the key.
        value: its value, as a text of at most 256 characters.
    """
    recorder = STATE.recorder
    if recorder is None:
        return
    try:
        span = recorder.current()
        if span is None:
            guard.note("bind", "bind(%r) outside of a span: nothing to attach it to", name)
            return
        text = recorder.private(sc.FIDELITY_KEY_PREFIX + name, str(value)[:_KEY_LENGTH])
        span.set_attribute(sc.FIDELITY_KEY_PREFIX + name, text)
    except Exception as error:  # noqa: BLE001
        guard.trip("bind", error)


def outcome(
    reference: Handle | str | tuple[str, object] | OutcomeRef | None,
    name: str,
    value: float | bool | str | None = None,
    *,
    label: str | None = None,
    source: str = "",
    observed_at: dt.datetime | float | str | None = None,
    id: str | None = None,  # noqa: A002 - the word for it
    supersedes: str | None = None,
    explanation: str | None = None,
) -> str:
    """Say what became of an answer.

    Args:
        reference: a handle, a trace id, a business key as `("ticket", "T-42")`, or a provider's
            response id. Only where it is None, the current span is meant.
        name: of what was observed ("resolved", "thumbs").
        value: 0 to 1, 1 = right; a bool stands for 0 or 1, a text is taken as the label.
        label: a word for it ("reopened").
        source: who says so ("helpdesk", "human").
        observed_at: when it was true; datetime, ISO 8601 text, or seconds since the epoch. Now, by
            default.
        id: makes it idempotent; made from reference, name, source, value, label and a given
            observed_at by default, so that saying the same twice counts once.
        supersedes: id of an earlier outcome that this one replaces.
        explanation: a sentence.

    Returns:
        The outcome's id; empty where nothing was sent.
    """
    recorder = STATE.recorder
    if recorder is None:
        return ""
    try:
        found = parse_reference(recorder.handle() if reference is None else reference)
        if found is None:
            guard.note(
                "outcome", "outcome(%r): the reference %r refers to nothing", name, reference
            )
            return ""
        attributes = outcome_attributes(
            found,
            name,
            value,
            label=label,
            source=source,
            observed_ns=_nanoseconds(observed_at),
            id=id,
            supersedes=supersedes,
            explanation=explanation,
            now_ns=time.time_ns(),
        )
        recorder.carry(found, attributes)
        return str(attributes[sc.FIDELITY_OUTCOME_ID])
    except Exception as error:  # noqa: BLE001
        guard.trip("outcome", error)
        return ""


def outcome_attributes(
    reference: OutcomeRef,
    name: str,
    value: Any,
    *,
    label: str | None,
    source: str,
    observed_ns: int | None,
    id: str | None,  # noqa: A002
    supersedes: str | None,
    explanation: str | None,
    now_ns: int,
) -> dict[str, Any]:
    """The attributes of the carrier span `fidelity.outcome`."""
    if isinstance(value, str):
        label, value = label or value, None
    number = None if value is None else float(value)
    if number is not None and not 0 <= number <= 1:
        guard.note("outcome", "outcome value %r is not within 0 and 1; kept as its label", value)
        label, number = label or repr(value), None
    identity = id or _identity(reference, str(name), source, number, label, observed_ns)
    pairs = {
        sc.FIDELITY_OUTCOME_ID: identity,
        sc.FIDELITY_OUTCOME_NAME: str(name),
        sc.FIDELITY_OUTCOME_VALUE: number,
        sc.FIDELITY_OUTCOME_LABEL: label,
        sc.FIDELITY_OUTCOME_SOURCE: source or None,
        sc.FIDELITY_OUTCOME_OBSERVED_AT: now_ns if observed_ns is None else observed_ns,
        sc.FIDELITY_OUTCOME_SUPERSEDES: supersedes,
        sc.FIDELITY_OUTCOME_EXPLANATION: explanation,
        sc.FIDELITY_OUTCOME_TRACE_ID: reference.trace_id,
        sc.FIDELITY_OUTCOME_SPAN_ID: reference.span_id,
        sc.FIDELITY_OUTCOME_RESPONSE_ID: reference.response_id,
        sc.FIDELITY_OUTCOME_KEY_NAME: reference.key_name,
        sc.FIDELITY_OUTCOME_KEY_VALUE: reference.key_value,
        sc.GEN_AI_OPERATION_NAME: "evaluation",
    }
    return {key: held for key, held in pairs.items() if held is not None}


def evaluation_event(attributes: dict[str, Any]) -> dict[str, Any]:
    """The same in the terms of the event `gen_ai.evaluation.result`."""
    names = {
        sc.GEN_AI_EVALUATION_NAME: sc.FIDELITY_OUTCOME_NAME,
        sc.GEN_AI_EVALUATION_SCORE_VALUE: sc.FIDELITY_OUTCOME_VALUE,
        sc.GEN_AI_EVALUATION_SCORE_LABEL: sc.FIDELITY_OUTCOME_LABEL,
        sc.GEN_AI_EVALUATION_EXPLANATION: sc.FIDELITY_OUTCOME_EXPLANATION,
        sc.GEN_AI_RESPONSE_ID: sc.FIDELITY_OUTCOME_RESPONSE_ID,
    }
    return {theirs: attributes[ours] for theirs, ours in names.items() if ours in attributes}


def _identity(reference: OutcomeRef, *said_of_it: object) -> str:
    about = (
        reference.trace_id,
        reference.span_id,
        reference.response_id,
        reference.key_name,
        reference.key_value,
    )
    said = repr((about, said_of_it))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]


def _nanoseconds(moment: dt.datetime | float | str | None) -> int | None:
    if moment is None:
        return None
    if isinstance(moment, str):
        moment = dt.datetime.fromisoformat(moment)
    if isinstance(moment, dt.datetime):
        if moment.tzinfo is None:  # as everywhere in Python, a naive time is local
            moment = moment.astimezone()
        whole = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return (whole.days * 86_400 + whole.seconds) * 10**9 + whole.microseconds * 1000
    return int(moment * 1e9) if moment < _SECONDS_UNTIL else int(moment)
