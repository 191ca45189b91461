"""The journal keeps what it acknowledged, through every way of dying."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel.errors import JournalError, JournalFull
from fidelity_otel.processor.journal import DECIDED, SPANS, Journal, frame, frame_of_two
from fidelity_otel.processor.journal.frame import HEADER_SIZE, RECORD_SIZE
from fidelity_otel.processor.journal.segment import Segment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Journal]]:
    made: list[Journal] = []

    def open_journal(**options: object) -> Journal:
        journal = Journal(folder, **({"commit_ms": 0} | options))  # type: ignore[arg-type]
        made.append(journal)
        return journal

    yield open_journal
    for journal in made:
        journal.close()


def payloads(journal: Journal) -> list[bytes]:
    return [bytes(r.payload) for r in journal.records()]


def put(journal: Journal, *texts: bytes) -> list[int]:
    """Write each text as a record of one append; their positions."""
    frames = [frame(SPANS, text, time_ns=7, flags=3) for text in texts]
    at = journal.write(frames)
    return [at + sum(map(len, frames[:i])) for i in range(len(frames))]


def test_records_come_back_by_position_and_in_order(opened: Callable[..., Journal]) -> None:
    journal = opened()
    texts = [b"one", b"", b"three" * 1000]
    for position, text in zip(put(journal, *texts), texts, strict=True):
        record = journal.read(position, RECORD_SIZE + len(text))
        assert bytes(record.payload) == text
        assert (record.kind, record.flags, record.time_ns) == (SPANS, 3, 7)
    assert payloads(journal) == texts


def test_positions_stay_the_same_after_a_restart(opened: Callable[..., Journal]) -> None:
    journal = opened(segment_bytes=4096)
    at = {
        position: text
        for i in range(50)
        for position, text in zip(put(journal, b"%d" % i * 99), [b"%d" % i * 99], strict=True)
    }
    journal.close()
    again = opened(segment_bytes=4096)
    assert {r.position: bytes(r.payload) for r in again.records()} == at
    assert len(again.segments) > 1


def test_appends_without_waiting_are_all_answered_in_order(folder: Path) -> None:
    journal = Journal(folder, commit_ms=20)
    heard: list[object] = []
    for i in range(100):
        journal.append([frame(SPANS, b"%d" % i, time_ns=i)], heard.append)
    journal.close()
    assert len(heard) == 100
    assert heard == sorted(heard)  # type: ignore[type-var]
    assert journal.commits < 10  # they shared their syncs
    with pytest.raises(JournalError, match="closed"):
        journal.append([b""], heard.append)


def test_nothing_is_answered_before_the_sync(
    opened: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, journal = Segment.sync, opened()
    monkeypatch.setattr(Segment, "sync", lambda self: (order.append("sync"), sync(self))[1])
    ready = __import__("threading").Event()
    journal.append([frame(SPANS, b"x", time_ns=0)], lambda _: (order.append("done"), ready.set()))
    assert ready.wait(10)
    assert order == ["sync", "done"]


batches = st.lists(
    st.lists(st.binary(max_size=300), min_size=1, max_size=3), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(batches, st.integers(1, 8), st.integers(0, 10_000), st.binary(max_size=64))
def test_power_loss_loses_nothing_that_was_acked(
    written: list[list[bytes]], acked: int, cut: int, junk: bytes
) -> None:
    """Everything behind the last sync may vanish, be torn or be garbage; what is before, stays."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal(folder, segment_bytes=700, commit_ms=0)
        safe: list[bytes] = []
        durable = 0
        for i, batch in enumerate(written):
            put(journal, *batch)
            if i < acked:
                safe += batch
                durable = journal.end
        last = Path(folder / f"{journal.segments[-1][0]:020d}.seg")
        base = journal.segments[-1][0]
        journal.close()
        keep = max(durable - base, HEADER_SIZE)
        if durable > base or len(written) <= acked:
            data = last.read_bytes()
            last.write_bytes(data[: max(keep, min(keep + cut, len(data)))] + junk)
        again = Journal(folder, segment_bytes=700, commit_ms=0)
        try:
            found = payloads(again)
            assert found[: len(safe)] == safe
            everything = [text for batch in written for text in batch]
            assert found == everything[: len(found)]
            put(again, b"after")
            assert payloads(again) == [*found, b"after"]
            assert not again.damaged
        finally:
            again.close()


def test_damage_in_the_middle_costs_one_record(
    opened: Callable[..., Journal], folder: Path
) -> None:
    journal = opened()
    texts = [b"%03d" % i * 30 for i in range(9)]
    positions = put(journal, *texts)
    journal.close()
    (path,) = folder.glob("*.seg")
    data = bytearray(path.read_bytes())
    data[positions[4] + RECORD_SIZE + 5] ^= 0xFF
    path.write_bytes(data)
    again = opened()
    assert payloads(again) == texts[:4] + texts[5:]
    assert again.damaged == [(positions[4], positions[5] - positions[4])]
    with pytest.raises(JournalError, match=f"position {positions[4]}"):
        again.read(positions[4], RECORD_SIZE + 90)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 600))
def test_any_garbage_in_a_segment_is_survived(junk: bytes, at: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal(folder, commit_ms=0)
        texts = [b"%03d" % i * 30 for i in range(9)]
        put(journal, *texts)
        journal.close()
        (path,) = folder.glob("*.seg")
        data = path.read_bytes()
        at += HEADER_SIZE
        path.write_bytes(data[:at] + junk + data[at + len(junk) :])
        again = Journal(folder, commit_ms=0)
        try:
            assert set(payloads(again)) <= set(texts)
        finally:
            again.close()


def test_the_budget_refuses_and_trimming_heals(opened: Callable[..., Journal]) -> None:
    journal = opened(max_bytes=20_000, segment_bytes=5_000)
    count = 0
    with pytest.raises(JournalFull, match=r"budget of 20000.*journal\.max_bytes"):
        while True:
            put(journal, b"x" * 1_000)
            count += 1
    assert count >= 18
    assert journal.bytes_used <= 20_000
    journal.write([frame(DECIDED, b"y" * 2_000, time_ns=0)], internal=True)
    assert journal.trim() == 0  # nobody has said what it needs
    journal.need("slow", journal.segments[1][0])
    journal.need("fast", journal.end)
    assert journal.trim() == pytest.approx(5_000, abs=1_100)
    assert journal.begin == journal.segments[0][0] > 0
    put(journal, b"x" * 1_000)
    journal.need("slow", journal.end)
    journal.trim()
    assert len(journal.segments) == 1


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize(
    ("code", "error"), [(errno.ENOSPC, JournalFull), (errno.EIO, JournalError)]
)
def test_a_failed_commit_is_said_undone_and_healed(
    opened: Callable[..., Journal],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    code: int,
    error: type[Exception],
) -> None:
    journal = opened()
    put(journal, b"before")
    original = getattr(Segment, operation)

    def fail(self: Segment, *args: bytes) -> None:
        if operation == "write":
            os.pwrite(self.handle, args[0][:9], self.size)  # a part of it arrives
        monkeypatch.setattr(Segment, operation, original)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Segment, operation, fail)
    with pytest.raises(error, match=r"nothing was\s+lost, senders have to retry\. Mend:"):
        put(journal, b"refused")
    assert isinstance(journal.failure, error)
    put(journal, b"after")
    assert journal.failure is None
    assert payloads(journal) == [b"before", b"after"]
    journal.close()
    assert payloads(opened()) == [b"before", b"after"]


@pytest.mark.parametrize("before", [[], [b"before"]])
def test_a_commit_that_fails_without_the_disk_is_answered_and_healed(
    opened: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch, before: list[bytes]
) -> None:
    """An error that is nobody's fault must not leave senders waiting for ever."""
    journal = opened()
    for each in before:
        put(journal, each)
    original = Segment.write

    def fail(self: Segment, *pieces: bytes) -> None:
        os.pwrite(self.handle, pieces[0][:9], self.size)
        monkeypatch.setattr(Segment, "write", original)
        raise MemoryError

    monkeypatch.setattr(Segment, "write", fail)
    with pytest.raises(JournalError, match="MemoryError"):
        put(journal, b"refused")
    put(journal, b"after")
    assert journal.failure is None
    assert payloads(journal) == [*before, b"after"]
    journal.close()
    assert payloads(opened()) == [*before, b"after"]


def test_what_the_system_writes_in_part_is_written_whole(
    opened: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened()
    whole = os.pwritev
    given: list[int] = []

    def some(handle: int, pieces: Sequence[bytes], offset: int) -> int:
        """As a signal or a nearly full disk may have it: a few bytes at a time, across pieces."""
        given.append(len(pieces))
        return whole(handle, [b"".join(pieces)[:999]], offset)

    monkeypatch.setattr(os, "pwritev", some)
    texts = [bytes([n % 251]) * n for n in range(1, 1500)]
    pieces = [p for t in texts for p in frame_of_two(SPANS, t[:3], t[3:], time_ns=7, flags=1)]
    at = journal.write(pieces)
    monkeypatch.undo()
    assert max(given) <= 1024 < len(pieces)
    assert payloads(journal) == texts
    assert b"".join(pieces) == b"".join(frame(SPANS, t, time_ns=7, flags=1) for t in texts)
    assert journal.durable == at + sum(map(len, pieces))
    journal.close()
    assert payloads(opened()) == texts


def test_what_cannot_be_cut_off_is_left_behind_in_its_segment(
    opened: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened()
    put(journal, b"before")
    with monkeypatch.context() as broken:

        def fail(self: Segment, *_: object) -> None:
            raise OSError(errno.EIO, "gone")

        broken.setattr(Segment, "sync", fail)
        broken.setattr(Segment, "truncate", fail)
        with pytest.raises(JournalError):
            put(journal, b"refused")
    put(journal, b"after")
    assert len(journal.segments) == 2
    assert payloads(journal) == [b"before", b"after"]


LIMITED = """
    import resource, sys
    from pathlib import Path
    from fidelity_otel.errors import JournalFull
    from fidelity_otel.processor.journal import Journal, SPANS, frame
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    journal = Journal(Path(sys.argv[1]), commit_ms=0)
    for i in range(12):
        journal.write([frame(SPANS, b"%02d" % i * 2_000, time_ns=0)])
    try:
        journal.write([frame(SPANS, b"x" * 20_000, time_ns=0)])
    except JournalFull as error:
        assert "disk" in str(error) and "Mend" in str(error)
    else:
        raise SystemExit("a record above the limit was taken")
    journal.write([frame(SPANS, b"12" * 2_000, time_ns=0)])
    print(*(bytes(r.payload[:2]).decode() for r in journal.records()))
    journal.close()
"""


def test_a_real_limit_of_the_system(folder: Path) -> None:
    """The kernel itself refuses to let the files grow: real partial writes, real EFBIG."""
    printed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), str(folder)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert printed.stdout.split() == [f"{i:02d}" for i in range(13)], printed.stderr


def test_foreign_and_newer_files_are_refused_with_their_name(
    opened: Callable[..., Journal], folder: Path
) -> None:
    journal = opened()
    put(journal, b"x")
    journal.close()
    (path,) = folder.glob("*.seg")
    sound = path.read_bytes()
    path.write_bytes(b"GARBAGE!" + sound[8:])
    with pytest.raises(JournalError, match=rf"{path.name}: not a journal segment.*Mend"):
        opened()
    path.write_bytes(sound)
    path.rename(folder / f"{5:020d}.seg")
    with pytest.raises(JournalError, match="under its own name"):
        opened()


def test_a_segment_that_never_got_its_header_is_dropped(
    opened: Callable[..., Journal], folder: Path
) -> None:
    journal = opened()
    put(journal, b"x")
    end = journal.end
    journal.close()
    for empty in (b"", bytes(9), bytes(100)):
        (folder / f"{end:020d}.seg").write_bytes(empty)
        again = opened()
        assert payloads(again) == [b"x"]
        again.close()


def test_closing_twice_is_harmless(opened: Callable[..., Journal]) -> None:
    journal = opened()
    journal.close()
    journal.close()


def test_segments_come_and_go_only_under_the_lock(folder: Path) -> None:
    """One thread adds segments and another takes them away: neither may undo the other's change."""
    unlocked: list[str] = []

    class Watched(Journal):
        def __setattr__(self, name: str, value: object) -> None:
            opened = "_thread" in self.__dict__
            if opened and name in {"_segments", "_used"} and not self._wake._is_owned():
                unlocked.append(name)
            super().__setattr__(name, value)

    journal = Watched(folder, commit_ms=0, segment_bytes=300)
    for number in range(10):
        put(journal, b"%d" % number * 200)
        journal.need("reader", journal.end)
        journal.trim()
    assert len(journal.segments) == 1
    assert journal.bytes_used == sum(path.stat().st_size for path in folder.iterdir())
    assert not unlocked
    journal.close()
