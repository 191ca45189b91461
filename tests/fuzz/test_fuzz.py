"""A hundred thousand hostile bodies, and that the judge itself can find something wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fidelity_otel.processor import native

RUN = Path(__file__).with_name("run.py")
COUNT = int(os.environ.get("FIDELITY_FUZZ_COUNT", "100000"))


def fuzz(*options: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, so that its memory is its own."""
    command = [sys.executable, str(RUN)]
    if code:  # the command with something broken in it
        command = [
            sys.executable,
            "-P",  # the installed package with its native parts, not the sources in this folder
            "-c",
            f"{code}\nimport runpy; runpy.run_path({str(RUN)!r}, run_name='__main__')",
        ]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, timeout=900
    )


@pytest.mark.timeout(900)
def test_no_body_breaks_the_receivers() -> None:
    done = fuzz("--count", str(COUNT), "--seed", "20261125")
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["bodies"] == COUNT
    assert set(told["answers"]) == {"200", "400", "404", "413", "415"}
    assert told["spans_acked_and_read"] > COUNT / 10
    assert told["traces_decided"] > COUNT / 1000
    assert told["traces_passed_by_the_sift"] > COUNT / 2000


BREAKS = {
    "an exception": """
from fidelity_otel.processor import receive_http
from fidelity_otel.processor.compression import decompress
def broken(body, encoding, *, limit):
    import zstandard
    return zstandard.decompress(body) if encoding == "zstd" else decompress(body, encoding, limit=limit)
receive_http.decompress = broken
""",
    "a bomb that goes off": """
from fidelity_otel.processor import receive_http
from fidelity_otel.processor.compression import decompress
receive_http.decompress = lambda body, encoding, *, limit: decompress(body, encoding, limit=1 << 40)
""",
    "bytes that stay admitted": """
from fidelity_otel.processor.admission import Admission
left = Admission.leave
Admission.leave = lambda self, size: left(self, max(0, size - 1))
""",
    "good requests refused": """
from fidelity_otel.processor import intake
from fidelity_otel.errors import WireError
records_in = intake.records_in
def broken(body, *, limit, time_ns):
    records = records_in(body, limit=limit, time_ns=time_ns)
    if records.spans > 2:
        raise WireError("no")
    return records
intake.records_in = broken
""",
    "a sift that lets all pass": """
from fidelity_otel.processor import wire
from fidelity_otel.processor.sift import Sift, Sifted
Sift.told = lambda self, otlp: Sifted(len(wire.decode(otlp)), 0)
""",
    "notes of other traces": """
from fidelity_otel.processor.sift import Sift
right = Sift.look_at_all
Sift.look_at_all = lambda self, *given: right(self, *given)[::-1]
""",
}


@pytest.mark.parametrize("what", BREAKS)
def test_the_judge_notices(what: str) -> None:
    if what == "notes of other traces" and not native.available():
        pytest.skip("the native parts were not built: no C compiler")
    done = fuzz("--count", "3000", code=BREAKS[what])
    assert done.returncode == 1, done.stdout
    assert "seed 1" in done.stderr
