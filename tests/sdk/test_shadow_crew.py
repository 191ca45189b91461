"""The threads that shadow candidates run in: few, kept, and never in the caller's way."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fidelity_otel.sdk import guard, shadow_crew
from fidelity_otel.sdk.shadow_crew import Crew


def eventually(check: Callable[[], Any]) -> Any:
    """Wait for another thread to get there; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := check()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.002)
    return found


def crew(limit: int = 2, timeout: float = 20.0, late: Callable[[Any], object] = bool) -> Crew:
    return Crew(limit, timeout, late)


def test_a_thread_is_kept_for_the_next_job() -> None:
    one, seen = crew(), list[int]()
    for number in range(5):
        assert one.start(lambda: seen.append(threading.get_ident()))
        eventually(lambda wanted=number + 1: len(seen) == wanted and one._idle == 1)
    assert len(set(seen)) == 1


def test_no_more_jobs_at_a_time_than_allowed() -> None:
    one, release, seen = crew(2), threading.Event(), list[int]()

    def hangs() -> None:
        seen.append(threading.get_ident())
        release.wait(20)

    try:
        assert [one.start(hangs) for _ in range(5)] == [True, True, False, False, False]
        eventually(lambda: len(set(seen)) == 2)
    finally:
        release.set()
    eventually(lambda: one._idle == 2)
    assert one.start(hangs)
    eventually(lambda: len(seen) == 3)


def test_a_job_that_raises_leaves_its_thread() -> None:
    one, seen = crew(1), list[int]()
    before = guard.counts["shadow_failed"]

    def exits() -> None:
        seen.append(threading.get_ident())
        raise SystemExit(1)

    for number in range(2):
        assert one.start(exits)
        eventually(lambda wanted=number + 1: len(seen) == wanted and one._idle == 1)
    assert guard.counts["shadow_failed"] == before + 2
    assert len(set(seen)) == 1


def test_a_thread_with_nothing_to_do_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_crew, "_PATIENCE", 0.01)
    one, seen = crew(1), list[threading.Thread]()
    assert one.start(lambda: seen.append(threading.current_thread()))
    eventually(lambda: seen and not seen[0].is_alive())
    assert one.start(lambda: seen.append(threading.current_thread()))
    eventually(lambda: len(seen) == 2)


def test_what_takes_too_long_is_said_and_nothing_else() -> None:
    late = list[str]()
    one = crew(timeout=0.05, late=late.append)
    one.watch("hangs")
    one.watch("answers").done()
    one.watch("hangs, too")
    eventually(lambda: len(late) == 2)
    eventually(lambda: not one._watching)
    one.watch("hangs later")
    eventually(lambda: len(late) == 3)
    assert late == ["hangs", "hangs, too", "hangs later"]


def test_without_threads_nothing_runs_and_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    one, seen = crew(1), list[int]()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert not one.start(lambda: seen.append(1))
        one.watch("hangs")
    assert one.start(lambda: seen.append(2))
    eventually(lambda: seen == [2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_its_own() -> None:
    """The parent's candidates neither take its places nor hold up its end."""
    script = """
    import os, threading, warnings
    import fidelity_otel as fidelity
    from fidelity_otel.sdk import guard, shadow

    warnings.simplefilter("ignore", DeprecationWarning)
    fidelity.init(endpoint="http://127.0.0.1:9", instrument=False)
    begun, go_on = threading.Event(), threading.Event()

    def candidate(who):
        begun.set()
        go_on.wait(20 if who == "parent" else 0)

    @fidelity.shadow(candidate, concurrency=1)
    def answer(who):
        return who

    answer("parent")
    assert begun.wait(10)
    begun.clear()
    pid = os.fork()
    if not pid:
        answer("child")
        fine = begun.wait(10) and shadow.wait(10) and not guard.counts["shadow_busy"]
        os._exit(0 if fine else 1)
    assert os.waitpid(pid, 0)[1] == 0
    go_on.set()
    assert shadow.wait(10)
    os._exit(0)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
