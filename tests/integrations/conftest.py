"""Every test here runs strictly: a fault of ours is raised, so that it fails the test."""

from __future__ import annotations

import pytest

from fidelity_otel.sdk import guard


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIDELITY_STRICT", "1")
    guard._seen.clear()
