"""The failure-mode document made: how each workflow fails, and what becomes of it.

What detectors find is a census of all traffic; what reviewers say is a weighted sample of it. Both
are here, side by side, and never mixed into one number. Where a head sampler before us kept a trace
with probability p, that trace counts for the 1/p requests that it stands for, in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from fidelity_otel.model import Estimate
from fidelity_otel.report.estimates import insufficient
from fidelity_otel.report.failures_found import Exemplar, ModeTally, Weighed
from fidelity_otel.report.failures_lines import Candidate, FailureLine, Failures, Trend
from fidelity_otel.report.frame import Flags, Floats, Frame, frame_of, joined, worst_states
from fidelity_otel.stats.intervals import wilson
from fidelity_otel.stats.ratio import ratio
from fidelity_otel.store import FoundTrace, Traffic

__all__ = [
    "Candidate",
    "Exemplar",
    "FailureLine",
    "Failures",
    "Trend",
    "failures",
]

_EXEMPLARS: Final = 3
_COUNTED: Final = "wilson"


class FailurePages(Protocol):
    """As `store.Pages`."""

    def traffic(self) -> list[Traffic]:
        """How many traces there are, by workflow and half."""
        ...

    def found(self) -> Iterator[list[FoundTrace]]:
        """The traces with findings."""
        ...

    def looked_at(self) -> Iterator[dict[str, list[Any]]]:
        """The traces drawn, picked or reviewed."""
        ...


class FailureSource(Protocol):
    """What the document needs of the store."""

    def pages(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> AbstractContextManager[FailurePages]:
        """One view of a span of time."""
        ...

    def reviews(self, since_ns: int = 0) -> list[Any]:
        """Reviews, oldest first."""
        ...


class _Work(NamedTuple):
    """All traffic of one workflow, in the halves of its time."""

    middle_ns: int
    early: Weighed
    late: Weighed


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
    notes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for review in store.reviews():
        if review.mode and review.note and not review.hand_picked:
            notes[review.trace_id, review.mode].append(review.note)
    with store.pages(since_ns) as pages:
        work = _work(pages.traffic())
        seen = list(pages.looked_at())
        frame = joined([frame_of(columns) for columns in seen])
        tallies, with_findings = _tallies(pages.found(), work, frame)
    maker = _Maker(frame, notes, level, minimum_n)
    lines: list[FailureLine] = []
    candidates: list[Candidate] = []
    for workflow, traffic in sorted(work.items()):
        more_lines, more_candidates = maker.workflow(workflow, traffic, tallies[workflow])
        lines += more_lines
        candidates += more_candidates
    whole = [traffic.early.plus(traffic.late) for traffic in work.values()]
    return Failures(
        generated_ns=now_ns,
        since_ns=since_ns,
        level=level,
        traces=round(sum(each.requests for each in whole)),
        seen=sum(each.traces for each in whole),
        reviewed=int(frame.judged.sum()),
        with_findings=round(with_findings),
        lines=tuple(sorted(lines, key=lambda x: (x.workflow, -x.unrecovered, -x.traces, x.mode))),
        candidates=tuple(
            sorted(candidates, key=lambda c: (c.detected, -c.named, c.workflow, c.mode))
        ),
    )


def _work(traffic: Sequence[Traffic]) -> dict[str, _Work]:
    found: dict[str, _Work] = {}
    for each in traffic:
        held = found.get(each.workflow) or _Work(each.middle_ns, Weighed(), Weighed())
        half = Weighed(each.traces, each.requests, each.squares)
        found[each.workflow] = held._replace(late=half) if each.late else held._replace(early=half)
    return found


def _tallies(
    pages: Iterable[Sequence[FoundTrace]], work: dict[str, _Work], frame: Frame
) -> tuple[dict[str, dict[str, ModeTally]], float]:
    """The tallies by workflow and mode, and how many requests have any finding."""
    verdicts = {
        trace_id: reviews[-1].verdict
        for trace_id, reviews in zip(frame.trace_id, frame.reviews, strict=True)
        if reviews
    }
    tallies: defaultdict[str, dict[str, ModeTally]] = defaultdict(lambda: defaultdict(ModeTally))
    requests = 0.0
    for page in pages:
        for trace in page:
            requests += 1.0 / trace.upstream
            late = trace.start_ns > work[trace.workflow].middle_ns
            verdict = verdicts.get(trace.trace_id)
            for mode, state in worst_states(trace.modes, trace.states).items():
                tally = tallies[trace.workflow][mode]
                tally.add(trace, mode, state, late=late, verdict=verdict)
    return tallies, requests


class _Maker:
    """Lines of one document; holds what they share."""

    def __init__(
        self,
        frame: Frame,
        notes: dict[tuple[str, str], list[str]],
        level: float,
        minimum_n: int,
    ) -> None:
        from fidelity_otel.processor.detect.modes import BY_NAME

        self.frame = frame
        self.notes = notes
        self.level = level
        self.minimum_n = minimum_n
        self.detected = frozenset(BY_NAME)

    def workflow(
        self, workflow: str, work: _Work, tallies: dict[str, ModeTally]
    ) -> tuple[list[FailureLine], list[Candidate]]:
        """The lines and candidates of one workflow."""
        part = self.frame.take(np.asarray(self.frame.workflow == workflow, dtype=bool))
        named: dict[str, list[int]] = defaultdict(list)
        for row, reviews in enumerate(part.reviews):
            for mode in {r.mode for r in reviews if r.mode and not r.hand_picked}:
                named[mode].append(row)
        lines = [self._line(part, workflow, work, each, named) for each in tallies.items()]
        of = work.early.plus(work.late)
        unknown = [m for m in named if m not in tallies]
        return lines, [self._candidate(part, workflow, m, of, named[m]) for m in unknown]

    def _line(
        self,
        part: Frame,
        workflow: str,
        work: _Work,
        found_as: tuple[str, ModeTally],
        named: dict[str, list[int]],
    ) -> FailureLine:
        mode, tally = found_as
        has = [row for row, states in enumerate(part.states) if mode in states]
        called = {name: len(set(has).intersection(at)) for name, at in named.items()}
        found, of = tally.found, work.early.plus(work.late)
        states = {state: round(n) for state, n in tally.states.items()}
        return FailureLine(
            workflow=workflow,
            mode=mode,
            traces=round(found.requests),
            of=round(of.requests),
            seen=found.traces,
            seen_of=of.traces,
            rate=_counted(found, of, self.level, mode),
            put_down=self._share(part, named.get(mode, []), of, f"put_down:{mode}"),
            wrong=self._wrong_of(part, has, found, mode),
            trend=_trend(work, tally, self.level),
            recovered=states.get("recovered", 0),
            unrecovered=states.get("unrecovered", 0),
            escalated=states.get("escalated", 0),
            recovered_by={name: round(n) for name, n in tally.recovered_by.items()},
            noticed=round(tally.noticed),
            notice_known=round(tally.notice_known),
            median_recovery_seconds=tally.seconds.value(),
            extra_seconds=tally.extra_seconds,
            extra_tokens=round(tally.extra_tokens),
            dear=round(tally.dear),
            first_ns=tally.first_ns,
            last_ns=tally.last_ns,
            called=dict(sorted(((k, v) for k, v in called.items() if v), key=lambda x: -x[1])),
            exemplars=tally.exemplars,
        )

    def _candidate(
        self, part: Frame, workflow: str, mode: str, of: Weighed, rows: list[int]
    ) -> Candidate:
        notes = [n for row in rows for n in self.notes.get((part.trace_id[row], mode), ())]
        return Candidate(
            workflow=workflow,
            mode=mode,
            detected=mode in self.detected,
            named=len(rows),
            rate=self._share(part, rows, of, f"named:{mode}"),
            first_ns=int(part.start_ns[rows].min()),
            notes=tuple(dict.fromkeys(notes))[:_EXEMPLARS],
            exemplars=self._exemplars(part, rows, mode),
        )

    def _exemplars(self, part: Frame, rows: Sequence[int], mode: str) -> tuple[Exemplar, ...]:
        """Three traces in which reviewers named a mode: the newest."""
        newest = sorted(rows, key=lambda row: -int(part.start_ns[row]))
        return tuple(
            Exemplar(
                trace_id=part.trace_id[row],
                path=f"/traces/{part.trace_id[row]}",
                time_ns=int(part.start_ns[row]),
                state="named",
                evidence=next(iter(self.notes.get((part.trace_id[row], mode), ())), ""),
                verdict=part.reviews[row][-1].verdict,
            )
            for row in newest[:_EXEMPLARS]
        )

    def _share(self, part: Frame, rows: list[int], of: Weighed, name: str) -> Estimate:
        """The weighted share of all requests, from the judged ones."""
        return self._ratio(part, _flags(len(part), rows), np.ones(len(part)), of, name)

    def _wrong_of(self, part: Frame, rows: list[int], found: Weighed, mode: str) -> Estimate:
        """The weighted share of wrong answers among the requests with a mode."""
        bottom = _flags(len(part), rows)
        top: Floats = bottom * (1.0 - np.nan_to_num(part.label))
        return self._ratio(part, top, bottom.astype(float), found, f"wrong:{mode}")

    def _ratio(
        self, part: Frame, top: Flags | Floats, bottom: Floats, of: Weighed, name: str
    ) -> Estimate:
        use = part.drawn & part.judged
        n = int((bottom[use] > 0).sum())
        whole = round(of.requests)
        if n < self.minimum_n:
            return insufficient(name, level=self.level, n=n, frame=whole)
        made = ratio(
            top[use].astype(float),
            bottom[use],
            pi=part.answered[use],
            cluster=part.cluster[use],
            name=name,
            level=self.level,
            minimum_n=self.minimum_n,
        )
        return msgspec.structs.replace(made, N=whole)


def _flags(length: int, rows: Iterable[int]) -> Flags:
    flags: Flags = np.zeros(length, dtype=bool)
    flags[list(rows)] = True
    return flags


def _counted(found: Weighed, of: Weighed, level: float, name: str) -> Estimate:
    share, worth = found.share_of(of)
    low, high = wilson(share * worth, worth, level)
    return Estimate(
        name=f"rate:{name}",
        estimate=share,
        low=float(low),
        high=float(high),
        level=level,
        method=_COUNTED,
        n=of.traces,
        n_effective=worth,
        N=round(of.requests),
    )


def _trend(work: _Work, tally: ModeTally, level: float) -> Trend | None:
    """Later half of the time against the earlier; None where one half is empty.

    Newcombe's hybrid score interval for a difference of independent shares (Statistics in Medicine
    17, 1998, method 10).
    """
    if not (work.early.traces and work.late.traces):
        return None
    (p, n), (q, m) = tally.early.share_of(work.early), tally.late.share_of(work.late)
    (l1, h1), (l2, h2) = (
        (float(low), float(high))
        for low, high in (wilson(p * n, n, level), wilson(q * m, m, level))
    )
    change = q - p
    low = change - ((q - l2) ** 2 + (h1 - p) ** 2) ** 0.5
    high = change + ((h2 - q) ** 2 + (p - l1) ** 2) ** 0.5
    direction: Literal["rising", "falling", "steady"] = "steady"
    if low > 0:
        direction = "rising"
    elif high < 0:
        direction = "falling"
    return Trend(work.middle_ns, p, q, change, low, high, direction)
