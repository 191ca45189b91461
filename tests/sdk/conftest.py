"""Every test here runs strictly: a fault of ours is raised, so that it fails the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fidelity_otel.sdk import guard
from fidelity_otel.testing import Recorded, record


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIDELITY_STRICT", "1")
    guard._seen.clear()


@pytest.fixture(params=["lean", "stock"])
def recorded(request: pytest.FixtureRequest) -> Iterator[Recorded]:
    """Both ways to record: everything holds on both."""
    with record(lean=request.param == "lean") as found:
        yield found
