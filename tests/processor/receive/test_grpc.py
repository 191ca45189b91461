"""OTLP/gRPC rule by rule, through a real server and a real channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from otlp import request, span
from receiving import Receiving

from fidelity_otel.errors import ConfigError
from fidelity_otel.processor.receive_grpc import GrpcReceiver

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
HEALTH = "/grpc.health.v1.Health/Check"
BODY = request(span(1, 1, parent=None), span(1, 2))


@asynccontextmanager
async def served(
    folder: Path, token: str = "", **options: Any
) -> AsyncIterator[tuple[Receiving, Any]]:
    receiving = Receiving(folder, **options)
    server = GrpcReceiver(receiving.intake, ready=lambda: True, token=token)
    port = await server.start("127.0.0.1", 0)
    big = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=big) as channel:

            async def call(method: str, body: bytes, **more: Any) -> bytes:
                answer: bytes = await channel.unary_unary(method)(body, timeout=20, **more)
                return answer

            yield receiving, call
    finally:  # a server left to the garbage collector holds up whatever test comes next
        await server.stop(1)
        await receiving.close()


async def all_left(there: Receiving) -> bool:
    """Whether nothing stays admitted; the client may have its answer a moment before."""
    for _ in range(1_000):
        if there.admission.in_flight == 0:
            return True
        await asyncio.sleep(0.001)
    return False


def details(error: grpc.aio.AioRpcError) -> Status:
    (found,) = [v for k, v in error.trailing_metadata() if k == "grpc-status-details-bin"]
    return Status.FromString(found)


async def test_success_is_an_empty_message(tmp_path: Path) -> None:
    async with served(tmp_path) as (there, call):
        assert await call(TRACES, BODY) == b""
        assert await call(TRACES, b"") == b""
        assert len(there.spans()) == 2
        assert await call(HEALTH, b"") == b"\x08\x01"
        assert await call(LOGS, b"") == b""


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages(tmp_path: Path, how: grpc.Compression) -> None:
    async with served(tmp_path) as (there, call):
        assert await call(TRACES, BODY, compression=how) == b""
        assert len(there.spans()) == 2


async def test_partial_success(tmp_path: Path) -> None:
    async with served(tmp_path) as (there, call):
        answer = await call(TRACES, request(span(1, 1), span(0, 2)))
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
        assert partial.rejected_spans == 1
        assert len(there.spans()) == 1


async def test_bad_data_is_invalid_argument_which_is_not_retried(tmp_path: Path) -> None:
    async with served(tmp_path) as (there, call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(TRACES, b"\xff\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "not an OTLP trace request" in details(caught.value).message
        assert await all_left(there)


@pytest.mark.parametrize(
    ("options", "seconds", "says"),
    [
        ({"max_in_flight": 10}, 1, "max_in_flight_bytes"),
        ({"max_journal": 10}, 5, "journal.max_bytes"),
    ],
)
async def test_pressure_is_unavailable_with_retry_info(
    tmp_path: Path, options: dict[str, int], seconds: int, says: str
) -> None:
    """Not RESOURCE_EXHAUSTED: without RetryInfo the stock exporter would drop its data."""
    async with served(tmp_path, **options) as (there, call):
        if "max_in_flight" in options:
            there.admission.enter(9)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(TRACES, BODY)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        status = details(caught.value)
        assert (status.code, says in status.message) == (14, True)
        info = error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(info)
        assert info.retry_delay.seconds == seconds
        assert there.spans() == []


@pytest.mark.parametrize("how", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_too_large_is_resource_exhausted_also_after_decompression(
    tmp_path: Path, how: grpc.Compression
) -> None:
    async with served(tmp_path, max_request_bytes=10_000) as (there, call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(TRACES, request(span(1, 1, text="x" * 5_000_000)), compression=how)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert there.spans() == []
        assert await call(TRACES, BODY) == b""


async def test_a_token_is_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path, token="s3cret") as (_, call):
        for given in (None, (("authorization", "Bearer no"),)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(TRACES, BODY, metadata=given)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await call(TRACES, BODY, metadata=(("authorization", "Bearer s3cret"),)) == b""


async def test_other_services_are_unimplemented(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_port_in_use_is_said_with_its_setting(tmp_path: Path) -> None:
    receiving = Receiving(tmp_path)
    first, second = (GrpcReceiver(receiving.intake, ready=lambda: True) for _ in range(2))
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(
        ConfigError, match=rf"127\.0\.0\.1:{port}.*ports\.otlp_grpc.*FIDELITY_OTLP_GRPC_PORT"
    ):
        await second.start("127.0.0.1", port)
    await first.stop(0)
    await receiving.close()
