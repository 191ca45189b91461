"""The tally: what is tried again counts once, and only that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fidelity_otel.processor.tally import Tally


def test_an_attempt_counts_once_it_has_succeeded() -> None:
    tally = Tally()
    tally.add("traces", "root", 2)
    with pytest.raises(OSError, match="busy"), tally.attempt():
        tally.add("traces", "root")
        raise OSError("busy")
    with tally.attempt():
        tally.add("traces", "root", 3)
        tally.add("spans")
        assert tally.get("traces", "root") == 2
    tally.add("traces", "idle")
    assert tally.all() == {("traces", "root"): 5, ("spans", ""): 1, ("traces", "idle"): 1}


def test_an_attempt_holds_nothing_back_of_other_threads() -> None:
    tally = Tally()
    with ThreadPoolExecutor(1) as other, pytest.raises(OSError, match="busy"), tally.attempt():
        other.submit(tally.add, "requests").result()
        tally.add("traces")
        assert tally.all() == {("requests", ""): 1}
        raise OSError("busy")
    assert tally.all() == {("requests", ""): 1}
