"""A full journal makes requests wait in the order in which they came, and not for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from otlp import request, span
from receiving import Receiving

from fidelity_otel.errors import JournalFull

FULL = 20_000


async def filled(folder: Path, wait_seconds: float) -> Receiving:
    there = Receiving(folder, max_journal=FULL, wait_seconds=wait_seconds)
    for number in range(1, 4):
        await there.intake.take("traces", request(span(number, 1, text="x" * 6_000)), "grpc")
    return there


async def test_room_goes_to_who_waits_longest(tmp_path: Path) -> None:
    there = await filled(tmp_path, 3_600.0)
    large = request(span(11, 1, text="x" * 6_000))
    small = [request(span(number, 1)) for number in (12, 13)]
    waiting = []
    for body in (large, *small):
        waiting.append(asyncio.create_task(there.intake.take("traces", body, "grpc")))
        await asyncio.sleep(0)
    there.journal.max_bytes = FULL + 1_000  # enough for the small ones, which came later
    done, _ = await asyncio.wait(waiting, timeout=0.3)
    assert not done
    there.journal.max_bytes = FULL + 20_000
    await asyncio.gather(*waiting)
    assert [int(trace_id, 16) for trace_id, _ in there.spans()] == [1, 2, 3, 11, 12, 13]
    await there.close()


async def test_a_sender_that_has_gone_does_not_hold_up_the_others(tmp_path: Path) -> None:
    there = await filled(tmp_path, 3_600.0)
    bodies = (request(span(11, 1, text="x" * 6_000)), request(span(12, 1)))
    gone, stays = [
        asyncio.create_task(there.intake.take("traces", body, "grpc")) for body in bodies
    ]
    await asyncio.sleep(0.05)
    gone.cancel()
    there.journal.max_bytes = FULL + 1_000
    await stays
    assert [int(trace_id, 16) for trace_id, _ in there.spans()] == [1, 2, 3, 12]
    await there.close()


async def test_after_a_while_a_sender_is_told_to_come_again(tmp_path: Path) -> None:
    there = await filled(tmp_path, 0.05)
    bodies = [request(span(number, 1, text="x" * 6_000)) for number in range(11, 16)]
    told = await asyncio.gather(
        *(there.intake.take("traces", body, "grpc") for body in bodies), return_exceptions=True
    )
    assert [type(each) for each in told] == [JournalFull] * 5
    assert len(there.spans()) == 3
    with pytest.raises(JournalFull):
        await there.intake.take("traces", bodies[0], "grpc")
    there.journal.max_bytes = 2 * FULL
    await there.intake.take("traces", bodies[0], "grpc")
    assert len(there.spans()) == 4
    await there.close()
