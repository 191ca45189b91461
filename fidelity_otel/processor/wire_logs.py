"""Outcome events that come as log records, turned into the carrier spans that the chain knows.

A `gen_ai.evaluation.result` event is about the span whose ids its log record carries, or about what
its `fidelity.outcome.ref.*` attributes name. As a span of its own it takes the same way as
everything else: journal, assembly, store. Its ids are a hash of the record, so that a retry of the
sender changes nothing.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fidelity_otel import semconv
from fidelity_otel.errors import WireError

__all__ = ["Carried", "carriers"]

_LEGACY_NAME: Final = "event.name"


class Carried(NamedTuple):
    """The outcomes of a logs request as a trace request, and how many records were not outcomes."""

    otlp: bytes
    outcomes: int
    others: int


def carriers(body: bytes) -> Carried:
    """Read a logs request.

    Raises:
        WireError: the body is not an OTLP logs request.
    """
    try:
        logs = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise WireError(f"not an OTLP logs request: {error}") from None
    made = ExportTraceServiceRequest()
    outcomes = others = 0
    for resource_logs in logs.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            events = [r for r in scope_logs.log_records if _is_outcome(r)]
            others += len(scope_logs.log_records) - len(events)
            outcomes += len(events)
            if not events:
                continue
            resource = made.resource_spans.add()
            resource.resource.CopyFrom(resource_logs.resource)
            scope = resource.scope_spans.add()
            scope.scope.CopyFrom(scope_logs.scope)
            for record in events:
                _carrier(scope.spans.add(), record)
    return Carried(made.SerializeToString(), outcomes, others)


def _is_outcome(record: Any) -> bool:
    name = record.event_name or next(
        (a.value.string_value for a in record.attributes if a.key == _LEGACY_NAME), ""
    )
    return bool(name == semconv.GEN_AI_EVALUATION_RESULT)


def _carrier(span: Any, record: Any) -> None:
    digest = sha256(record.SerializeToString(deterministic=True)).digest()
    at = record.time_unix_nano or record.observed_time_unix_nano or 1
    span.trace_id, span.span_id = digest[:16], digest[16:24]
    span.name = semconv.FIDELITY_OUTCOME_SPAN
    span.start_time_unix_nano = span.end_time_unix_nano = at
    span.attributes.MergeFrom(record.attributes)
    given = {a.key for a in record.attributes}
    event = span.events.add(name=semconv.GEN_AI_EVALUATION_RESULT, time_unix_nano=at)
    event.attributes.MergeFrom(record.attributes)
    if len(record.trace_id) == 16 and any(record.trace_id):  # noqa: PLR2004
        span.links.add(trace_id=record.trace_id, span_id=record.span_id)
    if semconv.FIDELITY_OUTCOME_ID not in given:
        span.attributes.add(
            key=semconv.FIDELITY_OUTCOME_ID
        ).value.string_value = f"log-{digest[:12].hex()}"
