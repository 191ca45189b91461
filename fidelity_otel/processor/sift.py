"""Traces in which nothing can be found, told from their bytes.

In most traces of most systems no detector finds anything. `_sift.c` tells that of many before they
are read; what only the experience of earlier traces can tell is asked here. Detection is spared
then, and where only a share of the unremarkable is kept (`sample.keep_share`), so is reading.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fidelity_otel.processor import native
from fidelity_otel.processor.assemble import INCOMPLETE
from fidelity_otel.processor.contract import Contracts
from fidelity_otel.processor.detect import DetectSettings
from fidelity_otel.processor.detect.model_swapped import same_model
from fidelity_otel.processor.detect.shapes import History, Shape
from fidelity_otel.processor.detect.terminology import USUAL_WORDS
from fidelity_otel.processor.live import InUse
from fidelity_otel.processor.pipeline import Body, Decided, Decides, Input
from fidelity_otel.processor.tally import Tally

__all__ = ["Sift", "Sifting"]

_log = logging.getLogger(__name__)

_MOST: Final = 4_000  # names are the senders' to choose; memory is ours
_DAY_NS: Final = 86_400 * 10**9
_LONGEST: Final = 2**62
_THINNED: Final = Decided("thinned", None, ())


class _Asked(NamedTuple):
    """What is left to ask of a trace: whether its tools gave what they always give, how often."""

    workflow: str
    shapes: tuple[tuple[str, Shape, int], ...]


class Sift:
    """Tells traces that certainly hold no finding. For one thread at a time.

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

    def spans_of(self, otlp: bytes) -> int:
        """The number of spans of a trace in which no detector finds anything; 0 where one may.

        Args:
            otlp: the whole trace, each span once.
        """
        part = native.sift
        if part is None:
            return 0
        live = self._live
        if live.detection is not self._detection or live.contracts is not self._contracts:
            self._set(part, live.detection, live.contracts)
        told = part.sift(otlp, *self._limits)
        if told is None:
            return 0
        key, spans = told
        try:
            asked = self._known[key]
        except KeyError:
            asked = self._remember(key)
        if asked is None:
            return 0
        if asked.shapes and not self._are_usual(asked):
            return 0
        return int(spans)

    def _are_usual(self, asked: _Asked) -> bool:
        workflow, shapes = asked
        history = self._history
        for name, shape, _ in shapes:
            if not history.is_most_usual(workflow, name, shape):
                return False
        for name, shape, times in shapes:
            history.learn(workflow, name, (shape,) * times)
        return True

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
        shapes: Counter[tuple[str, Shape]] = Counter()
        for record in records.split("\x1e")[1:]:
            name, *rest = record[1:].split("\x1f")
            if record[0] == "m":
                if not same_model(name, rest[0]):
                    return None
            else:
                kind, *members = rest
                shapes[name, (kind, *sorted(members))] += 1
        return _Asked(workflow, tuple((*each, times) for each, times in shapes.items()))


class Sifting:
    """Decides like others do, and spares them what the sift tells.

    That is to read a trace which is only to be thinned, and to look for findings in one that is
    kept and has none.

    Args:
        rest: decides all other traces.
        sift: tells which hold nothing.
        keep: the probability with which a trace in which nothing is found is stored; 0 where this
            one is not.
        tally: counts.
    """

    def __init__(
        self, rest: Decides, sift: Sift, *, keep: Callable[[str], float], tally: Tally
    ) -> None:
        self._rest = rest
        self._sift = sift
        self._keep = keep
        self._tally = tally

    def decide(
        self, batch: Sequence[Input], *, now_ns: int, known: Mapping[str, int], body: Body
    ) -> list[Decided]:
        """As `Pipeline.decide`."""
        reasons: Counter[str] = Counter()
        spans = 0
        thinned: list[bool] = []
        left: list[Input] = []
        for given in batch:
            count = 0 if given.trace_id in known else self._plain_spans(given)
            thins = count > 0 and not self._keep(given.trace_id)
            thinned.append(thins)
            if thins:
                reasons[given.reason] += 1
                spans += count
            else:
                left.append(given._replace(plain=True) if count else given)
        for reason, count in reasons.items():
            self._tally.add("traces_decided", reason, count)
        self._tally.add("spans_decided", "", spans)
        self._tally.add("traces_ended", "thinned", reasons.total())
        rest = iter(self._rest.decide(left, now_ns=now_ns, known=known, body=body) if left else ())
        return [_THINNED if thins else next(rest) for thins in thinned]

    def _plain_spans(self, given: Input) -> int:
        """The number of a trace's spans where nothing can be found in it, else 0."""
        if not given.unique or given.thinned or given.reason in INCOMPLETE:
            return 0
        bodies = given.bodies
        try:
            return self._sift.spans_of(bodies[0] if len(bodies) == 1 else b"".join(bodies))
        except Exception:  # noqa: BLE001 (a bug there must not stop the chain: others look in full)
            _log.exception("trace %s could not be sifted; it is looked at in full", given.trace_id)
            return 0
