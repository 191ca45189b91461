"""What detectors skip in a calm trace is never a finding: looking anyway finds the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import corpus

from fidelity_otel.model import Event, Trace
from fidelity_otel.processor.detect import detect_all
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.read import read_trace

TRACES = [read_trace(corpus.raw_spans(corpus.load(path))) for path in corpus.files()]


def test_looking_anyway_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = detect_all(TRACES)
    calm = [Facts(trace).calm for trace in TRACES if trace.spans]
    assert 20 < sum(calm) < len(calm) - 20
    assert sum(len(each) for each in found if isinstance(each, tuple)) > 100
    given = Facts.__init__

    def never_calm(self: Facts, trace: Trace) -> None:
        given(self, trace)
        self.calm = False

    monkeypatch.setattr(Facts, "__init__", never_calm)
    assert detect_all(TRACES) == found


@pytest.mark.parametrize(
    "change",
    [
        {"status": "error"},
        {"error_type": "TimeoutError"},
        {"events": (Event("fidelity.attempt"),)},
        {"attempt": 2, "parent_id": "a"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_span_with_trouble_is_enough(change: dict[str, Any]) -> None:
    calm = next(trace for trace in TRACES if trace.spans and Facts(trace).calm)
    for place, span in enumerate(calm.spans):
        spans = list(calm.spans)
        spans[place] = msgspec.structs.replace(span, **change)
        assert not Facts(msgspec.structs.replace(calm, spans=tuple(spans))).calm
