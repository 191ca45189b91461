"""The report's numbers for the service: on request, and refreshed for the metrics."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fidelity_otel.errors import InputError
from fidelity_otel.processor.heap import give_back
from fidelity_otel.report.html import render_html
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.summary import Summary

if TYPE_CHECKING:
    from fidelity_otel.store import Store

__all__ = ["Reports", "since_ns"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NS: Final = 1_000_000_000


def since_ns(text: str, now_ns: int) -> int | None:
    """The beginning of a report: "7d" or "36h" before now, or an ISO date; None where empty.

    Raises:
        InputError: it is neither.
    """
    text = text.strip()
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match:
        return now_ns - int(match[1]) * _UNITS[match[2]] * _NS
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"since = {text!r} is neither a time before now (7d, 36h, 90m) nor an ISO date "
            "(2026-11-01)."
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * _NS


class Reports:
    """Makes summaries, one at a time: what several hold at once would be the service's peak.

    Args:
        store: has the frame.
        settings: all settings by dotted name.
        clock: ns since the epoch.
    """

    def __init__(self, store: Store, settings: Mapping[str, Any], clock: Callable[[], int]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._one = threading.Lock()

    def summary(self, query: Mapping[str, str]) -> Summary:
        """The numbers; the query may say `since`."""
        now = self._clock()
        since = since_ns(query.get("since", ""), now)
        with self._one:
            try:
                return summary(self._store, now_ns=now, since_ns=since, settings=self._settings)
            finally:
                give_back()  # else the service stays at the size of its largest report

    def page(self, query: Mapping[str, str]) -> str:
        """The numbers as a page."""
        return render_html(self.summary(query))
