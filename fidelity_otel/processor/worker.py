"""A worker process: decides the traces that the service hands it, and keeps nothing.

It has no store, no journal and no history of its own. What it tells is a proposal: the service
looks at the shapes of tools' results in the order of the batch, as it would had it decided alone,
and decides those traces itself where what it has learned makes a difference. So the number of
workers changes no decision, and a worker that dies costs the time of a batch.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

import msgspec

from fidelity_otel.errors import FidelityError
from fidelity_otel.model import Trace
from fidelity_otel.processor import native
from fidelity_otel.processor.detect import History
from fidelity_otel.processor.detect.shapes import Shape
from fidelity_otel.processor.heap import steady_heap
from fidelity_otel.processor.live import Given, Rules, make_pipeline
from fidelity_otel.processor.log_format import set_up
from fidelity_otel.processor.pipeline import Decided, Input, Pipeline
from fidelity_otel.processor.tally import Tally

__all__ = ["Seen", "Task", "Told", "main", "work"]

_GARBAGE: Final = (50_000, 20, 100)


class Task(NamedTuple):
    """Traces to decide; `given` where it is new, revisions and bodies of those that are stored."""

    given: Given | None
    batch: Sequence[Input]
    now_ns: int
    known: Mapping[str, int]
    bodies: Mapping[str, bytes]


class Seen(NamedTuple):
    """The shapes of a trace's tool results, by tool."""

    workflow: str
    shapes: list[tuple[str, list[Shape]]]


class Told(NamedTuple):
    """What a worker says of a task's traces.

    `counts` is what deciding them counted, `seen` what they showed, by trace id. A record whose
    body is the trace's only part comes without it.
    """

    decided: Sequence[Decided]
    counts: Mapping[tuple[str, str], int]
    seen: Mapping[str, Seen]


class _Noting(History):
    """Knows nothing; notes what each trace shows."""

    __slots__ = ("_now", "_seen_in")

    def __init__(self) -> None:
        super().__init__()
        self.take()

    def take(self) -> dict[str, Seen]:
        """What was noted, by trace id; it begins anew."""
        noted = getattr(self, "_seen_in", {})
        self._seen_in: dict[str, Seen] = {}
        self._now: list[tuple[str, list[Shape]]] = []
        return noted

    def about(self, trace: Trace) -> History:
        self._now = []
        self._seen_in[trace.trace_id] = Seen(trace.workflow, self._now)
        return self

    def learn(self, workflow: str, name: str, shapes: Iterable[Shape]) -> None:
        del workflow  # it is the trace's
        self._now.append((name, list(shapes)))


def work(connection: Connection) -> None:
    """Answer tasks until the other side closes."""
    noted, tally = _Noting(), Tally()
    pipeline: Pipeline | None = None
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        if task.given is not None:
            native.use(task.given[0]["receive.native"])
            pipeline = make_pipeline(Rules.of(task.given), tally, noted)
        assert pipeline is not None  # the first task has what it is made from
        decided = pipeline.decide(
            task.batch, now_ns=task.now_ns, known=task.known, body=task.bodies.__getitem__
        )
        lean = [_lean(given, each) for given, each in zip(task.batch, decided, strict=True)]
        try:
            connection.send(Told(lean, tally.take(), noted.take()))
        except OSError:
            return


def _lean(given: Input, decided: Decided) -> Decided:
    record = decided.record
    if record is None or len(given.bodies) > 1 or record.otlp != given.bodies[0]:
        return decided
    return decided._replace(record=msgspec.structs.replace(record, otlp=b""))


def main() -> None:
    """`worker HANDLE LOG`: the connection's file descriptor, and the log's format."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the service says when to end: it closes
    steady_heap()
    set_up(sys.argv[2], verbose=False)
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    try:
        work(Connection(int(sys.argv[1])))
    except FidelityError as error:
        sys.exit(f"a worker cannot decide: {error}")
