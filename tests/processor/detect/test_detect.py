"""What holds of detection as a whole, and of its parts that no small trace shows."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import corpus

from fidelity_otel.model import Finding, Trace
from fidelity_otel.processor.detect import (
    MODES,
    DetectSettings,
    History,
    asked_again,
    detect,
    detect_all,
    risk,
)
from fidelity_otel.processor.detect.failure import classify, failure_text
from fidelity_otel.processor.detect.grounding import grounding
from fidelity_otel.processor.detect.model_swapped import same_model
from fidelity_otel.processor.detect.retrieval import instant
from fidelity_otel.processor.read import read_trace


def trace(*spans: dict[str, object], **root: object) -> Trace:
    whole = {"workflow": "w", "ask": "Q", "answer": "A", **root}
    return read_trace(corpus.raw_spans({"spans": [whole, *spans]}))


def test_the_corpus_covers_every_mode_and_state() -> None:
    """Of each mode and state: one that has it, one that has not, and one that nearly has it."""
    names = {(p.parent.name, p.stem) for p in corpus.files()}
    for mode in MODES:
        if mode.name == "instruction_violation":
            continue  # its traces are with the contracts
        for state in mode.states:
            for kind in ("positive", "negative", "near-miss"):
                assert (mode.name, f"{state}-{kind}") in names, (mode.name, state, kind)
    assert len(names) >= 150


@pytest.mark.parametrize("path", corpus.files(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_positive_file_holds_its_mode_and_state_and_a_negative_one_does_not(path: Path) -> None:
    state, _, kind = path.stem.partition("-")
    head = f"{path.parent.name} {state}"
    found = [line for line in corpus.expected(corpus.load(path)) if line.startswith(head)]
    if kind == "positive":
        assert found
    elif kind == "negative":
        assert not [x for x in corpus.expected(corpus.load(path)) if x.startswith(path.parent.name)]


def test_every_mode_is_documented() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "failure-modes.md").read_text()
    for mode in MODES:
        assert f"## {mode.name}\n" in page
        for text in (mode.what, mode.why, mode.evidence, mode.recovery, mode.known_misses):
            assert text in page
            assert text.endswith(".")


def test_settings_change_what_is_found() -> None:
    calls = [{"tool": "t", "arguments": {"a": 1}, "result": "same"}] * 2
    assert detect(trace(*calls)) == ()
    found = detect(trace(*calls), DetectSettings(loop_calls=2))
    assert [f.mode for f in found] == ["loop"]
    old = {"retrieval": "q", "documents": [{"id": "d", "content": "c", "updated_at": "2026-09-01"}]}
    assert not [f for f in detect(trace(old)) if f.mode == "retrieval_stale"]
    found = detect(trace(old), DetectSettings(stale_days=30))
    assert [f.mode for f in found] == ["retrieval_stale"]
    later = int(corpus.EPOCH.timestamp() * 1e9) + 400 * 86_400 * 10**9
    assert [f.mode for f in detect(trace(old), now_ns=later)] == ["retrieval_stale"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (DetectSettings(max_seconds=1), "took"),
        (DetectSettings(max_tokens=10), "11 tokens"),
        (DetectSettings(max_seconds=1e6, max_tokens=10), "11 tokens"),
    ],
)
def test_budgets_that_are_set(settings: DetectSettings, words: str) -> None:
    (found,) = detect(trace({"chat": "m", "says": "A", "tokens": [10, 1]}), settings)
    assert found.mode == "budget_exceeded"
    assert words in found.evidence


def test_recovery_has_a_time_and_a_price() -> None:
    (found,) = detect(
        trace(
            {"tool": "t", "arguments": {"a": 1}, "result": "Error: down", "at": [1, 2]},
            {"chat": "m", "says": "Again.", "tokens": [100, 10], "at": [2, 3]},
            {"tool": "t", "arguments": {"a": 1}, "result": "fine", "at": [3, 4]},
        )
    )
    assert (found.state, found.recovered_by) == ("recovered", "retry")
    assert found.recovery_ns == 2 * 10**9
    assert found.recovery_tokens == 110
    assert found.noticed is True


def test_a_storm_of_retries_is_one_finding_that_says_so() -> None:
    failing = [{"tool": "t", "arguments": {"a": 1}, "error": "HTTP 429"}] * 10
    (found,) = detect(trace(*failing, {"tool": "t", "arguments": {"a": 1}, "result": "fine"}))
    assert found.mode == "rate_limited"
    assert len(found.span_ids) == 10
    assert "at the cost of 10 failed calls" in found.evidence


def test_history_learns_what_is_usual() -> None:
    history = History()

    def call(result: object) -> list[str]:
        return [
            f.mode
            for f in detect(
                trace({"tool": "t", "arguments": {}, "result": result}), history=history
            )
        ]

    assert call([1]) == []  # nothing is known yet
    for _ in range(80):
        assert call({"id": "a", "price": "low"}) == []
    assert call("see the catalogue") == ["tool_schema_mismatch"]
    assert call({"id": "b", "price": None}) == []
    assert call({"other": "x", "members": 1}) == ["tool_schema_mismatch"]


def test_several_traces_at_once_are_as_one_by_one() -> None:
    usual = [trace({"tool": "t", "arguments": {}, "result": {"id": "a", "price": "low"}})] * 60
    odd = trace({"tool": "t", "arguments": {}, "result": "see the catalogue"})
    failing = trace({"tool": "t", "arguments": {}, "error": "HTTP 429"})
    mixed = [odd, *usual[:10], failing, *usual, odd, trace(), Trace("0" * 32, ()), odd]
    history = History()
    alone = [detect(each, history=history) for each in mixed]
    assert detect_all(mixed, history=History()) == alone
    assert [f.mode for f in alone[-1]] == ["tool_schema_mismatch"]


turns = st.lists(
    st.sampled_from(["the", "order", "refund!", "my", "I", "it", "x.y", "orders", "der?", "İst"]),
    max_size=12,
).map(" ".join)


@given(turns, turns)
def test_texts_are_alike_that_share_three_words_of_five(one: str, two: str) -> None:
    def words(text: str) -> set[str]:
        return set(text.lower().translate(str.maketrans(".,;:!?", "      ")).split())

    first, second = words(one), words(two)
    wanted = min(len(first), len(second)) >= 3 and len(first & second) >= 0.6 * len(first | second)
    assert asked_again._alike(asked_again._plain(one), asked_again._plain(two)) == wanted


def test_risk_grows_with_findings_and_stays_a_probability() -> None:
    base = trace()
    assert risk(base, ()) == pytest.approx(0.2, abs=0.02)
    one = Finding("tool_error", "unrecovered", "1", "e.")
    assert risk(base, ()) < risk(base, [msgspec.structs.replace(one, state="recovered")])
    assert risk(base, [msgspec.structs.replace(one, state="recovered")]) < risk(base, [one])
    assert risk(base, [one]) == risk(base, [one, one])  # a storm is no certainty
    every = [Finding(m.name, s, "1", "e.") for m in MODES for s in m.states]
    assert risk(base, every) < 1
    assert risk(trace(error="failed"), ()) > 0.5
    assert 0 < risk(base, [Finding("a_mode_of_next_year", "unrecovered", "1", "e.")]) < 1


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("HTTP 429: slow down", "rate_limited"),
        ("You have exceeded the MONTHLY quota", "rate_limited"),
        ("openai.APITimeoutError: Request timed out.", "timeout"),
        ("401 Unauthorized", "auth"),
        ("You are not subscribed to this API.", "auth"),
        ("pydantic ValidationError: 1 field required", "malformed_arguments"),
        ("No such function call: foo", "unknown_tool"),
        ("KeyError: 'x'", "tool_error"),
    ],
)
def test_errors_are_told_apart(text: str, mode: str) -> None:
    assert classify(text) == mode


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        ("Error: down", True),
        ('{"error": "down"}', True),
        ({"error": {"code": 500, "message": "down"}}, True),
        ({"isError": True, "content": "down"}, True),
        ({"success": False}, True),
        ({"status": "error", "message": "down"}, True),
        ({"status": 503, "message": "down"}, True),
        ({"response": '{"error": "down"}'}, True),
        ("Traceback (most recent call last):\n  File", True),
        ({"error": None, "data": 1}, False),
        ({"error": "", "response": "fine"}, False),
        ({"error": "none"}, False),
        ({"code": 404, "name": "lamp"}, False),
        ({"errors": []}, False),
        ("Errors and how to read them", False),
        ("Error rate: low", False),
        ("The server said: error", False),
        ("", False),
        (None, False),
        (429, False),
        ([], False),
    ],
)
def test_what_is_a_failure(result: object, failed: bool) -> None:
    assert (failure_text(result) is not None) is failed


@pytest.mark.parametrize(
    ("asked", "used", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4", "gpt-4o", False),
        ("gpt-4", "gpt-4-turbo", False),
        ("claude-sonnet", "claude-sonnet-4-5", True),
        ("claude-sonnet-4", "claude-sonnet-4-5", False),
        ("openai:gpt-4o", "gpt-4o", True),
        ("openai/gpt-4o", "gpt-4o", True),
        ("gemini-2.5-pro", "models/gemini-2.5-pro-preview", True),
        ("llama3:8b", "llama3:8b", True),
        ("small", "small-2026-01", True),
        ("", "x", True),
    ],
)
def test_names_of_one_model(asked: str, used: str, same: bool) -> None:
    assert same_model(asked, used) is same
    assert same_model(used, asked) is same


@given(st.text(max_size=60), st.text(max_size=60))
def test_names_of_models_never_raise(one: str, two: str) -> None:
    assert same_model(one, one)
    assert same_model(one, two) == same_model(two, one)


@given(st.text(max_size=300), st.text(max_size=300))
def test_what_a_source_says_is_grounded(answer: str, source: str) -> None:
    assert grounding(answer, [source, answer]).unsupported == ()
    found = grounding(answer, [source])
    assert len(found.unsupported) <= found.claims


def test_instants() -> None:
    assert instant("1970-01-02") == 86_400 * 10**9
    assert instant("1970-01-01T01:00:00+01:00") == 0
    assert instant("1700000000") == 1_700_000_000 * 10**9
    assert instant("1700000000000") == 1_700_000_000 * 10**9
    for broken in ("", "soon", "99999999999999999999", "2024-13-01", None, 5, "1" * 39):
        assert instant(broken) is None


def test_ten_times_the_trace_costs_about_ten_times_the_work() -> None:
    """Counts calls of the interpreter, not seconds, so that a busy machine changes nothing."""

    def work(size: int) -> int:
        step = [
            {"tool": "search_x", "arguments": {"a": 1}, "error": "HTTP 429"},
            {"tool": "t", "arguments": {"a": 1}, "result": "same"},
            {"retrieval": "q", "documents": []},
            {"chat": "m", "says": "", "tokens": [1, 0]},
            {"chat": "m", "error": "timed out"},
            {"span": "s", "error": "broken"},
        ]
        made = trace(*[s for _ in range(size) for s in step])
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(count)
        try:
            detect(made)
        finally:
            sys.setprofile(None)
        return calls

    small, large = work(40), work(400)
    assert large < 14 * small
