"""What the demo knows and nobody in production does: the truth over all traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One trace: what the service knows of it, and whether it truly helped."""

    trace_id: str
    workflow: str
    request: str
    loud: bool  # it reported a failure, or has a finding that the system did not get over
    right: bool


def rows_of(traces: Sequence[Mapping[str, Any]], right: Mapping[str, bool]) -> list[Row]:
    """Join the service's traces with the answer key.

    Args:
        traces: as the API lists them.
        right: whether the answer helped, by the question's words.
    """
    return [
        Row(
            trace["trace_id"],
            trace["workflow"],
            trace["request"].strip(),
            not trace["reported_success"]
            or any(finding["state"] != "recovered" for finding in trace["findings"]),
            right[trace["request"].strip()],
        )
        for trace in traces
    ]


def fidelity_of(rows: Sequence[Row]) -> float:
    """The share of answers that did what the customer needed."""
    return sum(row.right for row in rows) / len(rows)


def silent_of(rows: Sequence[Row]) -> float:
    """The share that was wrong while nothing showed it."""
    return sum(not row.right and not row.loud for row in rows) / len(rows)
