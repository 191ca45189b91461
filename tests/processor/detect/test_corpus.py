"""Every trace of the corpus gives exactly the findings that its file says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import corpus

from fidelity_otel.processor.detect import BY_NAME, detect
from fidelity_otel.processor.read import read_trace


@pytest.mark.parametrize("path", corpus.files(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_finds_exactly_what_the_file_says(path: Path) -> None:
    case = corpus.load(path)
    spans = corpus.raw_spans(case)
    findings = detect(read_trace(spans))
    assert corpus.shown(findings, spans) == corpus.expected(case)
    for finding in findings:
        assert finding.mode in BY_NAME
        assert finding.state in BY_NAME[finding.mode].states
        assert finding.evidence.endswith(".")
        assert "\n" not in finding.evidence


@pytest.mark.parametrize("path", corpus.files()[::7], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_order_of_arrival_does_not_matter(path: Path) -> None:
    spans = corpus.raw_spans(corpus.load(path))
    assert detect(read_trace(spans[::-1])) == detect(read_trace(spans))
