"""References, business keys and outcomes."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

import fidelity_otel as fidelity
from fidelity_otel.model import OutcomeRef
from fidelity_otel.sdk.reference import Handle, parse_reference
from fidelity_otel.testing import Recorded, record


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_a_handle_survives_being_a_string(trace_id: int, span_id: int, flags: int) -> None:
    handle = Handle.of(trace_id, span_id, flags)
    again = Handle(json.loads(json.dumps({"h": handle}))["h"])
    assert again == handle
    assert int(again.trace_id, 16) == trace_id
    assert int(again.span_id, 16) == span_id
    found = parse_reference(str(handle))
    assert found == OutcomeRef(trace_id=handle.trace_id, span_id=handle.span_id)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "0af7651916cd43dd8448eb211c80319c",
            OutcomeRef(trace_id="0af7651916cd43dd8448eb211c80319c"),
        ),
        (
            "0AF7651916CD43DD8448EB211C80319C",
            OutcomeRef(trace_id="0af7651916cd43dd8448eb211c80319c"),
        ),
        (("ticket", "T-42"), OutcomeRef(key_name="ticket", key_value="T-42")),
        (["order", 7], OutcomeRef(key_name="order", key_value="7")),
        ("key:ticket=T-42", OutcomeRef(key_name="ticket", key_value="T-42")),
        ("key:ticket=", None),
        ("response:chatcmpl-123", OutcomeRef(response_id="chatcmpl-123")),
        (
            "0af7651916cd43dd8448eb211c80319c:b7ad6b7169203331",
            OutcomeRef(trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331"),
        ),
        ("chatcmpl-123", OutcomeRef(response_id="chatcmpl-123")),
        (OutcomeRef(response_id="r"), OutcomeRef(response_id="r")),
        ("", None),
        (None, None),
        (3, None),
        (("a", "b", "c"), None),
    ],
)
def test_references(text: object, expected: OutcomeRef | None) -> None:
    assert parse_reference(text) == expected


@given(st.text())
def test_any_text_is_some_reference_or_none(text: str) -> None:
    parse_reference(text)


def test_handle_of_the_current_span(recorded: Recorded) -> None:
    assert fidelity.handle() == ""

    @fidelity.workflow("w")
    def work() -> Handle:
        return fidelity.handle()

    handle = work()
    span = recorded.one("invoke_workflow w")
    assert handle.trace_id == f"{span.trace_id:032x}"
    assert handle.span_id == f"{span.id:016x}"
    with fidelity.span("s") as s:
        assert s.handle() == fidelity.handle()


def test_bind_attaches_a_business_key(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    @fidelity.workflow("w")
    def work() -> None:
        fidelity.bind("ticket", "T-42")
        fidelity.bind("order", 7)

    work()
    span = recorded.one("invoke_workflow w")
    assert span["fidelity.key.ticket"] == "T-42"
    assert span["fidelity.key.order"] == "7"
    fidelity.bind("nowhere", 1)
    assert "outside of a span" in caplog.text


def test_the_carrier_span(recorded: Recorded) -> None:
    with fidelity.span("answer"):
        handle = fidelity.handle()
    when = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    identity = fidelity.outcome(
        handle, "resolved", True, source="helpdesk", observed_at=when, explanation="closed"
    )
    span = recorded.one("fidelity.outcome")
    answer = recorded.one("answer")
    assert span.parent_id is None
    assert span.trace_id != answer.trace_id
    (link,) = span.span.links
    assert (link.context.trace_id, link.context.span_id) == (answer.trace_id, answer.id)
    assert span["fidelity.outcome.id"] == identity
    assert span["fidelity.outcome.name"] == "resolved"
    assert span["fidelity.outcome.value"] == 1.0
    assert span["fidelity.outcome.source"] == "helpdesk"
    assert span["fidelity.outcome.observed_at"] == int(when.timestamp()) * 10**9
    assert span["fidelity.outcome.ref.trace_id"] == handle.trace_id
    assert span["fidelity.outcome.ref.span_id"] == handle.span_id
    (event,) = span.events("gen_ai.evaluation.result")
    assert event == {
        "gen_ai.evaluation.name": "resolved",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.evaluation.explanation": "closed",
    }


def test_an_explicit_reference_beats_the_ambient_span(recorded: Recorded) -> None:
    """OpenLIT files the score under the ambient span."""
    with fidelity.span("first"):
        first = fidelity.handle()
    with fidelity.span("second"):
        fidelity.outcome(first, "a", 1)
        fidelity.outcome(("ticket", "T"), "b", 1)
        fidelity.outcome("chatcmpl-1", "c", 1)
        fidelity.outcome(None, "ambient", 1)
    second = recorded.one("second")
    carriers = {s["fidelity.outcome.name"]: s for s in recorded.all("fidelity.outcome")}
    assert carriers["a"]["fidelity.outcome.ref.trace_id"] == first.trace_id
    assert carriers["b"].get("fidelity.outcome.ref.trace_id") is None
    assert carriers["b"]["fidelity.outcome.ref.key.name"] == "ticket"
    assert carriers["c"]["fidelity.outcome.ref.response_id"] == "chatcmpl-1"
    assert carriers["ambient"]["fidelity.outcome.ref.span_id"] == f"{second.id:016x}"
    assert all(c.parent_id is None and c.trace_id != second.trace_id for c in carriers.values())


def test_ids_are_idempotent_and_tell_different_outcomes_apart(recorded: Recorded) -> None:
    """langtrace#346: a second feedback was rejected."""
    same = {fidelity.outcome(("t", "1"), "resolved", 1.0, source="s") for _ in range(3)}
    assert len(same) == 1
    others = {
        fidelity.outcome(("t", "1"), "resolved", 0.0, source="s"),
        fidelity.outcome(("t", "2"), "resolved", 1.0, source="s"),
        fidelity.outcome(("t", "1"), "csat", 1.0, source="s"),
        fidelity.outcome(("t", "1"), "resolved", 1.0, source="other"),
        fidelity.outcome(("t", "1"), "resolved", 1.0, source="s", label="x"),
        fidelity.outcome(("t", "1"), "resolved", 1.0, source="s", observed_at=1.0),
    }
    assert len(others | same) == 7
    assert fidelity.outcome(("t", "1"), "resolved", 1.0, id="mine", supersedes="old") == "mine"
    last = recorded.spans[-1]
    assert last["fidelity.outcome.id"] == "mine"
    assert last["fidelity.outcome.supersedes"] == "old"


def test_the_same_id_in_another_process() -> None:
    code = (
        "import fidelity_otel as f\n"
        "from fidelity_otel.testing import record\n"
        "with record(): print(f.outcome(('t', '1'), 'resolved', True, source='s'))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with record():
        assert fidelity.outcome(("t", "1"), "resolved", True, source="s") == ran.stdout.strip()


@pytest.mark.parametrize(
    ("value", "number", "label"),
    [
        (True, 1.0, None),
        (False, 0.0, None),
        (0.25, 0.25, None),
        ("reopened", None, "reopened"),
        (4, None, "4"),
        (float("nan"), None, "nan"),
        (None, None, None),
    ],
)
def test_values(recorded: Recorded, value: object, number: float | None, label: str | None) -> None:
    assert fidelity.outcome(("t", "1"), "n", value)  # type: ignore[arg-type]
    span = recorded.one("fidelity.outcome")
    assert span.get("fidelity.outcome.value") == number
    assert span.get("fidelity.outcome.label") == label


def test_observed_at_in_all_its_forms(recorded: Recorded) -> None:
    for when in (
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "2026-01-01T01:00:00+01:00",
        1767225600,
        1767225600.0,
        1767225600 * 10**9,
    ):
        fidelity.outcome(("t", "1"), "n", 1, observed_at=when)
    assert {s["fidelity.outcome.observed_at"] for s in recorded.spans} == {1767225600 * 10**9}


def test_a_reference_to_nothing_is_said_and_sends_nothing(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    assert fidelity.outcome("", "n", 1) == ""
    assert fidelity.outcome(None, "n", 1) == ""
    assert recorded.spans == []
    assert "refers to nothing" in caplog.text


def test_bad_arguments_never_break_the_host(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded
) -> None:
    monkeypatch.delenv("FIDELITY_STRICT")
    assert fidelity.outcome(("t", "1"), "n", [1]) == ""  # type: ignore[arg-type]
    assert fidelity.outcome(("t", "1"), "n", 1, observed_at="yesterday") == ""


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF)])
def test_outcomes_of_unsampled_traces_still_arrive(sampler: object) -> None:
    with record(sampler=sampler) as recorded:
        with fidelity.span("answer"):
            handle = fidelity.handle()
            assert handle, "an unsampled trace has ids too"
        fidelity.outcome(handle, "resolved", True)
        fidelity.outcome(("ticket", "T"), "resolved", True)
        assert recorded.names == ["fidelity.outcome"] * 2
        assert recorded.spans[0]["fidelity.outcome.ref.trace_id"] == handle.trace_id


def test_outcomes_from_other_threads(recorded: Recorded) -> None:
    with fidelity.span("answer"):
        thread = threading.Thread(target=lambda: fidelity.outcome(("t", "1"), "n", 1))
        thread.start()
        thread.join()
    assert recorded.one("fidelity.outcome").parent_id is None
