"""The failure-mode document: its numbers by hand from a small store, and its four forms."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest
from report_store import judged, run

from fidelity_otel.model import Decision, Finding, TraceRecord
from fidelity_otel.processor.detect.cost import DEAR
from fidelity_otel.report.failures import Failures, failures
from fidelity_otel.report.failures_html import render_failures_html
from fidelity_otel.report.failures_text import render_failures, render_markdown
from fidelity_otel.store import Store, open_store

SECOND = 10**9
START = 1_790_000_000 * SECOND


def finding(state: str, **more: object) -> Finding:
    return Finding("tool_error", state, "ab" * 8, "search | said *no*.", **more)  # type: ignore[arg-type]


def record(number: int, findings: tuple[Finding, ...], workflow: str = "shop") -> TraceRecord:
    trace_id = f"{number + 1:032x}"
    return TraceRecord(
        trace_id=trace_id,
        otlp=b"",
        decision=Decision(trace_id, "s", "w", number, 1.0, 0.2, bool(findings)),
        findings=findings,
        workflow=workflow,
        start_ns=START + number * SECOND,
        end_ns=START + (number + 1) * SECOND,
    )


def filled(folder: Path) -> Store:
    """A hundred traces of `shop`: the tool fails in 4 of the earlier half and 30 of the later."""
    store = open_store(folder)
    made = []
    for number in range(100):
        found: tuple[Finding, ...] = ()
        if number in {0, 1, 2, 3}:
            found = (
                finding(
                    "recovered",
                    recovered_by="retry",
                    noticed=True,
                    recovery_ns=(number + 1) * SECOND,
                    recovery_tokens=100,
                    recovery_factor=DEAR if number == 0 else 2.0,
                ),
            )
        elif number >= 70:
            state = "escalated" if number >= 90 else "unrecovered"
            found = (finding(state, noticed=state == "escalated"), finding("recovered"))
        made.append(record(number, found))
    made.append(record(100, (), workflow="other"))
    store.add_traces(made)
    return store


@pytest.fixture
def document(tmp_path: Path) -> Failures:
    with filled(tmp_path) as store:
        return failures(store, now_ns=time.time_ns())


def test_the_numbers_of_a_mode(document: Failures) -> None:
    (line,) = document.lines
    assert (line.workflow, line.mode, line.traces, line.of) == ("shop", "tool_error", 34, 100)
    assert line.rate.estimate == 0.34
    assert line.rate.low == pytest.approx(0.2546, abs=1e-4)  # Wilson, 34 of 100
    assert line.rate.high == pytest.approx(0.4372, abs=1e-4)
    assert (line.recovered, line.unrecovered, line.escalated) == (4, 20, 10)
    assert line.recovered_by == {"retry": 4}
    assert (line.noticed, line.notice_known) == (14, 34)
    assert line.median_recovery_seconds == 2.5
    assert (line.extra_seconds, line.extra_tokens, line.dear) == (10.0, 400, 1)
    assert (line.first_ns, line.last_ns) == (START, START + 99 * SECOND)
    assert not line.put_down.sufficient  # nobody reviewed anything
    assert document.with_findings == 34
    assert document.traces == 101


def test_the_trend_is_told_only_where_the_interval_leaves_zero_out(
    document: Failures, tmp_path: Path
) -> None:
    (line,) = document.lines
    assert line.trend is not None
    assert (line.trend.earlier, line.trend.later) == (0.08, 0.6)
    assert line.trend.direction == "rising"
    assert line.trend.low == pytest.approx(0.3463, abs=2e-3)  # Newcombe's method 10
    with open_store(tmp_path / "even") as store:
        store.add_traces([record(n, (finding("recovered"),) * (n % 2)) for n in range(20)])
        (even,) = failures(store, now_ns=1).lines
    assert even.trend is not None
    assert even.trend.direction == "steady"
    assert even.trend.low < 0 < even.trend.high


def test_exemplars_are_the_worst_and_newest(document: Failures) -> None:
    (line,) = document.lines
    assert [e.state for e in line.exemplars] == ["unrecovered"] * 3
    assert [int(e.trace_id, 16) for e in line.exemplars] == [90, 89, 88]
    assert line.exemplars[0].path == f"/traces/{90:032x}"


def test_since_leaves_out_what_was_before(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        (line,) = failures(store, now_ns=1, since_ns=START + 95 * SECOND).lines
    assert (line.traces, line.of, line.escalated) == (5, 5, 5)


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        made = failures(store, now_ns=1)
    for text in (render_failures(made), render_markdown(made), render_failures_html(made)):
        assert "nothing to say about" in text


def test_texts_from_outside_are_escaped(document: Failures) -> None:
    page = render_failures_html(
        msgspec.structs.replace(
            document,
            lines=tuple(
                msgspec.structs.replace(x, workflow="<script>alert(1)</script>")
                for x in document.lines
            ),
        ),
        base_url="https://review.example/",
    )
    assert "<script>" not in page
    assert f'href="https://review.example/traces/{90:032x}"' in page
    assert r"search \| said \*no\*" in render_markdown(document)


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real store in which Ann named the mode of a quarter of the traces."""
    return judged(tmp_path_factory.mktemp("failures"))[0]


def test_modes_that_only_reviewers_named_are_candidates(reviewed: Path) -> None:
    out, _ = run("report", "failures", "--format", "json", data=reviewed)
    made = msgspec.json.decode(out, type=Failures)
    assert made.lines == ()
    (known,) = made.candidates
    assert (known.workflow, known.mode) == ("support.answer", "retrieval_stale")
    assert known.detected  # a detector knows this mode, and found none of them
    assert known.notes == ("seen",)
    assert known.rate.estimate is not None
    assert known.rate.low is not None
    assert known.rate.high is not None
    assert known.rate.low < 0.25 < known.rate.high
    assert known.rate.n >= 10
    assert len(known.exemplars) == 3
    assert {e.verdict for e in known.exemplars} == {"wrong"}


@pytest.mark.parametrize("form", ["text", "json", "html", "markdown"])
def test_every_form_of_the_command(reviewed: Path, form: str, tmp_path: Path) -> None:
    file = tmp_path / "out"
    out, _ = run("report", "failures", "--format", form, data=reviewed)
    run("report", "failures", "--format", form, "--output", str(file), data=reviewed)
    assert "found by no detector" in out or (form == "json" and json.loads(out)["candidates"])
    assert "\x1b" not in out
    assert file.read_text()[:200] == out[:200] or form == "json"  # the time of making differs


def test_the_report_itself_is_as_before(reviewed: Path) -> None:
    out, _ = run("report", data=reviewed)
    assert "did what the user needed" in out
