"""The failure-mode document: its numbers by hand from a small store, and its four forms."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from report_store import judged, run

from fidelity_otel.model import ArmDecision, Decision, Finding, TraceRecord
from fidelity_otel.processor.detect.cost import DEAR
from fidelity_otel.report.failures import Failures, failures
from fidelity_otel.report.failures_found import ModeTally, Weighed, WeightedMedian
from fidelity_otel.report.failures_html import render_failures_html
from fidelity_otel.report.failures_text import render_failures, render_markdown
from fidelity_otel.stats.intervals import wilson
from fidelity_otel.store import FoundTrace, Store, open_store

SECOND = 10**9
START = 1_790_000_000 * SECOND


def finding(state: str, **more: object) -> Finding:
    return Finding("tool_error", state, "ab" * 8, "search | said *no*.", **more)  # type: ignore[arg-type]


def record(
    number: int, findings: tuple[Finding, ...], workflow: str = "shop", upstream: float = 1.0
) -> TraceRecord:
    trace_id = f"{number + 1:032x}"
    return TraceRecord(
        trace_id=trace_id,
        otlp=b"",
        decision=Decision(trace_id, "s", "w", number, 1.0, 0.2, bool(findings), upstream=upstream),
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


# --- head sampling before us -------------------------------------------------------------------


def sampled(folder: Path, *, spare: float, failing: float) -> Store:
    """Twenty traces with a failure among a hundred, kept upstream with unlike probabilities."""
    store = open_store(folder)
    store.add_traces(
        [
            record(
                n,
                (finding("recovered", recovered_by="retry", recovery_ns=SECOND),),
                "shop",
                failing,
            )
            if n % 5 == 0
            else record(n, (), "shop", spare)
            for n in range(100)
        ]
    )
    return store


def test_a_trace_counts_for_the_requests_that_it_stands_for(tmp_path: Path) -> None:
    """All errors kept and a tenth of the rest: 20 of 820 requests fail, not 20 of 100."""
    with sampled(tmp_path, spare=0.1, failing=1.0) as store:
        made = failures(store, now_ns=1)
    (line,) = made.lines
    assert (made.traces, made.seen, made.with_findings) == (820, 100, 20)
    assert (line.traces, line.of, line.seen, line.seen_of) == (20, 820, 20, 100)
    assert line.rate.estimate == pytest.approx(20 / 820)
    assert (line.rate.n, line.rate.N) == (100, 820)
    assert line.rate.low is not None
    assert line.rate.high is not None
    assert line.rate.low < 20 / 820 < line.rate.high < 0.08
    assert (line.recovered, line.recovered_by) == (20, {"retry": 20})
    assert line.trend is not None
    assert line.trend.earlier == pytest.approx(10 / 410)
    for text in (render_failures(made), render_markdown(made), render_failures_html(made)):
        assert "About 20 of 820 requests (2%)" in text
        assert "told from 100 traces that were kept" in " ".join(text.split())
        assert "seen in 20 of 100 traces" in text


def test_equal_head_sampling_changes_counts_and_no_share(tmp_path: Path) -> None:
    with sampled(tmp_path / "all", spare=1.0, failing=1.0) as store:
        (whole,) = failures(store, now_ns=1).lines
        assert "traces through" not in render_failures(failures(store, now_ns=1))
    with sampled(tmp_path / "fourth", spare=0.25, failing=0.25) as store:
        (fourth,) = failures(store, now_ns=1).lines
    assert (fourth.traces, fourth.of, fourth.recovered) == (80, 400, 80)
    assert (fourth.extra_seconds, whole.extra_seconds) == (80.0, 20.0)
    for name in ("estimate", "low", "high", "n", "n_effective"):
        assert getattr(fourth.rate, name) == pytest.approx(getattr(whole.rate, name))
    assert fourth.trend is not None
    assert whole.trend is not None
    assert fourth.trend.high == pytest.approx(whole.trend.high)


def test_what_reviewers_said_is_weighted_by_head_sampling_too(tmp_path: Path) -> None:
    """Judged: 20 of a mode with p = 1, 20 without with p = .25; 20 of 100 requests have it."""
    with open_store(tmp_path) as store:
        named = [n % 2 == 0 for n in range(40)]
        store.add_traces([record(n, (), "shop", 1.0 if named[n] else 0.25) for n in range(40)])
        arms = {
            c.decision.trace_id: (ArmDecision("estimation", "w", "s", True, 0.999),)
            for c in store.window_candidates("w")
        }
        store.save_draw("w", arms, now_ns=1, double_share=0.0)
        for turn in range(40):
            lease = store.next_item("ann", turn + 2)
            assert lease is not None
            wrong = named[int(lease.item.trace_id, 16) - 1]
            mode = "retrieval_stale" if wrong else None
            store.submit(lease.lease_id, "wrong" if wrong else "right", mode, now_ns=turn + 3)
        (candidate,) = failures(store, now_ns=1).candidates
    assert candidate.rate.estimate == pytest.approx(0.2, abs=0.005)
    assert (candidate.rate.n, candidate.rate.N) == (40, 100)


def test_the_interval_of_a_rate_covers_under_unlike_head_sampling() -> None:
    """Failures rare and heavily thinned: Kish's effective number would claim far too much."""
    rng = np.random.default_rng(3)
    hit = kish = 0
    for _ in range(2000):
        failing, calm = rng.binomial(40, 0.25), rng.binomial(1000, 0.9)
        found = Weighed(failing, failing / 0.25, failing / 0.25**2)
        whole = found.plus(Weighed(calm, calm / 0.9, calm / 0.9**2))
        share, worth = found.share_of(whole)
        low, high = wilson(share * worth, worth)
        hit += low <= 40 / 1040 <= high
        worth = whole.requests**2 / whole.squares
        low, high = wilson(share * worth, worth)
        kish += low <= 40 / 1040 <= high
    assert 0.93 <= hit / 2000 <= 0.99
    assert kish / 2000 < 0.9


# --- memory ------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_traffic(tmp_path: Path, monkeypatch) -> None:
    """Pages, not rows, and tallies that keep no list of what they counted."""
    held: list[int] = []
    with open_store(tmp_path) as store:
        everything = store.pages

        @contextmanager
        def watched(since_ns=None, until_ns=None):
            with everything(since_ns, until_ns, rows=7) as pages:
                found = pages.found

                def counted():
                    for page in found():
                        held.append(len(page))
                        yield page

                pages.found = counted
                yield pages

        store.add_traces(
            [
                record(n, (finding("recovered", recovery_ns=(n + 1) * SECOND),) * (n % 2))
                for n in range(400)
            ]
        )
        monkeypatch.setattr(store, "pages", watched)
        (line,) = failures(store, now_ns=1).lines
    assert sum(held) == 200
    assert max(held) == 7
    assert (line.traces, line.of, line.median_recovery_seconds) == (200, 400, 201.0)


def test_a_tally_stays_small() -> None:
    tally, median = ModeTally(), WeightedMedian()
    for n in range(6000):
        found = finding("recovered", recovery_ns=(n + 1) * SECOND)
        trace = FoundTrace(f"{n:032x}", "shop", n, 1.0, ("tool_error",), ("recovered",), (found,))
        tally.add(trace, "tool_error", "recovered", late=False, verdict=None)
        median.add(n + 1.0, 1.0)
    assert len(tally.exemplars) == 3
    assert [e.time_ns for e in tally.exemplars] == [5999, 5998, 5997]
    assert tally.seconds.value() == pytest.approx(3000.5, rel=0.01)
    assert len(median._weight) <= 1000
    for n in range(2000):  # as many again, and each four times: the middle moves to them
        median.add(10_000.0 + n, 4.0)
    assert median.value() == pytest.approx(10_250, rel=0.02)


def test_a_median_of_weights_is_that_of_repeated_numbers() -> None:
    for values, wanted in (([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 2.0, 3.0], 2.5), ([5.0], 5.0)):
        median = WeightedMedian()
        for value in values:
            median.add(value, 0.7)
        assert median.value() == pytest.approx(wanted)
    assert WeightedMedian().value() is None


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
