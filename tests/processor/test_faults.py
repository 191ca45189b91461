"""Disks that are read-only or slow, clocks that jump, connections that are torn: refused or late,
never lost, and everything as before once it is over."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from pathlib import Path

import pytest
from otlp import request, span
from receiving import Receiving, ask
from serving import Serving

from fidelity_otel.processor.assemble import Assembler, AssembleSettings
from fidelity_otel.processor.chain import restore
from fidelity_otel.processor.clock import steady_clock
from fidelity_otel.processor.intake import Intake
from fidelity_otel.processor.journal import Journal
from fidelity_otel.processor.journal.segment import Segment

HOUR = 3_600 * 10**9
SECOND = 10**9


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.EACCES])
async def test_a_disk_that_cannot_be_written_refuses_and_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    there = Receiving(tmp_path)
    try:
        assert (await ask(there.http, request(span(1, 1))))[0] == 200
        with monkeypatch.context() as broken:

            def write(self: Segment, *pieces: bytes) -> None:
                raise OSError(number, "the disk says no")

            broken.setattr(Segment, "write", write)
            code, headers, _ = await ask(there.http, request(span(2, 1)))
            assert (code, headers["retry-after"]) == (503, "5")
            assert there.journal.failure is not None
            assert there.admission.in_flight == 0
        assert (await ask(there.http, request(span(3, 1))))[0] == 200
        assert there.journal.failure is None
        assert [trace for trace, _ in there.spans()] == [f"{1:032x}", f"{3:032x}"]
    finally:
        await there.close()


async def test_a_slow_disk_is_shared_and_what_does_not_fit_is_asked_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Receiving(tmp_path, max_in_flight=200_000)
    sync, synced = Segment.sync, list[float]()

    def slow(self: Segment) -> None:
        time.sleep(0.2)
        sync(self)
        synced.append(time.monotonic())

    monkeypatch.setattr(Segment, "sync", slow)
    acked: dict[int, float] = {}
    refused: set[int] = set()

    async def send(number: int) -> None:
        code, _, _ = await ask(there.http, request(span(number, 1, text="x" * 5_000)))
        assert code in (200, 503)
        if code == 503:
            refused.add(number)
        else:
            acked[number] = time.monotonic()

    try:
        await asyncio.gather(*(send(number) for number in range(1, 101)))
        assert 10 <= len(acked) < 100, "memory is not bounded by what the disk takes"
        assert refused
        assert len(synced) <= 4, "requests do not share a sync"
        assert min(acked.values()) >= synced[0], "acked before it was durable"
        assert there.admission.in_flight == 0
        assert {int(trace, 16) for trace, _ in there.spans()} == set(acked)
        await send(1000)
        assert 1000 in acked
    finally:
        await there.close()


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_clock_that_jumps_while_running_changes_no_waiting_time(jump: int) -> None:
    wall, monotonic = 10 * HOUR, 5 * SECOND
    clock = steady_clock(lambda: wall, lambda: monotonic)
    before = clock()
    wall, monotonic = wall + jump, monotonic + 3 * SECOND
    assert clock() - before == 3 * SECOND


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
async def test_a_clock_that_jumped_during_a_restart_holds_nobody_up(
    tmp_path: Path, jump: int
) -> None:
    now = 10 * HOUR
    there = Receiving(tmp_path)
    there.intake = Intake(
        there.journal, there.assembler, there.admission, tally=there.intake.tally,
        clock=lambda: now, max_request_bytes=1 << 20,
    )  # fmt: skip
    await there.intake.take("traces", request(span(1, 1, parent=None), span(2, 2)), "http")
    await there.close()
    journal = Journal(tmp_path)
    try:
        assembler = Assembler(AssembleSettings(settle_seconds=2, idle_seconds=60))
        now += jump
        assert restore(journal, assembler, now_ns=now) == 2
        due = [r.trace_id for r in assembler.due(now + 3 * SECOND)]
        assert (1).to_bytes(16, "big") in due
        due += [r.trace_id for r in assembler.due(now + 61 * SECOND)]
        assert sorted(due) == [(1).to_bytes(16, "big"), (2).to_bytes(16, "big")]
    finally:
        journal.close()


def test_torn_connections_leave_nothing_behind(tmp_path: Path) -> None:
    whole = request(span(0xFEED, 1, parent=None, text="x" * 100_000))
    head = (
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
        f"content-length: {len(whole)}\r\n\r\n"
    ).encode()
    with Serving(tmp_path / "data") as service:
        for cut in range(0, len(whole), len(whole) // 60):
            for port in ("otlp_http", "otlp_grpc"):
                torn = socket.create_connection(("127.0.0.1", service.ports[port]), 5)
                torn.sendall((head if port == "otlp_http" else b"PRI * HTTP/2.0\r\n") + whole[:cut])
                # Closing at once with a reset, not with a farewell.
                torn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                torn.close()
        service.until(lambda: service.metric("fidelity_in_flight_bytes") == 0)
        assert service.send(request(span(0xBEEF, 1, parent=None))) == 200
        service.until(lambda: service.trace(f"{0xBEEF:032x}"))
        assert service.trace(f"{0xFEED:032x}") is None, "half a request was taken"
        assert "Traceback" not in service.said()
