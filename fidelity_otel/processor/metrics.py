"""The service's metrics in Prometheus' terms: what the table lists, in a registry of their own.

The service counts with `inc`, `set` and `observe` (or has its `Tally` read at each scrape), and
hands over every new `Summary`; nothing else is exposed. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from fidelity_otel.model import TraceRecord
from fidelity_otel.processor import native
from fidelity_otel.processor.metrics_estimates import ESTIMATED, Sample, samples_of
from fidelity_otel.processor.metrics_histogram import WeighedHistogram
from fidelity_otel.processor.metrics_table import METRICS, OTHER, UNNAMED, Metric, metric_named
from fidelity_otel.report.summary import Summary

__all__ = ["Labels", "Metrics", "TallySource"]

_NS = 1e9
_LONGEST = 120
_MOST_CHILDREN = 2_000
_BOUNDED = frozenset({"workflow", "mode", "name", "label", "arm", "operation", "reason"})
_NOT_LIVE = frozenset({"fidelity_outcome_ratio"})


class TallySource(Protocol):
    """The service's plain counters."""

    def all(self) -> dict[tuple[str, str], int]:
        """Every counter, by (name, label)."""
        ...


class Labels:
    """Keeps every label's values few: the first `most` of a label stay, later ones become other."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def bound(self, label: str, value: str) -> str:
        """The value to expose for a label's value."""
        text = value[:_LONGEST]
        if label not in _BOUNDED:
            return text
        with self._lock:
            known = self._known.setdefault(label, {OTHER})
            if text not in known:
                if len(known) > self._most:
                    return OTHER
                known.add(text)
        return text


class _Registry(CollectorRegistry):
    """Leaves out the `_created` series, which double the number of series and say nothing here."""

    def collect(self) -> Iterator[Family]:
        for family in super().collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


class Metrics:
    """All metrics of one service.

    Args:
        most: values of a label that get a series of their own.
        version: of this package, exposed as information.
    """

    def __init__(self, *, most: int = 50, version: str = "") -> None:
        self.registry = _Registry(auto_describe=False)
        self.labels = Labels(most)
        self._live: dict[str, Counter | Gauge | WeighedHistogram] = {}
        self._summary: Summary | None = None
        self._tally: TallySource | None = None
        self._lock = threading.Lock()
        self._shown: set[str] = set()
        self._children: dict[tuple[Any, ...], Any] = {}
        self._totals: dict[str, dict[tuple[str, ...], float]] = {}
        for metric in METRICS:
            if metric.tally or metric.stored or metric.name in ESTIMATED:
                continue
            self._live[metric.name] = _make(metric, self.registry)
            for values in metric.starts:
                self._live[metric.name].labels(*values)
        self.registry.register(_Late(self))
        if version:
            self.set("fidelity_build_info", 1, version=version, scanner=native.in_use())

    def inc(
        self,
        name: str,
        amount: float = 1,
        *,
        exemplar: Mapping[str, str] | None = None,
        **labels: str,
    ) -> None:
        """Add to a counter.

        Args:
            name: as in the table, with or without `_total`.
            amount: at least 0.
            exemplar: at most 128 characters of labels, such as the trace's id.
            labels: a value for each of the metric's labels.

        Raises:
            KeyError: no such metric.
            ValueError: other labels than the metric's.
        """
        self._child(name, Counter, labels).inc(amount, dict(exemplar) if exemplar else None)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._child(name, Gauge, labels).set(value)

    def observe(
        self,
        name: str,
        value: float,
        times: float = 1.0,
        *,
        exemplar: Mapping[str, str] | None = None,
        **labels: str,
    ) -> None:
        """Put a value (seconds) into a histogram, as often as that."""
        child = self._child(name, WeighedHistogram, labels)
        child.observe_often(value, times, dict(exemplar) if exemplar else None)

    def read_from(self, name: str, value: Callable[[], float]) -> None:
        """Have a gauge without labels read at each scrape."""
        self._child(name, Gauge, {}).set_function(value)

    def read_tally(self, tally: TallySource) -> None:
        """Have the counters that the table reads from the service's tally read at each scrape."""
        self._tally = tally

    def trace(self, record: TraceRecord, stands_for: float = 1.0) -> None:
        """Count a newly decided trace (not a revision), with its id as exemplar.

        Args:
            record: as stored.
            stands_for: how many decided traces it counts for: others like it were not stored.
        """
        exemplar = {"trace_id": record.trace_id}
        workflow = record.workflow or UNNAMED
        status = "success" if record.reported_success else "failure"
        self.inc("fidelity_traces", stands_for, exemplar=exemplar, workflow=workflow, status=status)
        seconds = (record.end_ns - record.start_ns) / _NS
        if seconds >= 0:
            self.observe(
                "fidelity_trace_duration_seconds",
                seconds,
                stands_for,
                exemplar=exemplar,
                workflow=workflow,
            )
        waited = (record.decision.decided_ns - record.end_ns) / _NS
        if waited >= 0:
            self.observe("fidelity_decision_seconds", waited)
        for finding in record.findings:
            self.inc("fidelity_failures", exemplar=exemplar, mode=finding.mode, state=finding.state)
            if finding.recovery_ns is not None and finding.state == "recovered":
                self.observe(
                    "fidelity_recovery_seconds",
                    max(0.0, finding.recovery_ns / _NS),
                    exemplar=exemplar,
                    mode=finding.mode,
                )

    def set_total(self, name: str, total: float, *labels: str) -> None:
        """Say how many there are in the store; a counter never falls, whatever is erased there.

        Args:
            name: one of the table's stored counters.
            total: how many there are.
            labels: values in the table's order.
        """
        metric = metric_named(name)
        values = tuple(
            self.labels.bound(label, value)
            for label, value in zip(metric.labels, labels, strict=True)
        )
        with self._lock:
            held = self._totals.setdefault(metric.name, {})
            held[values] = max(total, held.get(values, 0))

    def set_summary(self, summary: Summary, *, seconds: float | None = None) -> None:
        """Expose these estimates from now on; those that are no longer supported disappear.

        Args:
            summary: of the service's whole frame, or of the last 28 days and more.
            seconds: how long making it took.
        """
        self._summary = summary
        if seconds is not None:
            self.set("fidelity_estimates_duration_seconds", seconds)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as an HTTP body and its content type.

        Args:
            accept: the request's Accept header; OpenMetrics (with exemplars) where it asks for it.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _child(self, name: str, kind: type[Any], labels: Mapping[str, str]) -> Any:
        key = (name, kind, *labels.items())
        known = self._children.get(key)
        if known is None:
            known = self._make_child(name, kind, labels)
            # Which label values stay their own is settled when they first come, and never changes.
            short = all(len(value) <= _LONGEST for value in labels.values())
            if short and len(self._children) < _MOST_CHILDREN:
                self._children[key] = known
        return known

    def _make_child(self, name: str, kind: type[Any], labels: Mapping[str, str]) -> Any:
        metric = metric_named(name)
        found = self._live.get(metric.name)
        if found is None or not isinstance(found, kind):
            raise KeyError(f"{metric.name} is not a {kind.__name__.lower()} that can be changed")
        self._show(metric.name, found)
        if not metric.labels and not labels:
            return found
        # `name` is a parameter of ours, so that label is given as `name_`.
        given = {
            k.removesuffix("_"): self.labels.bound(k.removesuffix("_"), v)
            for k, v in labels.items()
        }
        return found.labels(**given)

    def _show(self, name: str, found: Any) -> None:
        """Register a gauge when it first has a value: until then it is absent, not 0."""
        if isinstance(found, Gauge) and name not in self._shown:
            with self._lock:
                if name not in self._shown:
                    self.registry.register(found)
                    self._shown.add(name)

    def late(self) -> Iterable[Family]:
        """The families made at scrape time: estimates of the last summary, and the tally."""
        if self._summary is not None:
            yield from _families(samples_of(self._summary), self.labels)
        if self._tally is not None:
            counts = self._tally.all()
            for metric in METRICS:
                if metric.tally:
                    yield _counted(metric, counts, self.labels)
        with self._lock:
            totals = {name: dict(series) for name, series in self._totals.items()}
        for name, series in totals.items():
            metric = metric_named(name)
            family = CounterMetricFamily(name, metric.help, labels=metric.labels)
            for values, n in series.items():
                family.add_metric(values, n)
            yield family


class _Late(Collector):
    """Asks the metrics for what is made at scrape time."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Family]:
        return self._metrics.late()


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | WeighedHistogram:
    if metric.type == "counter":
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.type == "gauge":
        return Gauge(metric.name, metric.help, metric.labels, registry=None)
    return WeighedHistogram(
        metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets
    )


def _families(samples: Iterable[Sample], labels: Labels) -> Iterable[Family]:
    grouped: dict[str, dict[tuple[str, ...], float]] = {}
    for sample in samples:
        metric = metric_named(sample.name)
        values = tuple(
            labels.bound(label, value)
            for label, value in zip(metric.labels, sample.labels, strict=True)
        )
        # Two workflows that are both "other" cannot both be exposed: the first, larger one is.
        grouped.setdefault(metric.name, {}).setdefault(values, sample.value)
    for name, series in grouped.items():
        metric = metric_named(name)
        family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
        for values, value in series.items():
            family.add_metric(values, value)
        yield family


def _counted(metric: Metric, counts: Mapping[tuple[str, str], int], labels: Labels) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    if not metric.labels:
        family.add_metric((), sum(n for (name, _), n in counts.items() if name == metric.tally))
        return family
    summed: dict[str, int] = {values[0]: 0 for values in metric.starts}
    for (name, label), n in counts.items():
        if name == metric.tally:
            value = labels.bound(metric.labels[0], label)
            summed[value] = summed.get(value, 0) + n
    for value, n in summed.items():
        family.add_metric((value,), n)
    return family
