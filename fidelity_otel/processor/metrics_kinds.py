"""What a row of the table of metrics is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FSYNC", "HUMAN", "LATENCY", "Kind", "Metric", "counter", "gauge", "seconds"]

Kind = Literal["counter", "gauge", "histogram"]

LATENCY = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
FSYNC = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
HUMAN = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row.

    `name` is without `_total`. `tally` names the service's counter that it is read from; `stored`
    ones are counted in the store. `starts` are labels that begin at 0, so that the first event is
    seen as an increase.
    """

    name: str
    type: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    group: str = "activity"
    buckets: tuple[float, ...] = ()
    tally: str = ""
    starts: tuple[tuple[str, ...], ...] = ()
    stored: bool = False

    @property
    def exposed(self) -> str:
        """The name as Prometheus sees it."""
        return f"{self.name}_total" if self.type == "counter" else self.name


def counter(
    group: str,
    name: str,
    text: str,
    *labels: str,
    unit: str = "",
    tally: str = "",
    starts: tuple[tuple[str, ...], ...] = (),
    stored: bool = False,
) -> Metric:
    """A counter: named without `_total`."""
    return Metric(
        name, "counter", text, labels, unit, group, tally=tally, starts=starts, stored=stored
    )


def gauge(group: str, name: str, text: str, *labels: str, unit: str = "") -> Metric:
    """A gauge."""
    return Metric(name, "gauge", text, labels, unit, group)


def seconds(group: str, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    """A histogram of seconds."""
    return Metric(name, "histogram", text, labels, "seconds", group, buckets)
