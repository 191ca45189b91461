"""The failure-mode document as values: how each workflow fails, and what becomes of it.

What detectors find is a census of all traffic; what reviewers say is a weighted sample of it. Both
are here, side by side, and never mixed into one number.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Final, Literal, Protocol

import msgspec
import numpy as np

from fidelity_otel.model import Estimate, Finding
from fidelity_otel.processor.detect.cost import DEAR
from fidelity_otel.report.estimates import insufficient
from fidelity_otel.report.frame import Flags, Frame, read_frame, worst_states
from fidelity_otel.stats.intervals import wilson
from fidelity_otel.stats.ratio import ratio

__all__ = [
    "Candidate",
    "Exemplar",
    "FailureLine",
    "Failures",
    "Trend",
    "failures",
]

_EXEMPLARS: Final = 3
_STATE_ORDER: Final = {"unrecovered": 0, "escalated": 1, "recovered": 2}
_COUNTED: Final = "wilson"


class Exemplar(msgspec.Struct, frozen=True):
    """One trace to look at; `path` is its page in the review site."""

    trace_id: str
    path: str
    time_ns: int
    state: str
    evidence: str
    verdict: str | None = None


class Trend(msgspec.Struct, frozen=True):
    """The rate in the later half of the time against the earlier half, split at `at_ns`.

    `change` is later − earlier with Newcombe's interval; `direction` is told only where that
    interval leaves zero out.
    """

    at_ns: int
    earlier: float
    later: float
    change: float
    low: float
    high: float
    direction: Literal["rising", "falling", "steady"]


class FailureLine(msgspec.Struct, frozen=True):
    """One failure mode in one workflow.

    `rate` is the share of the workflow's requests in which it was found: all are known, and the
    interval is for the process that made them. `put_down` is the weighted share of requests that
    reviewers put down to the mode, `wrong` the weighted share of those with it whose answer was
    wrong. `noticed` of `notice_known` findings were noticed by the system. `extra_seconds` and
    `extra_tokens` are what recoveries took in all, `dear` how many took ten times the normal or
    more. `called` is what reviewers named in the traces in which it was found.
    """

    workflow: str
    mode: str
    traces: int
    of: int
    rate: Estimate
    put_down: Estimate
    wrong: Estimate
    trend: Trend | None
    recovered: int
    unrecovered: int
    escalated: int
    recovered_by: dict[str, int]
    noticed: int
    notice_known: int
    median_recovery_seconds: float | None
    extra_seconds: float
    extra_tokens: int
    dear: int
    first_ns: int
    last_ns: int
    called: dict[str, int]
    exemplars: tuple[Exemplar, ...]

    @property
    def recovered_share(self) -> float:
        """Share of the mode's traces in which the system got over it by itself."""
        return self.recovered / self.traces

    @property
    def noticed_share(self) -> float | None:
        """Share of the findings of which it is known that the system noticed; None of none."""
        return self.noticed / self.notice_known if self.notice_known else None


class Candidate(msgspec.Struct, frozen=True):
    """A mode that reviewers name and no detector found in the workflow.

    `detected` says whether a detector knows the mode at all: if so it missed every one of them; if
    not, the mode is worth a contract or an evaluator. `rate` is the weighted share of the
    workflow's requests that are put down to it.
    """

    workflow: str
    mode: str
    detected: bool
    named: int
    rate: Estimate
    first_ns: int
    notes: tuple[str, ...]
    exemplars: tuple[Exemplar, ...]


class Failures(msgspec.Struct, frozen=True):
    """The whole document."""

    generated_ns: int
    since_ns: int | None
    level: float
    traces: int
    reviewed: int
    with_findings: int
    lines: tuple[FailureLine, ...]
    candidates: tuple[Candidate, ...]


class FailureSource(Protocol):
    """What the document needs of the store."""

    def frame_columns(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> dict[str, list[Any]]:
        """The frame."""
        ...

    def found(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> list[tuple[str, tuple[Finding, ...]]]:
        """Trace id and findings of the traces that have any."""
        ...

    def reviews(self, since_ns: int = 0) -> list[Any]:
        """Reviews, oldest first."""
        ...


def failures(
    store: FailureSource,
    *,
    now_ns: int,
    since_ns: int | None = None,
    level: float = 0.95,
    minimum_n: int = 10,
) -> Failures:
    """Make the document.

    Args:
        store: traces, findings, reviews.
        now_ns: the time to note on it.
        since_ns: only traces that started at or after.
        level: of all intervals.
        minimum_n: fewer reviews than this give no estimate.
    """
    frame = read_frame(store, since_ns)
    found = dict(store.found(since_ns))
    notes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for review in store.reviews():
        if review.mode and review.note and not review.hand_picked:
            notes[review.trace_id, review.mode].append(review.note)
    maker = _Maker(frame, found, notes, level, minimum_n)
    lines: list[FailureLine] = []
    candidates: list[Candidate] = []
    for workflow in sorted(set(frame.workflow.tolist())):
        more_lines, more_candidates = maker.workflow(workflow)
        lines += more_lines
        candidates += more_candidates
    return Failures(
        generated_ns=now_ns,
        since_ns=since_ns,
        level=level,
        traces=len(frame),
        reviewed=int(frame.judged.sum()),
        with_findings=sum(bool(s) for s in frame.states),
        lines=tuple(sorted(lines, key=lambda x: (x.workflow, -x.unrecovered, -x.traces, x.mode))),
        candidates=tuple(
            sorted(candidates, key=lambda c: (c.detected, -c.named, c.workflow, c.mode))
        ),
    )


class _Maker:
    """Lines of one document; holds what they share."""

    def __init__(
        self,
        frame: Frame,
        found: dict[str, tuple[Finding, ...]],
        notes: dict[tuple[str, str], list[str]],
        level: float,
        minimum_n: int,
    ) -> None:
        from fidelity_otel.processor.detect.modes import BY_NAME

        self.frame = frame
        self.found = found
        self.notes = notes
        self.level = level
        self.minimum_n = minimum_n
        self.detected = frozenset(BY_NAME)

    def workflow(self, workflow: str) -> tuple[list[FailureLine], list[Candidate]]:
        """The lines and candidates of one workflow."""
        part = self.frame.take(np.asarray(self.frame.workflow == workflow, dtype=bool))
        rows: dict[str, list[int]] = defaultdict(list)
        for row, states in enumerate(part.states):
            for mode in states:
                rows[mode].append(row)
        named: dict[str, list[int]] = defaultdict(list)
        for row, reviews in enumerate(part.reviews):
            for mode in {r.mode for r in reviews if r.mode and not r.hand_picked}:
                named[mode].append(row)
        lines = [self._line(part, workflow, mode, at, named) for mode, at in rows.items()]
        unknown = [m for m in named if m not in rows]
        return lines, [self._candidate(part, workflow, m, named[m]) for m in unknown]

    def _line(
        self, part: Frame, workflow: str, mode: str, rows: list[int], named: dict[str, list[int]]
    ) -> FailureLine:
        states = Counter(part.states[row][mode] for row in rows)
        findings = [f for row in rows for f in self._findings(part, row, mode)]
        seconds = [f.recovery_ns / 1e9 for f in findings if f.recovery_ns is not None]
        known = [f.noticed for f in findings if f.noticed is not None]
        has = _flags(len(part), rows)
        mine = set(rows)
        called = {name: len(mine.intersection(at)) for name, at in named.items()}
        return FailureLine(
            workflow=workflow,
            mode=mode,
            traces=len(rows),
            of=len(part),
            rate=_counted(len(rows), len(part), self.level, mode),
            put_down=self._share(part, _flags(len(part), named.get(mode, [])), f"put_down:{mode}"),
            wrong=self._wrong_of(part, has, mode),
            trend=_trend(part, has, self.level),
            recovered=states["recovered"],
            unrecovered=states["unrecovered"],
            escalated=states["escalated"],
            recovered_by=dict(Counter(f.recovered_by for f in findings if f.recovered_by)),
            noticed=sum(known),
            notice_known=len(known),
            median_recovery_seconds=median(seconds) if seconds else None,
            extra_seconds=sum(seconds),
            extra_tokens=sum(f.recovery_tokens or 0 for f in findings),
            dear=sum((f.recovery_factor or 0.0) >= DEAR for f in findings),
            first_ns=int(part.start_ns[rows].min()),
            last_ns=int(part.start_ns[rows].max()),
            called=dict(sorted(((k, v) for k, v in called.items() if v), key=lambda x: -x[1])),
            exemplars=self._exemplars(part, rows, mode),
        )

    def _candidate(self, part: Frame, workflow: str, mode: str, rows: list[int]) -> Candidate:
        notes = [n for row in rows for n in self.notes.get((part.trace_id[row], mode), ())]
        return Candidate(
            workflow=workflow,
            mode=mode,
            detected=mode in self.detected,
            named=len(rows),
            rate=self._share(part, _flags(len(part), rows), f"named:{mode}"),
            first_ns=int(part.start_ns[rows].min()),
            notes=tuple(dict.fromkeys(notes))[:_EXEMPLARS],
            exemplars=self._exemplars(part, rows, mode),
        )

    def _findings(self, part: Frame, row: int, mode: str) -> list[Finding]:
        return [f for f in self.found.get(part.trace_id[row], ()) if f.mode == mode]

    def _exemplars(self, part: Frame, rows: Sequence[int], mode: str) -> tuple[Exemplar, ...]:
        """Three traces: those that stayed broken first, reviewed before others, then the newest."""

        def order(row: int) -> tuple[int, bool, int]:
            state = part.states[row].get(mode, "unrecovered")
            return _STATE_ORDER[state], not part.reviews[row], -int(part.start_ns[row])

        chosen = []
        for row in sorted(rows, key=order)[:_EXEMPLARS]:
            trace_id = part.trace_id[row]
            found = self._findings(part, row, mode)
            worst = worst_states([f.mode for f in found], [f.state for f in found]).get(mode)
            shown = next((f for f in found if f.state == worst), None)
            said = next((n for n in self.notes.get((trace_id, mode), ())), "")
            verdicts = [r.verdict for r in part.reviews[row]]
            chosen.append(
                Exemplar(
                    trace_id=trace_id,
                    path=f"/traces/{trace_id}",
                    time_ns=int(part.start_ns[row]),
                    state=worst or "named",
                    evidence=shown.evidence if shown else said,
                    verdict=verdicts[-1] if verdicts else None,
                )
            )
        return tuple(chosen)

    def _share(self, part: Frame, has: Flags, name: str) -> Estimate:
        """The weighted share of all requests, from the judged ones."""
        return self._ratio(part, has.astype(float), np.ones(len(part)), name)

    def _wrong_of(self, part: Frame, has: Flags, mode: str) -> Estimate:
        """The weighted share of wrong answers among the requests with a mode."""
        bottom = has.astype(float)
        return self._ratio(part, bottom * (1 - np.nan_to_num(part.label)), bottom, f"wrong:{mode}")

    def _ratio(self, part: Frame, top: Any, bottom: Any, name: str) -> Estimate:
        use = part.drawn & part.judged
        n = int((bottom[use] > 0).sum())
        if n < self.minimum_n:
            return insufficient(name, level=self.level, n=n, frame=len(part))
        made = ratio(
            top[use],
            bottom[use],
            pi=part.answered[use],
            cluster=part.cluster[use],
            name=name,
            level=self.level,
            minimum_n=self.minimum_n,
        )
        return msgspec.structs.replace(made, N=int(bottom.sum()))


def _flags(length: int, rows: Iterable[int]) -> Flags:
    flags: Flags = np.zeros(length, dtype=bool)
    flags[list(rows)] = True
    return flags


def _counted(count: int, of: int, level: float, name: str) -> Estimate:
    low, high = wilson(count, of, level)
    share = count / of
    return Estimate(
        f"rate:{name}", share, float(low), float(high), level, _COUNTED, of, float(of), of
    )


def _trend(part: Frame, has: Flags, level: float) -> Trend | None:
    """Later half of the time against the earlier; None where one half is empty.

    Newcombe's hybrid score interval for a difference of independent shares (Statistics in Medicine
    17, 1998, method 10).
    """
    first, last = int(part.start_ns.min()), int(part.start_ns.max())
    middle = first + (last - first) // 2
    late = part.start_ns > middle
    counts = [(int(has[side].sum()), int(side.sum())) for side in (~late, late)]
    if not all(of for _, of in counts):
        return None
    (a, n), (b, m) = counts
    p, q = a / n, b / m
    (l1, h1), (l2, h2) = (
        (float(low), float(high)) for low, high in (wilson(a, n, level), wilson(b, m, level))
    )
    change = q - p
    low = change - ((q - l2) ** 2 + (h1 - p) ** 2) ** 0.5
    high = change + ((h2 - q) ** 2 + (p - l1) ** 2) ** 0.5
    direction: Literal["rising", "falling", "steady"] = "steady"
    if low > 0:
        direction = "rising"
    elif high < 0:
        direction = "falling"
    return Trend(middle, p, q, change, low, high, direction)
