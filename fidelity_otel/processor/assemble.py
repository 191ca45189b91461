"""Which traces wait, for how long, and where their bytes are: an index, no bytes, no clock.

The journal holds the spans; this holds positions. A trace is *due* when it looks finished (its root
has ended and stragglers had their time, or it says that it is complete), when nothing came for long
enough, or when it gets too old, too long or too large. What comes after that begins to wait anew,
and is added to the decided trace as a revision.

Times are ns of any clock that does not jump, the same for every call.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, Final, NamedTuple

from fidelity_otel.processor.journal import CARRIER, COMPLETE, ROOT
from fidelity_otel.processor.waiting import (
    CODES,
    FOREVER,
    INCOMPLETE,
    PACKED,
    Place,
    Waiting,
)

__all__ = ["INCOMPLETE", "AssembleSettings", "Assembler", "Place", "Ready"]

_NS: Final = 1_000_000_000
_LONGEST: Final = 1 << 62
_TICK: Final = 1 << 24  # ns: traces that are due within 17 ms are planned together
_ROOTED: Final = CODES["root"]
_PLAIN: Final = (0, ROOT)


@dataclass(frozen=True, slots=True)
class AssembleSettings:
    """The `assemble.*` rows of the settings table."""

    settle_seconds: float = 2.0
    idle_seconds: float = 300.0
    max_age_seconds: float = 86_400.0
    max_spans: int = 100_000
    max_trace_bytes: int = 256 << 20
    max_waiting_traces: int = 1_000_000

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> AssembleSettings:
        """From settings by dotted name; absent ones keep their defaults."""
        prefix = "assemble."
        given = {k.removeprefix(prefix): v for k, v in settings.items() if k.startswith(prefix)}
        return cls(**given)


class Ready(NamedTuple):
    """A trace to decide now, why now, and where its parts are.

    `upto` is the position below which everything of the trace is in here; `note` the one that it
    came with, where it came in one part.
    """

    trace_id: bytes
    reason: str
    places: tuple[Place, ...]
    upto: int
    spans: int
    first_ns: int
    last_ns: int
    note: int = 0


class Assembler:
    """The index of waiting traces.

    Args:
        settings: when a trace is due.
        remember: most decided traces to remember, so that their late spans settle soon; the last
            half of that many always are.
    """

    def __init__(self, settings: AssembleSettings, *, remember: int = 50_000) -> None:
        self.settings = settings
        self.waiting_spans = 0
        self.waiting_bytes = 0
        self._settle = min(int(settings.settle_seconds * _NS), _LONGEST)
        self._idle = min(int(settings.idle_seconds * _NS), _LONGEST)
        self._max_age = min(int(settings.max_age_seconds * _NS), _LONGEST)
        # In order of their first positions, because positions only grow, but for the displaced.
        self._waiting: dict[bytes, bytes] = {}
        self._more: dict[bytes, array[int]] = {}  # positions and sizes in turn of further parts
        self._displaced: set[bytes] = set()
        self._deciding: dict[bytes, list[Ready]] = {}
        self._agenda: dict[int, list[bytes]] = {}
        self._times: list[int] = []  # a heap of the agenda's
        # Of two ages: to take the oldest from one dict again and again, all that were taken before
        # are passed over each time.
        self._decided: set[bytes] = set()
        self._decided_before: set[bytes] = set()
        self._remember = remember

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting_ids(self) -> Container[bytes]:
        """The ids of the traces that wait."""
        return self._waiting

    @property
    def deciding(self) -> int:
        """Traces that were given out as due and are not yet done."""
        return len(self._deciding)

    def oldest_seconds(self, now_ns: int) -> float:
        """For how long the trace that waits longest has waited; 0 where none does."""
        first = next(iter(self._waiting.values()), None)
        return 0.0 if first is None else max(0.0, (now_ns - Waiting.of(first).first_ns) / _NS)

    def add(self, trace_id: bytes, place: Place, *, spans: int, flags: int, now_ns: int) -> None:
        """A part of a trace has become durable.

        Args:
            trace_id: 16 bytes.
            place: where it is; above every place given before.
            spans: how many spans it holds.
            flags: ROOT, COMPLETE, CARRIER of the journal's record.
            now_ns: when it was received.
        """
        packed = self._waiting.get(trace_id)
        if packed is None:
            waiting = Waiting(now_ns, place)
            if flags & CARRIER:
                waiting.end(now_ns + self._settle, "outcome")
            elif trace_id in self._deciding or self._is_decided(trace_id):
                waiting.end(now_ns + self._settle, "late")
        else:
            waiting = Waiting.of(packed)
            waiting.note = 0
            self._more.setdefault(trace_id, array("Q")).extend(place)
            if waiting.reason == "outcome" and not flags & CARRIER:
                waiting.ends_ns, waiting.reason = FOREVER, ""
        waiting.spans += spans
        waiting.bytes += place.size
        waiting.last_ns = max(waiting.last_ns, now_ns)
        self.waiting_spans += spans
        self.waiting_bytes += place.size
        if flags & COMPLETE:
            waiting.end(now_ns, "complete")
        elif flags & ROOT and not flags & CARRIER:
            waiting.end(now_ns + self._settle, "root")
        if waiting.spans >= self.settings.max_spans:
            waiting.end(now_ns, "max_spans")
        elif waiting.bytes >= self.settings.max_trace_bytes:
            waiting.end(now_ns, "max_bytes")
        self._keep(trace_id, waiting)

    def add_all(
        self,
        kept: Iterable[tuple[bytes, int, int, int]],
        position: int,
        now_ns: int,
        notes: Sequence[int] = (),
    ) -> None:
        """`add` of the parts of one request, which lie behind one another.

        Args:
            kept: trace id, size, number of spans and flags of each.
            position: of the first one.
            now_ns: when the request was received.
            notes: what the sift saw of each; none where it saw none.
        """
        settle, idle = now_ns + self._settle, now_ns + min(self._idle, self._max_age)
        max_spans, max_bytes = self.settings.max_spans, self.settings.max_trace_bytes
        at_root, at_none = min(settle, idle) & -_TICK, idle & -_TICK
        new: dict[int, list[bytes]] = {at_root: [], at_none: []}
        for (trace_id, size, spans, flags), note in zip(kept, notes or repeat(0), strict=False):
            if (
                flags not in _PLAIN
                or spans >= max_spans
                or size >= max_bytes
                or trace_id in self._waiting
                or trace_id in self._deciding
                or self._is_decided(trace_id)
            ):
                place = Place(position, size)
                self.add(trace_id, place, spans=spans, flags=flags, now_ns=now_ns)
            else:  # what `add` would do with a new trace: most parts are one
                at, ends, code = (at_root, settle, _ROOTED) if flags else (at_none, FOREVER, 0)
                self._waiting[trace_id] = PACKED.pack(
                    position, size, now_ns, now_ns, ends, at, size, spans, note, code
                )
                self.waiting_spans += spans
                self.waiting_bytes += size
                new[at].append(trace_id)
            position += size
        for at, planned in new.items():
            if planned:
                self._agree(at, planned)

    def _due(self, waiting: Waiting) -> tuple[int, str]:
        idle, age = waiting.last_ns + self._idle, waiting.first_ns + self._max_age
        at, reason = (idle, "idle") if idle <= age else (age, "max_age")
        return (waiting.ends_ns, waiting.reason) if waiting.ends_ns <= at else (at, reason)

    def _keep(self, trace_id: bytes, waiting: Waiting) -> None:
        """Keep what changed; put the trace on the agenda where it is due earlier than planned.

        That it is due later, because something came in, is found out when its time comes.
        """
        at, _ = self._due(waiting)
        if at < waiting.wakes_ns:
            self._plan(trace_id, waiting, at & -_TICK)
        self._waiting[trace_id] = waiting.packed()

    def _plan(self, trace_id: bytes, waiting: Waiting, at_ns: int) -> None:
        waiting.wakes_ns = at_ns
        self._agree(at_ns, [trace_id])

    def _agree(self, at_ns: int, trace_ids: list[bytes]) -> None:
        """Put traces on the agenda."""
        planned = self._agenda.get(at_ns)
        if planned is None:
            self._agenda[at_ns] = trace_ids
            heapq.heappush(self._times, at_ns)
        else:
            planned += trace_ids

    def due(self, now_ns: int, limit: int = 1_000, *, max_bytes: int = 64 << 20) -> list[Ready]:
        """Take the traces that are due, earliest first.

        Each stays known as being decided until `done` or `again`.

        Args:
            now_ns: the time.
            limit: at most so many.
            max_bytes: stop after so many bytes of spans.
        """
        taken: list[Ready] = []
        size = 0
        while self._times and self._times[0] <= now_ns:
            at = heapq.heappop(self._times)
            planned = self._agenda.pop(at)
            for number, trace_id in enumerate(planned):
                if len(taken) >= limit or size >= max_bytes:
                    self._agenda[at] = planned[number:]
                    heapq.heappush(self._times, at)
                    return taken
                packed = self._waiting.get(trace_id)
                if packed is None:
                    continue  # decided meanwhile
                waiting = Waiting.of(packed)
                if waiting.wakes_ns != at:
                    continue  # an older plan
                due_ns, reason = self._due(waiting)
                if due_ns > now_ns:
                    tick = due_ns & -_TICK
                    self._plan(trace_id, waiting, tick if tick > now_ns else due_ns)
                    self._waiting[trace_id] = waiting.packed()
                    continue
                size += waiting.bytes
                taken.append(self._take(trace_id, reason, waiting))
        surplus = len(self._waiting) - self.settings.max_waiting_traces
        if surplus > 0:
            for trace_id in list(islice(self._waiting, min(surplus, limit - len(taken)))):
                waiting = Waiting.of(self._waiting[trace_id])
                taken.append(self._take(trace_id, "pressure", waiting))
        return taken

    def _take(self, trace_id: bytes, reason: str, waiting: Waiting) -> Ready:
        first_place = Place(waiting.position, waiting.size)
        places: tuple[Place, ...] = (first_place,)
        upto = waiting.position + waiting.size
        if trace_id in self._more:  # mostly not
            places = (first_place, *self._further(trace_id))
            upto = max([position + size for position, size in places])
        self._drop(trace_id, waiting)
        first, last = waiting.first_ns, waiting.last_ns
        ready = Ready(trace_id, reason, places, upto, waiting.spans, first, last, waiting.note)
        self._deciding.setdefault(trace_id, []).append(ready)
        return ready

    def _drop(self, trace_id: bytes, waiting: Waiting) -> None:
        del self._waiting[trace_id]
        self._more.pop(trace_id, None)
        self._displaced.discard(trace_id)
        self.waiting_spans -= waiting.spans
        self.waiting_bytes -= waiting.bytes

    def done(self, ready: Ready) -> None:
        """The trace is decided and stored: its bytes are not needed any more."""
        self._leave(ready)
        self._note_decided(ready.trace_id)

    def _note_decided(self, trace_id: bytes) -> None:
        self._decided.add(trace_id)
        if len(self._decided) >= (self._remember + 1) // 2:
            self._decided_before, self._decided = self._decided, set()

    def _is_decided(self, trace_id: bytes) -> bool:
        return trace_id in self._decided or trace_id in self._decided_before

    def again(self, ready: Ready, at_ns: int) -> None:
        """The trace could not be decided: it waits until a time, with what came meanwhile."""
        self._leave(ready)
        waiting = Waiting(ready.first_ns, ready.places[0])
        places = list(ready.places)
        waiting.spans = ready.spans
        if ready.trace_id in self._waiting:
            places += self._places(ready.trace_id)
            later = Waiting.of(self._waiting[ready.trace_id])
            self._drop(ready.trace_id, later)
            waiting.spans += later.spans
            waiting.last_ns = later.last_ns
        waiting.ends_ns, waiting.reason = at_ns, ready.reason
        self._displace(ready.trace_id, waiting, places)

    def _displace(self, trace_id: bytes, waiting: Waiting, places: Sequence[Place]) -> None:
        """Keep a trace that is not waiting, whose parts are not the last ones that came in."""
        waiting.position, waiting.size = places[0]
        waiting.bytes = sum(p.size for p in places)
        waiting.wakes_ns = FOREVER
        if len(places) > 1:
            self._more[trace_id] = array("Q", [n for p in places[1:] for n in p])
        self.waiting_spans += waiting.spans
        self.waiting_bytes += waiting.bytes
        self._displaced.add(trace_id)
        self._keep(trace_id, waiting)

    def _leave(self, ready: Ready) -> None:
        taken = self._deciding.pop(ready.trace_id, [])
        if len(taken) > 1:  # hardly ever: what came late is due before the rest is decided
            self._deciding[ready.trace_id] = [r for r in taken if r is not ready]

    def forget(self, trace_id: bytes, upto: int) -> None:
        """On a restart: what lies below a position was decided before."""
        self._note_decided(trace_id)
        if trace_id not in self._waiting:
            return
        kept = [p for p in self._places(trace_id) if p.position >= upto]
        waiting = Waiting.of(self._waiting[trace_id])
        self._drop(trace_id, waiting)
        if kept:
            # Rare: a part came in while the trace was being decided. How many spans each part holds
            # is not kept, so the count stays too high by those decided: it is due earlier, no more.
            waiting.note = 0
            waiting.end(waiting.last_ns + self._settle, "late")
            self._displace(trace_id, waiting, kept)

    def lowest(self, default: int) -> int:
        """The lowest position that is still needed; `default` where none is."""
        first = next(iter(self._waiting), None)
        lowest = default if first is None else self._begins(first)
        for trace_id in self._displaced:
            lowest = min(lowest, self._begins(trace_id))
        for taken in self._deciding.values():
            for ready in taken:
                lowest = min(lowest, *(p.position for p in ready.places))
        return lowest

    def _places(self, trace_id: bytes) -> tuple[Place, ...]:
        waiting = Waiting.of(self._waiting[trace_id])
        return (Place(waiting.position, waiting.size), *self._further(trace_id))

    def _further(self, trace_id: bytes) -> list[Place]:
        """All its places but the first."""
        more = self._more.get(trace_id)
        if more is None:
            return []
        return [Place(p, s) for p, s in zip(more[::2], more[1::2], strict=True)]

    def _begins(self, trace_id: bytes) -> int:
        more = self._more.get(trace_id, ())
        return min(Waiting.of(self._waiting[trace_id]).position, *more[::2], FOREVER)

    def below(self, position: int) -> Iterator[tuple[bytes, tuple[Place, ...]]]:
        """The waiting traces that begin below a position, with all their places."""
        found = {i: None for i in self._displaced if self._begins(i) < position}
        for trace_id in self._waiting:
            if self._begins(trace_id) < position:
                found[trace_id] = None
            elif trace_id not in self._displaced:
                break
        for trace_id in found:
            yield trace_id, self._places(trace_id)

    def moved(self, trace_id: bytes, before: tuple[Place, ...], after: tuple[Place, ...]) -> None:
        """A waiting trace's parts were copied to new places, above every place given before."""
        if trace_id not in self._waiting:
            return
        known = set(before)
        since = [p for p in self._places(trace_id) if p not in known]
        waiting = Waiting.of(self._waiting[trace_id])
        self._drop(trace_id, waiting)
        self._displace(trace_id, waiting, sorted([*after, *since]))
