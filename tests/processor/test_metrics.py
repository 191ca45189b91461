"""Metrics: the table and what is exposed agree, labels stay bounded, estimates come and go."""

from __future__ import annotations

import math
import re
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from fidelity_otel.model import Decision, Finding, Review, TraceRecord
from fidelity_otel.processor.metrics import Labels, Metrics
from fidelity_otel.processor.metrics_estimates import ESTIMATED, samples_of
from fidelity_otel.processor.metrics_store import StoreWatch
from fidelity_otel.processor.metrics_table import GROUPS, METRICS, OTHER, Metric, metric_named
from fidelity_otel.processor.tally import Tally
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.summary import Summary
from fidelity_otel.store import Counts, Progress

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from report_frames import NOW_NS, FakeStore, Row, looked_at_again, world

OPEN = "application/openmetrics-text; version=1.0.0"
RESERVED = {"le", "quantile", "job", "instance"}


def values(metrics: Metrics, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The samples of a series' name, by sorted labels."""
    text, _ = metrics.expose()
    return {
        tuple(sorted(s.labels.items())): s.value
        for family in parse_text(text.decode())
        for s in family.samples
        if s.name == name
    }


@pytest.fixture(scope="module")
def made() -> Summary:
    return summary(
        looked_at_again(world()).store,
        now_ns=NOW_NS,
        settings={"report.benchmark": 0.92, "report.objective": 0.9},
    )


def record(number: int = 1, **changes: object) -> TraceRecord:
    decision = Decision(
        f"{number:032x}", "s", "w", 0, 1.0, 0.2, flagged=False, decided_ns=4 * 10**9
    )
    fields: dict[str, object] = {"workflow": "answer", "start_ns": 10**9, "end_ns": 3 * 10**9}
    return TraceRecord(f"{number:032x}", b"", decision, **(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    m = metric
    assert re.fullmatch(r"fidelity_[a-z0-9_]+[a-z0-9]", m.name)
    assert not m.name.endswith("_total")
    assert not RESERVED & set(m.labels)
    assert len(set(m.labels)) == len(m.labels)
    assert m.group in GROUPS
    assert m.help.endswith(".")
    for suffix in ("ratio", "seconds", "bytes"):
        assert m.name.endswith(f"_{suffix}") == (m.unit == suffix), m.unit
    assert (m.type == "histogram") == bool(m.buckets)
    assert list(m.buckets) == sorted(set(m.buckets))
    for start in m.starts:
        assert len(start) == len(m.labels)
    if m.tally:
        assert m.type == "counter"
        assert len(m.labels) <= 1


def test_both_expositions_can_be_parsed_and_hold_no_created_series(made: Summary) -> None:
    metrics = Metrics(version="1.2.3")
    metrics.set_summary(made, seconds=0.5)
    metrics.trace(record())
    for accept, parse in ((OPEN, parse_open), ("", parse_text)):
        text, kind = metrics.expose(accept)
        names = {s.name for f in parse(text.decode()) for s in f.samples}
        assert "fidelity_outcome_ratio" in names
        assert not [n for n in names if n.endswith("_created")]
        assert ("openmetrics" in kind) == bool(accept)


def test_everything_exposed_is_in_the_table_with_its_labels_and_type(made: Summary) -> None:
    metrics = Metrics(version="1")
    metrics.set_summary(made, seconds=0.5)
    metrics.read_tally(Tally())
    metrics.trace(record())
    for family in parse_text(metrics.expose()[0].decode()):
        metric = metric_named(family.name)
        assert family.type == metric.type
        assert family.documentation == metric.help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


def test_every_estimate_of_the_table_comes_from_a_full_summary(made: Summary) -> None:
    assert {s.name for s in samples_of(made)} == ESTIMATED
    assert all(math.isfinite(s.value) for s in samples_of(made))
    for sample in samples_of(made):
        assert len(sample.labels) == len(metric_named(sample.name).labels)


def test_ratios_are_between_their_bounds(made: Summary) -> None:
    metrics = Metrics()
    metrics.set_summary(made)
    for name in ("fidelity_outcome_ratio", "fidelity_silent_failure_ratio"):
        found = values(metrics, name)
        keys = {tuple(p for p in labels if p[0] != "bound") for labels in found}
        assert keys
        for key in keys:
            low, middle, high = (
                found[tuple(sorted((*key, ("bound", b))))] for b in ("low", "estimate", "high")
            )
            assert 0 <= low <= middle <= high <= 1


def test_the_whole_and_each_workflow_are_exposed(made: Summary) -> None:
    metrics = Metrics()
    metrics.set_summary(made)
    found = values(metrics, "fidelity_frame_traces")
    total = found[(("window", "all"), ("workflow", "all"))]
    parts = [v for k, v in found.items() if ("window", "all") in k and ("workflow", "all") not in k]
    assert total == made.activity.traces == sum(parts)


def test_estimates_that_are_no_longer_supported_disappear(made: Summary) -> None:
    metrics = Metrics()
    assert values(metrics, "fidelity_outcome_ratio") == {}
    metrics.set_summary(made)
    assert values(metrics, "fidelity_outcome_ratio")
    metrics.set_summary(summary(FakeStore([Row("a")]), now_ns=NOW_NS))
    assert values(metrics, "fidelity_outcome_ratio") == {}
    assert (
        values(metrics, "fidelity_reviewed_traces")[(("window", "7d"), ("workflow", "all"))] == 0.0
    )
    assert values(metrics, "fidelity_benchmark_ratio") == {}


def test_a_gauge_without_a_value_is_absent_not_zero() -> None:
    metrics = Metrics()
    assert values(metrics, "fidelity_journal_limit_bytes") == {}
    metrics.read_from("fidelity_journal_limit_bytes", lambda: 5)
    assert values(metrics, "fidelity_journal_limit_bytes") == {(): 5.0}


def test_counters_that_alerts_watch_start_at_zero() -> None:
    metrics = Metrics()
    metrics.read_tally(Tally())
    assert values(metrics, "fidelity_lost_traces_total") == {(("reason", "refused"),): 0.0}
    assert set(values(metrics, "fidelity_store_errors_total").values()) == {0.0}
    refused = (("protocol", "grpc"), ("status", "refused"))
    assert values(metrics, "fidelity_received_requests_total")[refused] == 0.0


def test_traces_are_counted_with_their_id_as_exemplar() -> None:
    metrics = Metrics()
    finding = Finding("loop", "recovered", "s", "e", recovery_ns=2 * 10**9)
    metrics.trace(record(7, findings=(finding, Finding("timeout", "unrecovered", "s", "e"))))
    metrics.trace(record(8, reported_success=False, workflow=""))
    assert values(metrics, "fidelity_traces_total") == {
        (("status", "success"), ("workflow", "answer")): 1.0,
        (("status", "failure"), ("workflow", "unnamed")): 1.0,
    }
    assert sum(values(metrics, "fidelity_failures_total").values()) == 2.0
    assert values(metrics, "fidelity_recovery_seconds_sum") == {(("mode", "loop"),): 2.0}
    assert values(metrics, "fidelity_decision_seconds_sum") == {(): 2.0}
    exemplars = {
        s.name: s.exemplar.labels["trace_id"]
        for f in parse_open(metrics.expose(OPEN)[0].decode())
        for s in f.samples
        if s.exemplar is not None
    }
    assert exemplars["fidelity_failures_total"] == f"{7:032x}"
    assert "fidelity_trace_duration_seconds_bucket" in exemplars


def test_clocks_that_disagree_give_no_negative_durations() -> None:
    metrics = Metrics()
    metrics.trace(record(start_ns=5 * 10**9, end_ns=4 * 10**9))
    assert values(metrics, "fidelity_trace_duration_seconds_count") == {}
    metrics.trace(record(end_ns=9 * 10**9))
    assert sum(values(metrics, "fidelity_decision_seconds_sum").values()) == 0.0


@settings(deadline=None)
@given(st.lists(st.text(max_size=300), max_size=60))
def test_a_label_never_has_more_values_than_its_limit(names: list[str]) -> None:
    labels = Labels(5)
    seen = [labels.bound("workflow", name) for name in names]
    assert len(set(seen) - {OTHER}) <= 5
    assert all(len(value) <= 120 for value in seen)
    assert [labels.bound("workflow", name) for name in names] == seen


@settings(deadline=None)
@given(st.text(max_size=50), st.text(max_size=50))
def test_hostile_names_keep_the_exposition_whole(workflow: str, mode: str) -> None:
    metrics = Metrics()
    metrics.trace(record(workflow=workflow, findings=(Finding(mode, "recovered", "s", "e"),)))
    for accept, parse in ((OPEN, parse_open), ("", parse_text)):
        text, _ = metrics.expose(accept)
        found = [
            s.labels["workflow"]
            for f in parse(text.decode())
            for s in f.samples
            if s.name == "fidelity_traces_total"
        ]
        assert len(found) == 1


def test_wrong_names_and_labels_are_told() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.inc("fidelity_nothing")
    with pytest.raises(KeyError):
        metrics.set("fidelity_traces", 1.0)
    with pytest.raises(ValueError, match="label"):
        metrics.inc("fidelity_traces", workflow="x")


def test_the_tally_is_read_at_each_scrape() -> None:
    metrics, tally = Metrics(), Tally()
    metrics.read_tally(tally)
    tally.add("traces_decided", "idle", 3)
    tally.add("spans_late", "", 2)
    assert values(metrics, "fidelity_decided_traces_total") == {(("reason", "idle"),): 3.0}
    assert values(metrics, "fidelity_late_spans_total") == {(): 2.0}
    tally.add("traces_decided", "idle")
    assert values(metrics, "fidelity_decided_traces_total") == {(("reason", "idle"),): 4.0}


def test_counting_from_many_threads_loses_nothing() -> None:
    metrics = Metrics()

    def work() -> None:
        for _ in range(500):
            metrics.inc("fidelity_store_errors", operation="write")
            metrics.set("fidelity_leases", 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(metrics, "fidelity_store_errors_total")[(("operation", "write"),)] == 2000.0


class Shelf:
    """What a store would answer."""

    def __init__(self) -> None:
        self.verdicts = {("right", "estimation"): 4}
        self.done: list[Review] = []

    def counts(self) -> Counts:
        return Counts(self.verdicts, {"skip": 1}, {("resolved", "closed"): 3})

    def progress(self) -> Progress:
        return Progress(held=2)

    def reviews(self, since_ns: int = 0) -> list[Review]:
        return [r for r in self.done if r.finished_ns >= since_ns]


def test_what_the_store_counts_is_exposed_and_never_falls() -> None:
    metrics, shelf = Metrics(), Shelf()
    watch = StoreWatch(metrics, shelf, started_ns=0)
    watch.look()
    key = (("arm", "estimation"), ("verdict", "right"))
    assert values(metrics, "fidelity_reviews_total") == {key: 4.0}
    assert values(metrics, "fidelity_outcomes_total") == {
        (("label", "closed"), ("name", "resolved")): 3.0
    }
    assert values(metrics, "fidelity_leases") == {(): 2.0}
    shelf.verdicts = {("right", "estimation"): 3}
    watch.look()
    assert values(metrics, "fidelity_reviews_total") == {key: 4.0}


def test_each_review_s_duration_is_observed_once() -> None:
    metrics, shelf = Metrics(), Shelf()
    second = 10**9
    watch = StoreWatch(metrics, shelf, started_ns=1000 * second)

    def judged(number: int, finished: int) -> Review:
        return Review(
            f"r{number}",
            "t",
            "ann",
            "right",
            started_ns=finished - 20 * second,
            finished_ns=finished,
        )

    shelf.done = [judged(0, 100 * second)]  # before this life of the service
    watch.look()
    shelf.done += [judged(1, 1010 * second), judged(2, 1020 * second)]
    watch.look()
    watch.look()
    shelf.done.append(judged(3, 1015 * second))  # stored after a later one
    watch.look()
    assert values(metrics, "fidelity_review_duration_seconds_count") == {(): 3.0}
    assert values(metrics, "fidelity_review_duration_seconds_sum") == {(): 60.0}
