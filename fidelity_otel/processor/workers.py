"""Deciding batches on several cores: shares them out by trace id, puts the answers together."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Final
from zlib import crc32

import msgspec

from fidelity_otel.processor.detect import History
from fidelity_otel.processor.live import Live, make_pipeline
from fidelity_otel.processor.pipeline import Body, Decided, Input, Pipeline
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.worker import Seen, Task, Told

__all__ = ["Workers"]

_log = logging.getLogger(__name__)
_START: Final = "from fidelity_otel.processor.worker import main; main()"
_TRIES: Final = 2
_PATIENCE: Final = 5.0


class _Worker:
    """One process and the connection to it; it ends when the connection does."""

    def __init__(self, log_format: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            handle = theirs.fileno()
            self.process = subprocess.Popen(  # noqa: S603 (ourselves)
                [sys.executable, "-c", _START, str(handle), log_format],
                pass_fds=(handle,),
                stdin=subprocess.DEVNULL,
            )
        self.connection = Connection(ours.detach())
        self.has: tuple[object, ...] = ()  # the rules that it was given

    def close(self) -> None:
        self.connection.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Workers:
    """Decides like the pipeline that it is given, on more cores. For one thread at a time.

    Args:
        count: processes.
        live: the rules of this moment; workers get them anew when they have changed.
        pipeline: decides what a worker can't: what depends on `history`, and what workers die of.
        history: the shapes of tools' results, the pipeline's own.
        tally: counts.
        log_format: of the processes' log.
    """

    def __init__(
        self,
        count: int,
        live: Live,
        pipeline: Pipeline,
        *,
        history: History,
        tally: Tally,
        log_format: str = "text",
    ) -> None:
        self._live = live
        self._pipeline = pipeline
        # For what a worker has decided, and counted, without knowing what is usual.
        self._again = make_pipeline(live, Tally(), history)
        self._history = history
        self._tally = tally
        self._log_format = log_format
        self._workers = [_Worker(log_format) for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [worker.process.pid for worker in self._workers]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()

    def decide(
        self, batch: Sequence[Input], *, now_ns: int, known: Mapping[str, int], body: Body
    ) -> list[Decided]:
        """As `Pipeline.decide`."""
        bodies = {g.trace_id: body(g.trace_id) for g in batch if g.trace_id in known}
        shares: list[list[Input]] = [[] for _ in self._workers]
        for given in batch:
            shares[crc32(given.trace_id.encode()) % len(shares)].append(given)
        tasks = [
            Task(
                None,
                share,
                now_ns,
                {g.trace_id: known[g.trace_id] for g in share if g.trace_id in known},
                {g.trace_id: bodies[g.trace_id] for g in share if g.trace_id in bodies},
            )
            for share in shares
        ]
        sent = [bool(t.batch) and self._send(n, t) for n, t in enumerate(tasks)]
        told: dict[str, tuple[Decided, Seen | None]] = {}
        for number, task in enumerate(tasks):
            answer = self._answer(number, task, sent=sent[number]) if task.batch else None
            if answer is not None:
                for (name, label), count in answer.counts.items():
                    if name != "traces_ended":  # what is found here may end a trace otherwise
                        self._tally.add(name, label, count)
                for given, decided in zip(task.batch, answer.decided, strict=True):
                    told[given.trace_id] = decided, answer.seen.get(given.trace_id)
        # In the order of the batch: what is learned of one trace counts for the next.
        settled: list[Decided] = []
        for given in batch:
            pipeline, found = self._pipeline, told.get(given.trace_id)
            if found is not None:
                decided, seen = found
                if seen is None or self._is_usual(seen):
                    settled.append(self._ended(_whole(given, decided)))
                    continue
                pipeline = self._again
            made = pipeline.decide([given], now_ns=now_ns, known=known, body=bodies.__getitem__)
            settled += made if found is None else map(self._ended, made)
        return settled

    def _ended(self, decided: Decided) -> Decided:
        """Count how it ended; the pipeline has, where no worker was asked."""
        self._tally.add("traces_ended", decided.end)
        return decided

    def _is_usual(self, seen: Seen) -> bool:
        """Whether what was learned from other traces says nothing of one; then it is learned."""
        history = self._history
        for name, shapes in seen.shapes:
            if any(history.usual(seen.workflow, name, shape) for shape in shapes):
                return False
        for name, shapes in seen.shapes:
            history.learn(seen.workflow, name, shapes)
        return True

    def _send(self, number: int, task: Task) -> bool:
        """Hand a task over; whether the worker took it."""
        worker, live = self._workers[number], self._live
        # Looked at before the settings that they were made from: should both change in between,
        # the worker gets new rules now and, because these are not they, once more.
        rules = (live.sampler, live.detection, live.contracts, live.risk_model)
        fresh = len(worker.has) != len(rules) or any(
            a is not b for a, b in zip(worker.has, rules, strict=True)
        )
        try:
            worker.connection.send(task._replace(given=live.given() if fresh else None))
        except OSError:
            return False
        worker.has = rules
        return True

    def _answer(self, number: int, task: Task, *, sent: bool) -> Told | None:
        """The worker's answer; of a new worker where this one dies, and none where that does."""
        for attempt in range(_TRIES):
            if attempt:
                self._replace(number)
                sent = self._send(number, task)
            if sent:
                try:
                    answer: Told = self._workers[number].connection.recv()
                except (EOFError, OSError):
                    continue
                return answer
        self._replace(number)
        _log.error("%d traces are decided without workers, which die of them", len(task.batch))
        return None

    def _replace(self, number: int) -> None:
        before = self._workers[number]
        before.connection.close()
        before.process.kill()
        _log.error(
            "worker %d has died (exit code %s) and is replaced",
            before.process.pid,
            before.process.wait(),
        )
        self._tally.add("worker_deaths")
        self._workers[number] = _Worker(self._log_format)


def _whole(given: Input, decided: Decided) -> Decided:
    """With the body that the worker did not send back."""
    record = decided.record
    if record is None or record.otlp:
        return decided
    return decided._replace(record=msgspec.structs.replace(record, otlp=given.bodies[0]))
