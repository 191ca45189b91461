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
from fidelity_otel.processor.detect import History
from fidelity_otel.processor.detect.shapes import Shape
from fidelity_otel.processor.heap import steady_heap
from fidelity_otel.processor.live import Given, Rules, make_pipeline
from fidelity_otel.processor.log_format import set_up
from fidelity_otel.processor.pipeline import Decided, Input, Pipeline
from fidelity_otel.processor.tally import Tally

__all__ = ["Task", "Told", "main", "work"]

_GARBAGE: Final = (50_000, 20, 100)


class Task(NamedTuple):
    """Traces to decide; `given` where it is new, revisions and bodies of those that are stored."""

    given: Given | None
    batch: Sequence[Input]
    now_ns: int
    known: Mapping[str, int]
    bodies: Mapping[str, bytes]


class Told(NamedTuple):
    """What a worker says of one trace.

    `counts` is what deciding it counted, `shapes` the tools' results that were seen, by tool.
    A record whose body is the trace's only part comes without it.
    """

    decided: Decided
    counts: Mapping[tuple[str, str], int]
    workflow: str
    shapes: Sequence[tuple[str, Shape]]


class _Noting(History):
    """Knows nothing; notes what it is shown of one trace."""

    __slots__ = ("shapes", "workflow")

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        self.workflow = ""
        self.shapes: list[tuple[str, Shape]] = []

    def learn(self, workflow: str, name: str, shapes: Iterable[Shape]) -> None:
        self.workflow = workflow
        self.shapes += [(name, shape) for shape in shapes]


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
            pipeline = make_pipeline(Rules.of(task.given), tally, noted)
        assert pipeline is not None  # the first task has what it is made from
        told = [_decide(pipeline, task, given, noted, tally) for given in task.batch]
        try:
            connection.send(told)
        except OSError:
            return


def _decide(pipeline: Pipeline, task: Task, given: Input, noted: _Noting, tally: Tally) -> Told:
    noted.clear()
    (decided,) = pipeline.decide(
        [given],
        now_ns=task.now_ns,
        known=task.known,
        body=lambda trace_id: task.bodies[trace_id],
    )
    record = decided.record
    if record is not None and len(given.bodies) == 1 and record.otlp == given.bodies[0]:
        decided = decided._replace(record=msgspec.structs.replace(record, otlp=b""))
    return Told(decided, tally.take(), noted.workflow, noted.shapes)


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
