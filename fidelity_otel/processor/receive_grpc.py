"""OTLP over gRPC. Bodies stay bytes: the service takes them apart itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio

from fidelity_otel.errors import ConfigError, InputError, JournalError, Overloaded
from fidelity_otel.processor import wire_status
from fidelity_otel.processor.intake import Intake

__all__ = ["GrpcReceiver"]

_SERVICES: Final = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
}
_HEALTH: Final = "grpc.health.v1.Health"
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"
_DETAILS: Final = "grpc-status-details-bin"
_JOURNAL_RETRY: Final = 5.0

Handler = Callable[[bytes, Any], Awaitable[bytes]]


class GrpcReceiver:
    """The OTLP gRPC server: traces, logs, and the standard health service.

    Args:
        intake: where requests go.
        ready: whether the service takes requests now.
        token: bearer token that requests must carry; none where empty.
        credentials: for TLS; plain text where None.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        ready: Callable[[], bool],
        token: str = "",
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._intake = intake
        self._ready = ready
        self._authorization = f"Bearer {token}" if token else ""
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the bound port.

        Raises:
            ConfigError: the address cannot be used.
        """
        limit = self._intake.max_request_bytes
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.so_reuseport", 0),  # otherwise a port in use is shared in silence
                ("grpc.max_concurrent_streams", 128),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ]
        )
        handlers = [
            grpc.method_handlers_generic_handler(
                service, {"Export": grpc.unary_unary_rpc_method_handler(self._export(signal))}
            )
            for service, signal in _SERVICES.items()
        ]
        health: dict[str, Any] = {"Check": grpc.unary_unary_rpc_method_handler(self._check)}
        handlers.append(grpc.method_handlers_generic_handler(_HEALTH, health))
        server.add_generic_rpc_handlers(handlers)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = (
                server.add_secure_port(address, self._credentials)
                if self._credentials is not None
                else server.add_insecure_port(address)
            )
        except RuntimeError:
            bound = 0
        if bound == 0:
            raise ConfigError(
                f"OTLP gRPC cannot listen on {address}: the port is in use or the address is not "
                "this machine's. Mend: stop the other program, or choose another port with "
                "ports.otlp_grpc (FIDELITY_OTLP_GRPC_PORT; 0 = any free one)."
            )
        await server.start()
        self._server = server
        return int(bound)

    async def stop(self, grace: float) -> None:
        """Take no more requests; let those in flight end within `grace` seconds."""
        if self._server is not None:
            await self._server.stop(grace)

    async def _check(self, _request: bytes, _context: Any) -> bytes:
        return _SERVING if self._ready() else _NOT_SERVING

    def _export(self, signal: str) -> Handler:
        intake = self._intake

        async def export(body: bytes, context: Any) -> bytes:
            if self._authorization and not self._authorized(context):
                await _abort(
                    context,
                    grpc.StatusCode.UNAUTHENTICATED,
                    wire_status.UNAUTHENTICATED,
                    "a bearer token is wanted (receive.token)",
                )
            size = len(body)
            try:
                intake.admission.enter(size)
            except Overloaded as error:
                intake.meter("grpc", "refused", size, 0, 0)
                await _abort(
                    context,
                    grpc.StatusCode.UNAVAILABLE,
                    wire_status.UNAVAILABLE,
                    str(error),
                    error.retry_after,
                )
            try:
                accepted = await intake.take(signal, body, "grpc")
            except InputError as error:
                intake.meter("grpc", "invalid", size, 0, 0)
                await _abort(
                    context,
                    grpc.StatusCode.INVALID_ARGUMENT,
                    wire_status.INVALID_ARGUMENT,
                    str(error),
                )
            except JournalError as error:
                intake.meter("grpc", "refused", size, 0, 0)
                await _abort(
                    context,
                    grpc.StatusCode.UNAVAILABLE,
                    wire_status.UNAVAILABLE,
                    str(error),
                    _JOURNAL_RETRY,
                )
            else:
                if not accepted.rejected and not accepted.message:
                    return b""  # an empty message: full success
                return wire_status.response(signal, accepted.rejected, accepted.message)
            finally:
                intake.admission.leave(size)
            raise AssertionError  # abort has raised

        return export

    def _authorized(self, context: Any) -> bool:
        metadata = context.invocation_metadata() or ()
        return any(k == "authorization" and v == self._authorization for k, v in metadata)


async def _abort(
    context: Any, code: grpc.StatusCode, number: int, message: str, retry: float | None = None
) -> None:
    """End a call with a status that also carries its details, such as when to retry."""
    details = wire_status.status(number, message, retry_seconds=retry)
    await context.abort(code, message, trailing_metadata=((_DETAILS, details),))
