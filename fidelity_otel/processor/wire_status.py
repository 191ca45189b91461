"""OTLP's answers: export responses, and `google.rpc.Status` for what went wrong.

Rules (OTLP specification 1.11): a partial success is a success that names how many were refused;
an HTTP error's body is a Status in the encoding of the request; a gRPC error that should be
retried carries a RetryInfo, without which RESOURCE_EXHAUSTED would make senders drop their data.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from fidelity_otel.processor.wire_json import message_to_json

__all__ = [
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "response",
    "status",
]

INVALID_ARGUMENT: Final = 3
NOT_FOUND: Final = 5
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

_RESPONSES: Final[dict[str, tuple[Any, str]]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}


def response(signal: str, rejected: int = 0, message: str = "", *, as_json: bool = False) -> bytes:
    """An export response; `partial_success` is unset where nothing is to be said.

    Args:
        signal: traces or logs.
        rejected: spans or records that were refused.
        message: why; with `rejected` 0 it is a warning.
        as_json: OTLP JSON instead of protobuf.
    """
    made_of, field = _RESPONSES[signal]
    made = made_of()
    if rejected or message:
        setattr(made.partial_success, field, rejected)
        made.partial_success.error_message = message
    encoded: bytes = message_to_json(made) if as_json else made.SerializeToString()
    return encoded


def status(
    code: int, message: str, *, retry_seconds: float | None = None, as_json: bool = False
) -> bytes:
    """A `google.rpc.Status`.

    Args:
        code: a gRPC status code.
        message: what is wrong, and how to mend it.
        retry_seconds: adds a RetryInfo: the sender should come again after this time.
        as_json: JSON instead of protobuf; without details, whose JSON form OTLP does not define.
    """
    made = status_pb2.Status(code=code, message=message)
    if as_json:
        return message_to_json(made)
    if retry_seconds is not None:
        whole = int(retry_seconds)
        delay = duration_pb2.Duration(seconds=whole, nanos=int((retry_seconds - whole) * 1e9))
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        made.details.append(detail)
    encoded: bytes = made.SerializeToString()
    return encoded
