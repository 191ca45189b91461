"""What was found in a trace as OTLP, so that it shows where the trace is looked at."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fidelity_otel import semconv
from fidelity_otel.model import Finding, TraceRecord

__all__ = ["findings_as_logs", "findings_as_spans"]

_SCOPE: Final = "fidelity_otel"
_INFO, _WARN = 9, 13


def findings_as_logs(record: TraceRecord) -> bytes:
    """A logs request: one `fidelity.finding` event a finding, on the span that it is about."""
    made = ExportLogsServiceRequest()
    resource = made.resource_logs.add()
    _text(resource.resource.attributes, semconv.SERVICE_NAME, record.service)
    scope = resource.scope_logs.add()
    scope.scope.name = _SCOPE
    for finding in record.findings:
        warns = finding.state == "unrecovered"
        one = scope.log_records.add(
            event_name=semconv.FIDELITY_FINDING_EVENT,
            trace_id=bytes.fromhex(record.trace_id),
            span_id=_span_id(finding),
            time_unix_nano=record.end_ns,
            observed_time_unix_nano=max(0, record.decision.decided_ns),
            severity_number=_WARN if warns else _INFO,
            severity_text="WARN" if warns else "INFO",
        )
        one.body.string_value = _clean(finding.evidence)
        _attributes(one.attributes, record, finding)
    return made.SerializeToString()


def findings_as_spans(record: TraceRecord) -> bytes:
    """A trace request: one span `fidelity.findings` in the trace, with an event a finding.

    Its id follows from the trace and its revision, so that sending it twice changes nothing.
    """
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    _text(resource.resource.attributes, semconv.SERVICE_NAME, record.service)
    scope = resource.scope_spans.add()
    scope.scope.name = _SCOPE
    said = f"{semconv.FIDELITY_FINDINGS_SPAN}:{record.trace_id}:{record.revision}"
    span = scope.spans.add(
        trace_id=bytes.fromhex(record.trace_id),
        span_id=sha256(said.encode()).digest()[:8],
        parent_span_id=_span_id(record.findings[0]),
        name=semconv.FIDELITY_FINDINGS_SPAN,
        kind=1,
        start_time_unix_nano=record.end_ns,
        end_time_unix_nano=record.end_ns,
    )
    for finding in record.findings:
        event = span.events.add(name=semconv.FIDELITY_FINDING_EVENT, time_unix_nano=record.end_ns)
        _attributes(event.attributes, record, finding)
    return made.SerializeToString()


def _attributes(target: Any, record: TraceRecord, finding: Finding) -> None:
    for key, value in (
        (semconv.FIDELITY_FINDING_MODE, finding.mode),
        (semconv.FIDELITY_FINDING_STATE, finding.state),
        (semconv.FIDELITY_FINDING_EVIDENCE, finding.evidence),
        (semconv.FIDELITY_FINDING_SPAN_ID, finding.span_id),
        (semconv.FIDELITY_WORKFLOW, record.workflow),
    ):
        _text(target, key, value)


def _text(target: Any, key: str, value: str) -> None:
    if value:
        target.add(key=key).value.string_value = _clean(value)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _span_id(finding: Finding) -> bytes:
    return bytes.fromhex(finding.span_id)
