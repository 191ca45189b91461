"""The service learns what a tool's results look like, and says where one is unlike the others."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

import msgspec

from fidelity_otel.model import Trace
from fidelity_otel.processor.contract import Contracts
from fidelity_otel.processor.contract.cases import Case
from fidelity_otel.processor.detect import DEFAULT, History
from fidelity_otel.processor.detect.shapes import shape_of
from fidelity_otel.processor.detect.wording import hands_over_tool, is_changing, is_reading
from fidelity_otel.processor.service import make_pipeline
from fidelity_otel.processor.tally import Tally


def looked_up(result: Any) -> Trace:
    tools = [{"name": "look", "result": result}]
    return msgspec.convert({"answer": "Here it is.", "tools": tools}, type=Case).trace("support")


def test_an_odd_result_is_found_once_the_usual_is_known() -> None:
    live: Any = SimpleNamespace(detection=DEFAULT, contracts=Contracts())
    pipeline = make_pipeline(live, Tally())

    def detect(trace: Trace, now_ns: int) -> Any:
        (found,) = pipeline._detect([trace], now_ns, [None])
        return found

    odd, usual = looked_up({"error_page": "<html>"}), {"order": 7, "state": "sent", "total": 9.5}
    assert "tool_schema_mismatch" not in {f.mode for f in detect(odd, 0)}
    for _ in range(40):
        detect(looked_up(usual), 0)
    assert "tool_schema_mismatch" in {f.mode for f in detect(odd, 0)}
    assert "tool_schema_mismatch" not in {f.mode for f in detect(looked_up(usual), 0)}


def test_what_is_kept_of_names_is_bounded() -> None:
    """Senders choose names; a service that runs for months must not keep whole ones of any size."""
    history, long = History(), "x" * 100_000
    tracemalloc.start()
    try:
        for number in range(3_000):
            name = f"{number} {long}"
            shape = shape_of({long: 1, "total": 2})
            history.learn(name, name, [shape])
            for ask in (hands_over_tool, is_changing, is_reading):
                ask(name)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8e6
    assert history.usual(long, long, ("text",)) is None
