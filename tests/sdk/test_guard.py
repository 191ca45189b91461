"""The host never sees a fault of ours: whatever breaks inside, the call goes through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.sdk import guard, recorder, recording
from fidelity_otel.sdk.state import STATE
from fidelity_otel.testing import Recorded


class Boom(Exception):
    pass


def boom(*_: Any, **__: Any) -> Any:
    raise Boom("inside of us")


BROKEN = [
    (recorder.Recorder, "open"),
    (recorder.Recorder, "_span"),
    (recorder, "_attach"),
    (recording, "to_json"),
    (recording.Recording, "_write"),
    (recording.Recording, "_private"),
    (recording, "read_documents"),
    (recording, "_stack"),
    (recorder.Recorder, "private"),
    (recorder.Recorder, "carry"),
    (recorder.Recorder, "handle"),
    (recorder.Recorder, "current"),
]


@pytest.mark.parametrize(("owner", "name"), BROKEN, ids=lambda v: str(getattr(v, "__name__", v)))
def test_every_broken_part_is_skipped_and_counted(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, recorded: Recorded
) -> None:
    monkeypatch.delenv("FIDELITY_STRICT")
    monkeypatch.setattr(owner, name, boom)
    before = sum(guard.counts.values())

    @fidelity.observe("f")
    def f(a: int) -> int:
        fidelity.bind("k", "v")
        fidelity.handle()
        fidelity.outcome(("a", "b"), "n", 1)
        return a

    @fidelity.retrieval("r")
    def r(q: str) -> list[str]:
        return [q]

    @fidelity.observe("g")
    def g() -> Iterator[int]:
        yield 1
        yield 2

    @fidelity.observe("ag")
    async def ag() -> AsyncIterator[int]:
        yield 1

    @fidelity.observe("fails")
    def fails() -> None:
        raise KeyError("k")

    @fidelity.observe("afails")
    async def afails() -> None:
        raise KeyError("k")

    async def main() -> list[int]:
        with pytest.raises(KeyError):
            await afails()
        return [x async for x in ag()]

    assert f(1) == 1
    assert r("q") == ["q"]
    assert list(g()) == [1, 2]
    assert asyncio.run(main()) == [1]
    with pytest.raises(KeyError):
        fails()
    with fidelity.span("s", input=1) as s:
        s.output(2).documents(["a"]).tool("t", {"a": 1}).set("k", 1).error(ValueError("x"))
    assert sum(guard.counts.values()) > before


def test_a_fault_is_logged_once_and_counted_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("FIDELITY_STRICT")
    before = guard.counts["somewhere"]
    for _ in range(5):
        guard.trip("somewhere", Boom("x"))
    assert guard.counts["somewhere"] == before + 5
    assert caplog.text.count("somewhere") == 1
    assert "not affected" in caplog.text


def test_strict_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIDELITY_STRICT", "1")
    with pytest.raises(Boom):
        guard.trip("somewhere", Boom("x"))
    for off in ("", "0", "false", "off"):
        monkeypatch.setenv("FIDELITY_STRICT", off)
        guard.trip("somewhere", Boom("x"))


def test_an_exporter_that_raises_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real pipeline: a broken exporter, and the call still returns."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

    class Broken(SpanExporter):
        def export(self, spans: Any) -> Any:
            raise Boom("export")

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Broken()))
    fidelity.init(tracer_provider=provider, instrument=False)
    try:
        assert STATE.recorder is not None
        assert fidelity.observe("f")(lambda: 5)() == 5
    finally:
        fidelity.shutdown()
