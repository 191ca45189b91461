"""The small examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("0*.py"))
SAID = {
    "01_observe": [
        "Goods can be returned",
        "retrieval search",
        "invoke_workflow",
        "fidelity.outcome",
    ],
    "02_streaming": ["Your order was sent yesterday", "execute_tool order_state"],
    "03_retry_and_fallback": ["small says: 30 days", "ask: fallback"],
    "04_shadow": ["refunded A-17", "incumbent"],
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_example(example: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(example)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    for said in SAID[example.stem]:
        assert said in ran.stdout
