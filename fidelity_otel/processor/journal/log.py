"""The journal itself: one appending thread, any number of readers."""

from __future__ import annotations

import errno
import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from fidelity_otel.errors import FidelityError, JournalError, JournalFull
from fidelity_otel.processor.journal.frame import HEADER_SIZE, Record
from fidelity_otel.processor.journal.segment import Segment, sync_folder

__all__ = ["Journal"]

Done = Callable[[int | FidelityError], None]
"""Called with the position of the first frame once all are durable, or with what prevented it."""

_log = logging.getLogger(__name__)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Journal:
    """An append-only log with group commit.

    Args:
        folder: made where absent.
        max_bytes: disk budget.
        segment_bytes: a segment is closed at about this size.
        commit_ms: commits follow each other at least this far apart, so that they share a sync.
        notify: runs the callbacks of a commit; an event loop's `call_soon_threadsafe`, or plainly
            in the committing thread by default.
        observe: hears of every commit's duration, seconds.
        clock: ns since the epoch.

    `durable` is the position up to which everything has been synced.

    Raises:
        JournalError: the folder cannot be used, or holds a damaged or foreign segment.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 8 << 30,
        segment_bytes: int = 64 << 20,
        commit_ms: float = 5.0,
        notify: Callable[[Callable[[], None]], Any] | None = None,
        observe: Callable[[float], None] = lambda _: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.segment_bytes = segment_bytes
        self.damaged: list[tuple[int, int]] = []
        self.failure: FidelityError | None = None
        self.commits = 0
        self._pace = commit_ms / 1000
        self._notify = notify or (lambda run: run())
        self._observe = observe
        self._clock = clock
        self._needs: dict[str, int] = {}
        self._pending: list[tuple[Sequence[bytes], int, Done]] = []
        self._pending_bytes = 0
        self._closing = False
        self._wake = threading.Condition()
        # Replaced under the lock and never changed, so that readers need none.
        self._segments: list[Segment] = []
        self._used = 0
        self._seal = False
        self._open()
        self.durable = self.end
        self._thread = threading.Thread(target=self._run, name="journal-commit", daemon=True)
        self._thread.start()

    # --- state ----------------------------------------------------------------------------------

    @property
    def bytes_used(self) -> int:
        """Bytes on disk."""
        return self._used

    @property
    def begin(self) -> int:
        """The position of the oldest byte."""
        return self._segments[0].base if self._segments else 0

    @property
    def end(self) -> int:
        """The position behind the newest durable byte."""
        return self._segments[-1].end if self._segments else 0

    @property
    def segments(self) -> list[tuple[int, int]]:
        """(base, end) of every segment, oldest first."""
        return [(s.base, s.end) for s in self._segments]

    # --- writing --------------------------------------------------------------------------------

    def append(self, frames: Sequence[bytes], done: Done, *, internal: bool = False) -> None:
        """Write frames behind one another; `done` hears of it when they are durable.

        Args:
            frames: from `frame`, whole or in pieces; they stay together in one segment, and must
                not be changed until `done` is called.
            done: called once, through `notify`. Frame i begins at the position plus the lengths of
                the frames before it.
            internal: the service's own marks, which may exceed the disk budget.

        Raises:
            JournalFull: the disk budget is used up.
            JournalError: the journal is closed.
        """
        size = sum(map(len, frames))
        with self._wake:
            if self._closing:
                raise JournalError("the journal is closed: the service is shutting down")
            used = self.bytes_used + self._pending_bytes
            if not internal and used + size > self.max_bytes:
                raise JournalFull(
                    f"the journal in {self.folder} holds {used} bytes of its budget of "
                    f"{self.max_bytes}: senders have to retry. Mend: wait until waiting traces are "
                    "decided, or raise journal.max_bytes (FIDELITY_JOURNAL_MAX_BYTES)."
                )
            self._pending.append((frames, size, done))
            self._pending_bytes += size
            self._wake.notify()

    def write(self, frames: Sequence[bytes], *, internal: bool = False) -> int:
        """`append`, waiting for it: the position of the first frame.

        Not for the thread that `notify` runs callbacks in.

        Raises:
            JournalFull, JournalError: as `append`, or what the disk said.
        """
        ready = threading.Event()
        result: list[int | FidelityError] = []

        def done(outcome: int | FidelityError) -> None:
            result.append(outcome)
            ready.set()

        self.append(frames, done, internal=internal)
        ready.wait()
        if isinstance(result[0], FidelityError):
            raise result[0]
        return result[0]

    def _run(self) -> None:
        last = 0.0
        while True:
            with self._wake:
                while not self._pending and not self._closing:
                    self._wake.wait()
                if not self._pending:
                    return
                rest = last + self._pace - time.monotonic()
                if rest > 0 and not self._closing:
                    self._wake.wait_for(lambda: self._closing, rest)
                batch, self._pending = self._pending, []
                size, self._pending_bytes = self._pending_bytes, 0
            last = time.monotonic()
            outcome = self._commit([piece for frames, _, _ in batch for piece in frames], size)
            self.commits += 1
            self._observe(time.monotonic() - last)
            self._deliver(batch, outcome)

    def _deliver(
        self, batch: list[tuple[Sequence[bytes], int, Done]], outcome: int | FidelityError
    ) -> None:
        def run() -> None:
            position = outcome
            for _, size, done in batch:
                done(position)
                if isinstance(position, int):
                    position += size

        try:
            self._notify(run)
        except RuntimeError:  # the event loop is gone: nobody waits for the answer any more
            return

    def _commit(self, pieces: Sequence[bytes], size: int) -> int | FidelityError:
        """Write and sync; on failure leave everything as it was."""
        try:
            current = self._segments[-1] if self._segments else None
            if (
                current is None
                or self._seal
                or (current.size > HEADER_SIZE and current.size + size > self.segment_bytes)
            ):
                current = self._roll()
            before = current.size
            try:
                current.write(*pieces)
                current.sync()
            except OSError as error:
                self._undo(current, before)
                if error.errno == errno.EFBIG and before > HEADER_SIZE:
                    current, before = self._roll(), HEADER_SIZE  # a limit per file: use the next
                    try:
                        current.write(*pieces)
                        current.sync()
                    except OSError:
                        self._undo(current, before)
                        raise
                else:
                    raise
        except OSError as error:
            self.failure = self._explain(error)
            return self.failure
        except Exception as error:  # noqa: BLE001 - without this thread nobody is ever answered
            _log.exception("the journal could not commit %d bytes; senders have to retry", size)
            self._seal = bool(self._segments)
            self.failure = JournalError(f"the journal in {self.folder} failed: {error!r}")
            return self.failure
        self.failure = None
        with self._wake:
            self._used += size
        self.durable = current.end
        return current.base + before

    def _undo(self, segment: Segment, size: int) -> None:
        """Back to `size` bytes. After a failed sync the pages are unknown: begin a new segment."""
        try:
            segment.truncate(size)
            segment.sync()
        except OSError:
            segment.size = size
            self._seal = True

    def _roll(self) -> Segment:
        base = self.end
        if self._seal:  # what could not be cut off may still lie behind the end
            last = self._segments[-1]
            base = max(base, last.base + last.path.stat().st_size)
            self._seal = False
        segment = Segment.create(self.folder, base, self._clock())
        with self._wake:
            self._segments = [*self._segments, segment]
            self._used += segment.size
        return segment

    def _explain(self, error: OSError) -> FidelityError:
        if error.errno in _FULL:
            return JournalFull(
                f"the disk under {self.folder} is full ({error.strerror}): nothing was lost, "
                "senders have to retry. Mend: free disk space; the service goes on by itself."
            )
        return JournalError(
            f"the journal in {self.folder} cannot be written ({error.strerror}): nothing was "
            "lost, senders have to retry. Mend: check the disk and the folder's permissions."
        )

    # --- reading --------------------------------------------------------------------------------

    def read(self, position: int, size: int) -> Record:
        """The record at a position.

        Args:
            position: as learnt from `append` or `records`.
            size: the whole frame's length in bytes.

        Raises:
            JournalError: there is no sound record.
        """
        segment = self._segment_of(position)
        record = segment.read(position, size) if segment is not None else None
        if record is None:
            raise JournalError(f"{self.folder}: no sound record at position {position}")
        return record

    def read_into(self, view: memoryview, position: int) -> int:
        """Fill a buffer with what lies from a position on, as far as its segment goes.

        Returns:
            How many bytes were read.

        Raises:
            JournalError: there is no segment.
        """
        segment = self._segment_of(position)
        if segment is None:
            raise JournalError(f"{self.folder}: nothing is at position {position} any more")
        return segment.read_into(view, position)

    def _segment_of(self, position: int) -> Segment | None:
        segments = self._segments
        index = bisect_right(segments, position, key=lambda s: s.base) - 1
        return segments[index] if index >= 0 else None

    def records(self) -> Iterator[Record]:
        """Every sound record, oldest first."""
        for segment in self._segments:
            yield from segment.records(lambda at, size: self.damaged.append((at, size)))

    def follow(self, since: int) -> Iterator[Record]:
        """The sound records that are durable now, from a position on.

        Args:
            since: where a record begins, or a gap; `need` must have kept it from being freed.
        """
        until = self.durable
        for segment in self._segments:
            if since < segment.end and segment.base < until:
                yield from segment.records(lambda _at, _size: None, since, until)

    # --- retention ------------------------------------------------------------------------------

    def need(self, reader: str, position: int) -> None:
        """A reader says the lowest position that it still needs."""
        self._needs[reader] = position

    def trim(self) -> int:
        """Delete the segments that no reader needs; the newest stays. Returns bytes freed."""
        if not self._needs:
            return 0
        lowest = min(self._needs.values())
        with self._wake:
            gone = list(takewhile(lambda each: each.end <= lowest, self._segments[:-1]))
            self._segments = self._segments[len(gone) :]
            self._used -= sum(each.size for each in gone)
        for each in gone:
            each.delete()
        return sum(each.size for each in gone)

    # --- opening and closing --------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            paths = sorted(self.folder.glob("*.seg"))
        except OSError as error:
            raise JournalError(
                f"{self.folder}: the journal's folder cannot be made or read ({error.strerror}). "
                "Mend: choose another data folder with --data (FIDELITY_DATA)."
            ) from None
        for path in paths:
            if path == paths[-1] and not path.read_bytes()[:HEADER_SIZE].strip(b"\0"):
                path.unlink()  # made just before the power went: nothing was ever acked in it
                sync_folder(self.folder)
                continue
            self._segments.append(Segment.open(path))
        if self._segments:
            self._cut_torn_tail(self._segments[-1])
        self._used = sum(s.size for s in self._segments)

    def _cut_torn_tail(self, last: Segment) -> None:
        sound = HEADER_SIZE
        for record in last.records(lambda _at, _size: None):
            sound = record.end - last.base
        if sound < last.size:
            last.truncate(sound)
            last.sync()

    def close(self) -> None:
        """Commit what is pending, then stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        for segment in self._segments:
            segment.close()
        self._segments, self._used = [], 0
