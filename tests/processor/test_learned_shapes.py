"""The service learns what a tool's results look like, and says where one is unlike the others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec

from fidelity_otel.model import Trace
from fidelity_otel.processor.contract import Contracts
from fidelity_otel.processor.contract.cases import Case
from fidelity_otel.processor.detect import DEFAULT
from fidelity_otel.processor.service import make_pipeline
from fidelity_otel.processor.tally import Tally


def looked_up(result: Any) -> Trace:
    tools = [{"name": "look", "result": result}]
    return msgspec.convert({"answer": "Here it is.", "tools": tools}, type=Case).trace("support")


def test_an_odd_result_is_found_once_the_usual_is_known() -> None:
    live: Any = SimpleNamespace(detection=DEFAULT, contracts=Contracts())
    pipeline = make_pipeline(live, Tally())

    def detect(trace: Trace, now_ns: int) -> Any:
        (found,) = pipeline._detect([trace], now_ns)
        return found

    odd, usual = looked_up({"error_page": "<html>"}), {"order": 7, "state": "sent", "total": 9.5}
    assert "tool_schema_mismatch" not in {f.mode for f in detect(odd, 0)}
    for _ in range(40):
        detect(looked_up(usual), 0)
    assert "tool_schema_mismatch" in {f.mode for f in detect(odd, 0)}
    assert "tool_schema_mismatch" not in {f.mode for f in detect(looked_up(usual), 0)}
