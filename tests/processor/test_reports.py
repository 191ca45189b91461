"""The report's numbers in the service."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fidelity_otel.errors import InputError
from fidelity_otel.processor import reports as module
from fidelity_otel.processor.reports import Reports
from fidelity_otel.store import open_store


def test_summaries_are_made_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may hold a hundred megabytes for a moment, and who asks can ask often."""
    under_way, most = list[int](), list[int]()
    real = module.summary

    def watched(*args: object, **named: object) -> object:
        under_way.append(1)
        most.append(len(under_way))
        time.sleep(0.05)
        made = real(*args, **named)  # type: ignore[arg-type]
        under_way.pop()
        return made

    monkeypatch.setattr(module, "summary", watched)
    with open_store(tmp_path) as store, ThreadPoolExecutor(4) as pool:
        made = Reports(store, {}, lambda: 10**18)
        assert [each.activity.traces for each in pool.map(made.summary, [{}] * 4)] == [0] * 4
        with pytest.raises(InputError, match="since"):
            made.summary({"since": "soon"})
        assert made.summary({"since": "7d"}).since_ns == 10**18 - 7 * 86_400 * 10**9
    assert most == [1] * 5
