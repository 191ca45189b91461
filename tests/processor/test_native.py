"""The corpus and the recorded traces give the same findings natively and in Python, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fidelity_otel.processor import native

FIXTURES = Path(__file__).parent / "dialects" / "fixtures"
CORPUS = Path(__file__).parent / "detect"

READ_ALL = """
import sys
from pathlib import Path
fixtures, folder = map(Path, sys.argv[1:])
sys.path.insert(0, str(folder))
import corpus
from fidelity_otel.processor import native, wire
from fidelity_otel.processor.detect import detect_all, features, risk
from fidelity_otel.processor.read import read_trace
from fidelity_otel.processor.read_files import requests_in

def fail(place, why):
    raise SystemExit(f"{place}: {why}")

traces = [
    read_trace(wire.decode(part.otlp))
    for path in sorted(fixtures.glob("*.jsonl"))
    for _, body in requests_in(path.name, path.read_bytes(), fail)
    for part in wire.split(body).parts
]
traces += [read_trace(corpus.raw_spans(corpus.load(path))) for path in corpus.files()]
found = detect_all(traces, now_ns=1_764_000_000 * 10**9)
print(native.in_use(), len(traces), sum(map(len, found)))
for trace, findings in zip(traces, found, strict=True):
    print(repr(trace))
    print(repr(findings), risk(trace, findings), features.features(trace, findings))
"""


def read_all(wanted: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ_ALL, str(FIXTURES), str(CORPUS)],
        env={"FIDELITY_RECEIVE_NATIVE": wanted, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(not native.available(), reason="the native parts were not built: no C compiler")
def test_traces_and_findings_of_the_corpus_are_the_same() -> None:
    natively, python = read_all("on"), read_all("off")
    way, traces, findings = python[0].split()
    assert way == "python"
    assert natively[0].split() == ["native", traces, findings]
    assert int(traces) > 100
    assert int(findings) > 100
    assert natively[1:] == python[1:]


def test_all_parts_are_used_or_none() -> None:
    before = native.in_use()
    try:
        native.use(False)
        assert (native.scan, native.read, native.words) == (None, None, None)
        native.use(True)
        assert len({part is None for part in (native.scan, native.read, native.words)}) == 1
        assert native.in_use() == ("native" if native.available() else "python")
    finally:
        native.use(before == "native")
