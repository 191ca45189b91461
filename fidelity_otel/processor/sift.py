"""What can be found in traces at all, told from their bytes.

In most traces of most systems no detector finds anything, and in most of the others one. `_sift.c`
tells of many before they are read which detectors have to look; what only the experience of earlier
traces can tell is asked here. The others are spared then, and where only a share of the
unremarkable is kept (`sample.keep_share`), so is reading those in which nothing can be found.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container, Iterable
from typing import Any, Final, NamedTuple

from fidelity_otel.processor import native
from fidelity_otel.processor.assemble import INCOMPLETE
from fidelity_otel.processor.contract import Contracts
from fidelity_otel.processor.detect import DetectSettings, Doubt
from fidelity_otel.processor.detect.model_swapped import same_model
from fidelity_otel.processor.detect.shapes import History, Shape
from fidelity_otel.processor.detect.terminology import USUAL_WORDS
from fidelity_otel.processor.live import InUse
from fidelity_otel.processor.pipeline import Input
from fidelity_otel.processor.tally import Tally

__all__ = ["Sieve", "Sieved", "Sift", "Sifted"]

_log = logging.getLogger(__name__)

_MOST: Final = 4_000  # names are the senders' to choose; memory is ours
_DAY_NS: Final = 86_400 * 10**9
_LONGEST: Final = 2**62


class _Asked(NamedTuple):
    """What is left to ask of a trace: whether its tools gave what they always give, how often."""

    workflow: str
    shapes: tuple[tuple[str, Shape, int], ...]
    doubts: int


class Sifted(NamedTuple):
    """The number of a trace's spans, and the detectors that have to look at it (`Doubt`)."""

    spans: int
    doubts: int


class Sift:
    """Tells which detectors certainly find nothing in a trace. For one thread at a time.

    Args:
        live: the rules of this moment.
        history: the shapes of tools' results, the detectors' own; it learns from what passes here
            as it would have from detection.
    """

    def __init__(self, live: InUse, history: History) -> None:
        self._live = live
        self._history = history
        self._detection: DetectSettings | None = None
        self._contracts: Contracts | None = None
        self._limits = (0, 0, 0, 0)
        self._known: dict[bytes, _Asked | None] = {}

    def told(self, otlp: bytes) -> Sifted | None:
        """What is told of a trace; None where any detector may find something.

        Args:
            otlp: the whole trace, each span once, of bytes that intake took in.
        """
        part = native.sift
        if part is None:
            return None
        live = self._live
        if live.detection is not self._detection or live.contracts is not self._contracts:
            self._set(part, live.detection, live.contracts)
        told = part.sift(otlp, *self._limits)
        if told is None:
            return None
        key, spans, doubts = told
        try:
            asked = self._known[key]
        except KeyError:
            asked = self._remember(key)
        if asked is None:
            return None
        if asked.shapes and not self._history.learn_usual(asked.workflow, asked.shapes):
            return None
        return Sifted(spans, doubts | asked.doubts)

    def _set(self, part: Any, detection: DetectSettings, contracts: Contracts) -> None:
        self._detection, self._contracts = detection, contracts
        self._known.clear()
        part.usual(USUAL_WORDS)
        self._limits = (
            detection.loop_calls,
            min(max(0, int(detection.stale_days * _DAY_NS)), _LONGEST),
            min(max(0, int(detection.max_seconds * 1e9)), _LONGEST),
            detection.max_tokens,
        )

    def _remember(self, key: bytes) -> _Asked | None:
        if len(self._known) >= _MOST:
            self._known.clear()
        asked = self._known[key] = self._asked(key)
        return asked

    def _asked(self, key: bytes) -> _Asked | None:
        """What a key says, or None where the trace has to be looked at in full."""
        records, _, workflow = key.decode().partition("\x1d")
        if self._contracts and self._contracts.rules_of(workflow):
            return None
        doubts = 0
        shapes: Counter[tuple[str, Shape]] = Counter()
        for record in records.split("\x1e")[1:]:
            name, *rest = record[1:].split("\x1f")
            if record[0] == "m":
                if not same_model(name, rest[0]):
                    doubts = int(Doubt.SWAPPED)
            else:
                kind, *members = rest
                shapes[name, (kind, *sorted(members))] += 1
        return _Asked(workflow, tuple((*each, times) for each, times in shapes.items()), doubts)


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

    def take(self, batch: Iterable[Input], known: Container[str]) -> Sieved:
        """Look at each trace once, and hold on to none that is thinned.

        Args:
            batch: the traces.
            known: the ids of those that are stored already.
        """
        reasons: Counter[str] = Counter()
        spans = 0
        sieved = Sieved([], [])
        for given in batch:
            told = None if given.trace_id in known else self._told(given)
            if told is None:
                sieved.left.append(given)
            elif told.doubts or self._keep(given.trace_id):
                sieved.left.append(given._replace(doubts=told.doubts))
            else:
                sieved.thinned.append(given.trace_id)
                reasons[given.reason] += 1
                spans += told.spans
        for reason, count in reasons.items():
            self._tally.add("traces_decided", reason, count)
        self._tally.add("spans_decided", "", spans)
        self._tally.add("traces_ended", "thinned", reasons.total())
        return sieved

    def _told(self, given: Input) -> Sifted | None:
        if not given.unique or given.thinned or given.reason in INCOMPLETE:
            return None
        bodies = given.bodies
        try:
            return self._sift.told(bodies[0] if len(bodies) == 1 else b"".join(bodies))
        except Exception:  # noqa: BLE001 (a bug there must not stop the chain: others look in full)
            _log.exception("trace %s could not be sifted; it is looked at in full", given.trace_id)
            return None
