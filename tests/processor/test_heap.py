"""The heap does not stay at the sum of all threads' peaks."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PEAKS = """
import sys, threading
from fidelity_otel.processor.heap import steady_heap

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

if "steady" in sys.argv:
    assert steady_heap()
turn, done, over = threading.Lock(), threading.Semaphore(0), threading.Event()
kept = []

def peak():
    with turn:
        large = []
        for _ in range(300):
            large.append(b"x" * 100_000)
            kept.append(b"y" * 2000)  # what stays lies between what goes
        del large
    done.release()
    over.wait()

before = resident()
threads = [threading.Thread(target=peak) for _ in range(8)]
for thread in threads:
    thread.start()
for _ in threads:
    done.acquire()
if "give" in sys.argv:
    from fidelity_otel.processor.heap import give_back
    assert give_back()
print((resident() - before - sum(map(len, kept))) >> 20)
over.set()
"""


def megabytes_left(*options: str) -> int:
    """What stays of eight threads' peaks of 30 MB, one after another, in an own process."""
    code = [sys.executable, "-c", PEAKS, *options]
    return int(subprocess.run(code, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's heap needs telling")
def test_threads_do_not_keep_a_peak_each() -> None:
    assert megabytes_left("steady") < 60
    assert megabytes_left() > 75, "glibc does it alone by now: heap.py can go"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's heap needs telling")
def test_a_peak_goes_back_though_what_stays_lies_in_between() -> None:
    assert megabytes_left("steady", "give") < 12
