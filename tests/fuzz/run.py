"""`make fuzz`: hostile bodies through the real receivers and on to the detectors, counted and judged.

    python tests/fuzz/run.py --count 10000000 [--seed 1]

Wrong is: an answer that does not fit, an exception, an error without words, bytes that stay
admitted, an accepted span that cannot be read again, a finding that the sift spared,
memory beyond the bound, and a batch that does not end. The first wrong body ends the run: its seed,
number and bytes are printed, exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "processor"))
sys.path.insert(0, str(Path(__file__).parents[1] / "processor" / "detect"))
sys.path.insert(0, str(Path(__file__).parent))

from bodies import LIMIT, Bodies, Body
from google.rpc.status_pb2 import Status
from receiving import Receiving, ask

from fidelity_otel.errors import InputError
from fidelity_otel.processor.assemble import Ready
from fidelity_otel.processor.contract import Contracts
from fidelity_otel.processor.detect import DEFAULT, History, detect_all
from fidelity_otel.processor.detect.risk import PRIOR
from fidelity_otel.processor.journal import SPANS, unpack_spans
from fidelity_otel.processor.live import Rules, make_pipeline
from fidelity_otel.processor.pipeline import Input
from fidelity_otel.processor.read import read_otlp
from fidelity_otel.processor.sample import Sampler
from fidelity_otel.processor.sift import ANYTHING, Sift
from fidelity_otel.processor.tally import Tally

BATCH = 64  # requests under way at once: their commits share a sync
HANG_SECONDS = 120
GROWTH = 160 << 20
READ_ON = 8  # every so manieth batch goes through dialects, detectors and sampling as well


class WrongError(AssertionError):
    """The service did something that it must not; the message says with what."""


class Fuzz:
    """One run over one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.bodies = Bodies(seed)
        self.kinds: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.spans = self.decided = self.passed = self.noted = 0
        self.tally = Tally()
        rules, history = Rules(Sampler({}, "salt"), DEFAULT, Contracts(), PRIOR), History()
        self.pipeline = make_pipeline(rules, self.tally, history)
        self.sift = Sift(rules, history)
        self.there = Receiving(
            folder,
            max_request_bytes=LIMIT,
            max_in_flight=BATCH * 2 * LIMIT,
            max_journal=BATCH * 8 * LIMIT,
            look=self.sift.look_at_all,
        )
        self.there.journal.segment_bytes = 1 << 20
        self._read_to = 0

    async def batch(self, size: int, number: int) -> None:
        made = [self.bodies.next() for _ in range(size)]
        await asyncio.gather(*(self._one(body, number + i) for i, body in enumerate(made)))
        if self.there.admission.in_flight or self.there.admission.requests:
            raise WrongError(f"seed {self.seed}, before body {number + size}: bytes stay admitted")
        for ready in self.there.assembler.due(1 << 62, BATCH * LIMIT):
            self._check_note(ready)
            self.there.assembler.done(ready)
        if self.there.assembler.waiting_spans or self.there.assembler.deciding:
            raise WrongError(f"seed {self.seed}, before body {number + size}: spans wait for ever")
        self._read_on(decide=number // BATCH % READ_ON == 0)
        self.there.journal.need("fuzz", self.there.journal.end)
        self.there.journal.trim()

    async def _one(self, body: Body, number: int) -> None:
        self.kinds[body.kind] += 1
        where = f"seed {self.seed}, body {number} ({body.kind}, {len(body.content)} bytes)"
        plain = "content-encoding" not in body.headers and body.path.startswith("/v1/t")
        try:
            code, _, told = await ask(
                self.there.http, body.content, path=body.path, headers=body.headers
            )
            if number % 7 == 0 and plain and "json" not in body.headers["content-type"]:
                await self._grpc(body, code)
        except WrongError:
            raise
        except Exception as error:
            raise WrongError(f"{where}: {type(error).__name__}: {error}\n{_shown(body)}") from error
        self.answers[code] += 1
        if code not in body.right:
            raise WrongError(f"{where}: {code}, not {sorted(body.right)}: {told!r}\n{_shown(body)}")
        if code != 200 and not _message(body, told):
            raise WrongError(f"{where}: {code} without a word\n{_shown(body)}")

    async def _grpc(self, body: Body, code: int) -> None:
        """What gRPC hands over, once more: it must judge as HTTP does."""
        self.there.admission.enter(len(body.content))
        try:
            await self.there.intake.take("traces", body.content, "grpc")
            taken = True
        except InputError:
            taken = False
        finally:
            self.there.admission.leave(len(body.content))
        if code in (200, 400) and taken != (code == 200):
            raise WrongError(f"gRPC and HTTP differ on {body.kind}\n{_shown(body)}")

    def _check_note(self, ready: Ready) -> None:
        """What was told of a trace as it came in is what its bytes in the journal say."""
        if ready.note <= ANYTHING or not self.sift.has(ready.note):
            return
        ((position, size),) = ready.places
        otlp = bytes(unpack_spans(self.there.journal.read(position, size).payload).otlp)
        self.noted += 1
        if self.sift.look(otlp) != ready.note:
            raise WrongError(f"seed {self.seed}: a note of another trace\n{otlp.hex()}")

    def _read_on(self, *, decide: bool) -> None:
        """Everything that was acked can be read; now and then it is also decided."""
        parts: dict[str, list[bytes]] = {}
        for record in self.there.journal.records():
            if record.kind != SPANS or record.position < self._read_to:
                continue
            self._read_to = record.end
            spans = unpack_spans(record.payload)
            self.spans += spans.number
            if decide:
                parts.setdefault(spans.trace_id.hex(), []).append(bytes(spans.otlp))
        for trace_id, bodies in parts.items():
            self._decide(trace_id, bodies)
        if self.tally.get("traces_ended", "failed") or self.tally.get("detection_failed"):
            raise WrongError(f"seed {self.seed}: something accepted could not be read or detected")

    def _decide(self, trace_id: str, bodies: list[bytes]) -> None:
        """What the sift spares detectors, they would have found nothing in."""
        told = self.sift.told(b"".join(bodies))
        record = self.pipeline.decide([Input(trace_id, bodies, "idle")], now_ns=1)[0].record
        self.decided += 1
        if told is None or record is None or record.span_count != told.spans:
            return  # where a span came twice, the service does not ask the sift
        self.passed += not told.doubts
        (found,) = detect_all([read_otlp(b"".join(bodies))], doubts=[told.doubts])
        if found != record.findings:
            whole = b"".join(bodies).hex()
            raise WrongError(
                f"seed {self.seed}: the sift leaves {found} of {record.findings}\n{whole}"
            )


def _message(body: Body, told: bytes) -> str:
    if body.headers["content-type"] == "application/json":
        return str(json.loads(told)["message"])
    return str(Status.FromString(told).message)


def _shown(body: Body) -> str:
    return f"{body.path} {body.headers} {body.content[:600].hex()}"


def memory() -> int:
    """Most bytes that this process has had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def run(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Send so many bodies; returns what was counted.

    Raises:
        WrongError: something was not as it must be.
    """
    fuzz = Fuzz(seed, folder)
    began, before, done = time.monotonic(), 0, 0
    try:
        while done < count:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            size = min(BATCH, count - done)
            await fuzz.batch(size, done)
            done += size
            if not before and done >= min(count, 5_000):
                before = memory()  # every kind has been seen: from here on it must not grow
            if memory() - (before or memory()) > GROWTH:
                raise WrongError(f"seed {seed}, body {done}: {memory() >> 20} MiB in memory")
            if done % 1_000_000 < BATCH and done >= 1_000_000:
                print(f"{done:,} bodies, {memory() >> 20} MiB", file=sys.stderr, flush=True)
        faulthandler.cancel_dump_traceback_later()
    finally:
        await fuzz.there.close()
    return {
        "bodies": done,
        "kinds": dict(sorted(fuzz.kinds.items())),
        "answers": {str(code): n for code, n in sorted(fuzz.answers.items())},
        "spans_acked_and_read": fuzz.spans,
        "traces_decided": fuzz.decided,
        "traces_passed_by_the_sift": fuzz.passed,
        "traces_told_at_intake": fuzz.noted,
        "most_memory_mb": memory() >> 20,
        "grown_mb": (memory() - before) >> 20,
        "seconds": round(time.monotonic() - began),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        try:
            print(json.dumps(asyncio.run(run(chosen.count, chosen.seed, Path(name)))))
        except WrongError as wrong:
            print(wrong, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
