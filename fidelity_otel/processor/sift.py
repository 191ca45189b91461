"""What can be found in traces at all, told from their bytes.

In most traces of most systems no detector finds anything, and in most of the others one. `_sift.c`
tells of many before they are read which detectors have to look; what only the experience of earlier
traces can tell is asked here. The others are spared then, and where only a share of the
unremarkable is kept (`sample.keep_share`), so is reading those in which nothing can be found.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from fidelity_otel.processor import native
from fidelity_otel.processor.assemble import INCOMPLETE
from fidelity_otel.processor.contract import Contracts
from fidelity_otel.processor.detect import DetectSettings, Doubt
from fidelity_otel.processor.detect.model_swapped import same_model
from fidelity_otel.processor.detect.shapes import History, Shape
from fidelity_otel.processor.detect.terminology import USUAL_WORDS
from fidelity_otel.processor.live import InUse
from fidelity_otel.processor.pipeline import Input, Read
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.wire_records import Kept

__all__ = ["ANYTHING", "NOT_LOOKED", "Sieve", "Sieved", "Sift", "Sifted"]

_log = logging.getLogger(__name__)

_MOST: Final = 4_000  # names are the senders' to choose; memory is ours
_DAY_NS: Final = 86_400 * 10**9
_LONGEST: Final = 2**62
_LAST: Final = 2**32 - 1  # what the index has room for

NOT_LOOKED: Final = 0
ANYTHING: Final = 1
"""Notes of traces of which nothing is told: because nobody looked, or for all that was seen."""


class Sifted(NamedTuple):
    """The number of a trace's spans, and the detectors that have to look at it (`Doubt`)."""

    spans: int
    doubts: int


class _Asked(NamedTuple):
    """What is told, and what is left to ask: whether tools gave what they always give."""

    told: Sifted
    workflow: str
    shapes: tuple[tuple[str, Shape, int], ...]  # tool, shape, how often


class _Notes:
    """What was told of traces under the rules of a moment, under a number each, from `first` on."""

    def __init__(self, detection: DetectSettings, contracts: Contracts, first: int) -> None:
        self.detection = detection
        self.contracts = contracts
        self.first = first
        self.asked: list[_Asked] = []
        self.numbers: dict[tuple[bytes, int, int], int] = {}
        self.limits = (
            detection.loop_calls,
            min(max(0, int(detection.stale_days * _DAY_NS)), _LONGEST),
            min(max(0, int(detection.max_seconds * 1e9)), _LONGEST),
            detection.max_tokens,
        )

    def are_of(self, live: InUse) -> bool:
        return live.detection is self.detection and live.contracts is self.contracts

    def at(self, note: int) -> _Asked | None:
        place = note - self.first
        return self.asked[place] if 0 <= place < len(self.asked) else None


class Sift:
    """Tells which detectors certainly find nothing in a trace.

    What it told is kept under a number, the trace's *note*: `NOT_LOOKED` where it never was asked,
    `ANYTHING` where any detector may find something. So a trace can be looked at as it comes in,
    while its bytes are in the processor's caches, and need not be read again to be thinned.

    `look` and `look_at_all` may be called by several threads, `recall` by one.

    Args:
        live: the rules of this moment.
        history: the shapes of tools' results, the detectors' own; it learns from what passes here
            as it would have from detection.
    """

    def __init__(self, live: InUse, history: History) -> None:
        self._live = live
        self.history = history
        self._lock = threading.Lock()
        self._notes = _Notes(live.detection, live.contracts, ANYTHING + 1)

    def told(self, otlp: bytes) -> Sifted | None:
        """What is told of a trace; None where any detector may find something.

        Args:
            otlp: the whole trace, each span once, of bytes that intake took in.
        """
        return self.recall(self.look(otlp))

    def look(self, otlp: bytes) -> int:
        """A trace's note, as of `told`."""
        part = _part()
        if part is None:
            return NOT_LOOKED
        notes = self._current()
        told = part.sift(otlp, *notes.limits)
        return ANYTHING if told is None else self._number(notes, told)

    def look_at_all(
        self, records: bytes, kept: Sequence[Kept], waiting: Container[bytes]
    ) -> list[int]:
        """The notes of traces that have come in whole; empty where none is looked at.

        Args:
            records: of the journal, of kind SPANS, behind one another.
            kept: tells of each what it is.
            waiting: the traces of which there is more: not looked at.
        """
        part = _part()
        if part is None:
            return []
        notes = self._current()
        numbers = notes.numbers
        made: list[int] = []
        for told in part.sift_records(records, kept, waiting, *notes.limits):
            if told:
                made.append(numbers.get(told) or self._number(notes, told))
            else:
                made.append(NOT_LOOKED if told is None else ANYTHING)
        return made

    def recall(self, note: int, times: int = 1) -> Sifted | None:
        """What was told under a note, as by `told`; to be asked once for each trace.

        Args:
            note: as `look` gave it.
            times: how many traces have it, for all of which it is asked.
        """
        asked = self._current().at(note)
        if asked is None:
            return None
        if asked.shapes and not self.history.learn_usual(asked.workflow, asked.shapes, times):
            return None
        return asked.told

    def has(self, note: int) -> bool:
        """Whether the note is of the rules of this moment, so that to look again is no use."""
        return note == ANYTHING or self._current().at(note) is not None

    def _current(self) -> _Notes:
        notes = self._notes
        if notes.are_of(self._live):
            return notes
        with self._lock:
            return self._anew()

    def _anew(self) -> _Notes:
        before, live = self._notes, self._live
        first = before.first + len(before.asked)
        self._notes = notes = _Notes(live.detection, live.contracts, first)
        return notes

    def _number(self, notes: _Notes, told: tuple[bytes, int, int]) -> int:
        with self._lock:
            number = notes.numbers.get(told, 0)
            if number or notes is not self._notes:
                return number
            if len(notes.numbers) >= _MOST:
                notes = self._anew()
            number = notes.first + len(notes.asked)
            if number > _LAST:
                return NOT_LOOKED
            asked = self._asked(notes, *told)
            if asked is None:
                number = ANYTHING
            else:
                notes.asked.append(asked)
            notes.numbers[told] = number
            return number

    def _asked(self, notes: _Notes, key: bytes, spans: int, doubts: int) -> _Asked | None:
        """What is asked of a trace of this key; None where it has to be looked at in full."""
        records, _, workflow = key.decode().partition("\x1d")
        if notes.contracts and notes.contracts.rules_of(workflow):
            return None
        shapes: Counter[tuple[str, Shape]] = Counter()
        for record in records.split("\x1e")[1:]:
            name, *rest = record[1:].split("\x1f")
            if record[0] == "m":
                if not same_model(name, rest[0]):
                    doubts |= int(Doubt.SWAPPED)
            else:
                kind, *members = rest
                shapes[name, (kind, *sorted(members))] += 1
        given = tuple((*each, times) for each, times in shapes.items())
        return _Asked(Sifted(spans, doubts), workflow, given)


def _part() -> Any:
    return native.sift and _taught(native.sift)


@cache
def _taught(part: Any) -> Any:
    part.usual(USUAL_WORDS)
    return part


class Sieved(NamedTuple):
    """What is left to decide, and the ids of what is thinned."""

    left: list[Input]
    thinned: list[str]


class Sieve:
    """Spares what comes behind it what need not be done.

    That is to read traces which are only to be thinned, and to look for findings that cannot be in
    those that are kept.

    Args:
        sift: tells what may be found.
        keep: the probability with which a trace in which nothing is found is stored; 0 where this
            one is not.
        tally: counts.
    """

    def __init__(self, sift: Sift, *, keep: Callable[[str], float], tally: Tally) -> None:
        self._sift = sift
        self._keep = keep
        self._tally = tally

    def take(self, batch: Iterable[Input], known: Container[str], read: Read = iter) -> Sieved:
        """Look at each trace once, and hold on to none that is thinned.

        Args:
            batch: the traces.
            known: the ids of those that are stored already.
            read: gives traces with their bytes, as they are asked for. Those are not read whose
                notes alone say that they are to be thinned.
        """
        left: list[Input] = []
        gone = _Gone()
        unread = self._unread(batch, known, gone)
        for given in read(unread):
            told = None if given.note else self._told(given, known)
            if told is None:
                left.append(given)
            elif told.doubts or self._keep(given.trace_id):
                left.append(given._replace(doubts=told.doubts))
            else:
                gone.add(given, told.spans)
        gone.count(self._tally)
        return Sieved(left, gone.ids)

    def _unread(
        self, batch: Iterable[Input], known: Container[str], gone: _Gone
    ) -> Sequence[Input]:
        """Those that have to be read; with a note where they need not be sifted then."""
        batch = list(batch)
        fresh = Counter(each.note for each in batch if each.note and _is_fresh(each, known))
        if not fresh:
            return batch
        told = {note: self._sift.recall(note, times) for note, times in fresh.items()}
        stale = {note for note, each in told.items() if each is None and not self._sift.has(note)}
        unread: list[Input] = []
        for given in batch:
            note = given.note
            sifted = told.get(note) if note and _is_fresh(given, known) else None
            if sifted is None:
                unread.append(given._replace(note=NOT_LOOKED) if note in stale else given)
            elif sifted.doubts or self._keep(given.trace_id):
                unread.append(given._replace(doubts=sifted.doubts))
            else:
                gone.add(given, sifted.spans)
        return unread

    def _told(self, given: Input, known: Container[str]) -> Sifted | None:
        if not given.unique or not _is_fresh(given, known):
            return None
        bodies = given.bodies
        try:
            return self._sift.told(bodies[0] if len(bodies) == 1 else b"".join(bodies))
        except Exception:  # noqa: BLE001 (a bug there must not stop the chain: others look in full)
            _log.exception("trace %s could not be sifted; it is looked at in full", given.trace_id)
            return None


class _Gone:
    """What is thinned: ids, and what is counted of them."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._reasons: Counter[str] = Counter()
        self._spans = 0

    def add(self, given: Input, spans: int) -> None:
        self.ids.append(given.trace_id)
        self._reasons[given.reason] += 1
        self._spans += spans

    def count(self, tally: Tally) -> None:
        for reason, count in self._reasons.items():
            tally.add("traces_decided", reason, count)
        tally.add("spans_decided", "", self._spans)
        tally.add("traces_ended", "thinned", len(self.ids))


def _is_fresh(given: Input, known: Container[str]) -> bool:
    """Whether nothing is missing of a trace, and nothing came of it before."""
    return given.reason not in INCOMPLETE and not given.thinned and given.trace_id not in known
