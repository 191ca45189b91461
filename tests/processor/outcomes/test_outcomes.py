"""Outcomes that travel as spans."""

from __future__ import annotations

from typing import Any

import pytest

from fidelity_otel import semconv as s
from fidelity_otel.model import Event, Link, OutcomeRef
from fidelity_otel.processor.outcomes import outcomes_of
from fidelity_otel.processor.rawspan import RawSpan

TRACE, SPAN = "ab" * 16, "cd" * 8
OTHER = Link("12" * 16, "34" * 8)


def carrier(parent: str | None = None, links: tuple[Link, ...] = (), **more: Any) -> RawSpan:
    given = {s.FIDELITY_OUTCOME_NAME: "resolved", s.FIDELITY_OUTCOME_VALUE: 1.0}
    given |= {getattr(s, f"FIDELITY_OUTCOME_{key.upper()}"): value for key, value in more.items()}
    return RawSpan(
        TRACE,
        SPAN,
        s.FIDELITY_OUTCOME_SPAN,
        parent,
        start_ns=5,
        end_ns=6,
        attributes=given,
        links=links,
    )


def test_a_carrier_says_everything() -> None:
    (found,) = outcomes_of(
        [
            carrier(
                id="o-1",
                label="yes",
                source="tickets",
                observed_at=4,
                supersedes="o-0",
                explanation="closed",
                trace_id="EF" * 16,
                span_id="12" * 8,
            )
        ]
    )
    assert found.id == "o-1"
    assert found.ref == OutcomeRef(trace_id="ef" * 16, span_id="12" * 8)
    assert (found.name, found.value, found.label) == ("resolved", 1.0, "yes")
    assert (found.source, found.observed_ns, found.supersedes) == ("tickets", 4, "o-0")
    assert found.explanation == "closed"


@pytest.mark.parametrize(
    ("given", "reference"),
    [
        ({"trace_id": "ef" * 16, "links": (OTHER,)}, OutcomeRef(trace_id="ef" * 16)),
        ({"links": (OTHER,), "parent": "56" * 8}, OutcomeRef(OTHER.trace_id, OTHER.span_id)),
        ({"parent": "56" * 8}, OutcomeRef(TRACE, "56" * 8)),
        ({"links": (OTHER, OTHER)}, OutcomeRef()),
        ({"response_id": "r-1", "links": (OTHER,)}, OutcomeRef(response_id="r-1")),
        (
            {"key_name": "ticket", "key_value": "T-1", "parent": "56" * 8},
            OutcomeRef(key_name="ticket", key_value="T-1"),
        ),
        ({"key_name": "ticket"}, OutcomeRef()),
    ],
)
def test_an_explicit_reference_beats_a_link_beats_the_ambient_span(
    given: dict[str, Any], reference: OutcomeRef
) -> None:
    (found,) = outcomes_of([carrier(**given)])
    assert found.ref == reference


@pytest.mark.parametrize(
    ("value", "label", "expected"),
    [
        (0.25, None, 0.25),
        (True, None, 1.0),
        (None, "wrong", 0.0),
        (None, "PASS", 1.0),
        (None, "purple", None),
        ("0.5", None, 0.5),
        ([1], None, None),
    ],
)
def test_values_come_from_numbers_else_from_telling_labels(
    value: Any, label: str | None, expected: float | None
) -> None:
    (found,) = outcomes_of([carrier(value=value, label=label)])
    assert found.value == expected


def test_the_event_on_a_carrier_fills_what_the_span_does_not_say() -> None:
    event = Event(
        s.GEN_AI_EVALUATION_RESULT,
        5,
        {s.GEN_AI_EVALUATION_NAME: "resolved", s.GEN_AI_EVALUATION_SCORE_VALUE: 0.0},
    )
    span = RawSpan(TRACE, SPAN, s.FIDELITY_OUTCOME_SPAN, start_ns=9, events=(event,))
    (found,) = outcomes_of([span])
    assert (found.name, found.value, found.observed_ns) == ("resolved", 0.0, 9)


def test_an_evaluation_event_is_about_its_span_and_stays_the_same_outcome() -> None:
    event = Event(
        s.GEN_AI_EVALUATION_RESULT,
        7,
        {
            s.GEN_AI_EVALUATION_NAME: "relevance",
            s.GEN_AI_EVALUATION_SCORE_LABEL: "fail",
            s.GEN_AI_RESPONSE_ID: "r-1",
        },
    )
    span = RawSpan(TRACE, SPAN, "chat", end_ns=8, events=(event,), scope_name="judge")
    (found,) = outcomes_of([span])
    assert found.ref == OutcomeRef(trace_id=TRACE, span_id=SPAN, response_id="r-1")
    assert (found.value, found.source) == (0.0, "judge")
    assert outcomes_of([span, span]) == (found,)


def test_a_nameless_carrier_is_no_outcome() -> None:
    assert outcomes_of([carrier(name="")]) == ()
