"""Findings on their way into the journal, from where destinations read them."""

from __future__ import annotations

from fidelity_otel.model import TraceRecord
from fidelity_otel.processor.journal import FINDINGS, LOGS, frame
from fidelity_otel.processor.wire_findings import findings_as_logs, findings_as_spans

__all__ = ["Findings"]


class Findings:
    """Collects the findings of a batch in the deciding thread, until the batch is marked.

    Args:
        form: logs or spans.
    """

    def __init__(self, form: str) -> None:
        self._logs = form == "logs"
        self._frames: list[bytes] = []

    def found(self, record: TraceRecord) -> None:
        """A trace with findings has been stored."""
        payload = findings_as_logs(record) if self._logs else findings_as_spans(record)
        flags = LOGS if self._logs else 0
        decided = max(0, record.decision.decided_ns)
        self._frames.append(frame(FINDINGS, payload, time_ns=decided, flags=flags))

    def take(self) -> list[bytes]:
        """What was collected since the last time, as records of the journal."""
        frames, self._frames = self._frames, []
        return frames
