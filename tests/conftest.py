"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def find_data_sets() -> Path | None:
    """The folder of the published data sets, where there is one."""
    named = [os.environ.get("FIDELITY_DATA_SETS"), os.environ.get("FIDELITY_DATA")]
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    for folder in [*(Path(n) for n in named if n), beside]:
        if (folder / "tau_bench").is_dir():
            return folder
    return None


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The published data sets; skips, and says so, where they are absent."""
    folder = find_data_sets()
    if folder is None:
        pytest.skip("published data sets absent: set FIDELITY_DATA_SETS to their folder")
    return folder
