"""The report's numbers: one pass over the frame, everything as a `Summary`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from fidelity_otel.model import Estimate
from fidelity_otel.report.census import Census, CensusSource, read_census
from fidelity_otel.report.change import changes_of, checks_changed, outcomes_changed
from fidelity_otel.report.course import WINDOWS, course_of, edges_of, periods_of, window_start
from fidelity_otel.report.estimates import Estimates, Estimator
from fidelity_otel.report.evidence import (
    agreement_of,
    always_valid,
    coverage_of,
    outcome_lines,
    outcomes_wrong,
    reviewer_lines,
    without_reviewers_errors,
)
from fidelity_otel.report.frame import Codes, Flags, Floats, Frame
from fidelity_otel.report.lasting import age_lines
from fidelity_otel.report.modes import mode_lines
from fidelity_otel.report.pairs import candidates_of, pair_lines
from fidelity_otel.report.requests import Requests
from fidelity_otel.report.summary import (
    Activity,
    Benchmark,
    ChangeLine,
    Latency,
    ReleaseLine,
    Summary,
    Truth,
    WindowLine,
    WorkflowLine,
)
from fidelity_otel.report.words import sentence_of
from fidelity_otel.settings import TABLE

__all__ = ["ReportSettings", "ReportSource", "summary"]

OTHER = "other"
_QUANTILES = (0.5, 0.95, 0.99)

Durations = Mapping[str, tuple[Floats, Floats]]
"""Workflow → durations in seconds, and how many requests took each."""


class ReportSource(CensusSource, Protocol):
    """What a report needs of the store."""

    def shadow_marks(self) -> list[tuple[str, str, str]]:
        """(trace id, role, pair id) of every trace of a shadow pair."""
        ...

    def orphan_count(self) -> int:
        """How many outcomes have no trace yet."""
        ...

    def meta_get(self, name: str, default: str | None = None) -> str | None:
        """A named value of the store."""
        ...


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """The settings that a report reads."""

    level: float = 0.95
    minimum_n: int = 10
    benchmark: float | None = None
    objective: float | None = None
    outcomes: tuple[str, ...] = ()
    max_workflows: int = 50

    @classmethod
    def of(cls, settings: Mapping[str, Any] | None) -> ReportSettings:
        """From effective settings by dotted name; the table's defaults for what is absent."""
        known = dict(settings or {})
        table = {s.name: s.default for s in TABLE if s.name.startswith("report.")}
        values = {name: known.get(name, default) for name, default in table.items()}
        return cls(**{f: values[f"report.{f}"] for f in cls.__slots__})


def summary(
    store: ReportSource,
    *,
    now_ns: int,
    since_ns: int | None = None,
    settings: Mapping[str, Any] | ReportSettings | None = None,
    estimator: Estimator | None = None,
) -> Summary:
    """All numbers of the report over the traces that started at or after `since_ns`.

    Args:
        store: where the frame comes from.
        now_ns: the time of the report, nanoseconds since the epoch.
        since_ns: the first start time; all traces where None.
        settings: effective settings by dotted name (`report.…`).
        estimator: stands in for `stats.estimate.estimate`.
    """
    chosen = settings if isinstance(settings, ReportSettings) else ReportSettings.of(settings)
    marks = store.shadow_marks()
    census = read_census(store, since_ns, keep={trace for trace, _, _ in marks})
    judged = int(census.looked.judged.sum())
    periods = periods_of(census, judged, chosen.minimum_n, now_ns=now_ns)
    everything = census.frame(edges_of(now_ns, periods))
    durations = census.durations()
    frame = everything.take(~candidates_of(everything, marks))
    make = Estimates(chosen.level, chosen.minimum_n, estimator)
    wrong = outcomes_wrong(frame, chosen.outcomes)
    domains = _domains(frame, wrong, make, chosen.max_workflows)
    fidelity, silent = domains[0].fidelity, domains[0].silent_failure
    benchmark = _benchmark(store, chosen, fidelity)
    workflows = tuple(_workflow(each, durations) for each in domains[1:])
    coverage = coverage_of(frame)
    made = Summary(
        sentence="",
        generated_ns=now_ns,
        since_ns=since_ns,
        level=chosen.level,
        minimum_n=chosen.minimum_n,
        activity=_activity(frame, durations, census.first_ns, census.last_ns),
        fidelity=fidelity,
        silent_failure=silent,
        wrong_by_outcome=int((wrong & frame.drawn).sum()),
        silent_by_outcome=int((wrong & ~frame.loud & frame.drawn).sum()),
        troubled=frame.count(frame.troubled),
        troubled_recovered=frame.count(frame.recovered),
        worst_workflow=_worst(workflows),
        workflows=workflows,
        releases=_releases(frame, wrong, make, chosen.max_workflows),
        modes=mode_lines(frame, wrong, make, chosen.max_workflows, census.found()),
        outcomes=outcome_lines(frame, chosen.max_workflows),
        outcome_orphans=store.orphan_count(),
        reviews=coverage,
        agreement=agreement_of(frame),
        benchmark=benchmark,
        objective=chosen.objective,
        course=course_of(frame, wrong, make, periods),
        windows=_windows(domains, make, benchmark, now_ns=now_ns, since_ns=since_ns),
        changes=_changes(frame, census, domains, chosen, now_ns=now_ns),
        always=always_valid(frame, level=chosen.level, minimum_n=chosen.minimum_n),
        reviewers=reviewer_lines(frame),
        ages=age_lines(frame, level=chosen.level, minimum_n=chosen.minimum_n),
        pairs=pair_lines(everything, marks, level=chosen.level, minimum_n=chosen.minimum_n)[
            : chosen.max_workflows
        ],
        corrected=without_reviewers_errors(fidelity, frame),
        truth=_truth(store),
        warnings=_warnings(fidelity, silent),
        status=_status(frame.traces, coverage.judged, fidelity),
    )
    return msgspec.structs.replace(made, sentence=sentence_of(made))


def _activity(
    frame: Frame, durations: Durations, first_ns: int | None, last_ns: int | None
) -> Activity:
    return Activity(
        traces=frame.traces,
        reported_success=frame.count(frame.success),
        loud=frame.count(frame.loud),
        first_ns=first_ns,
        last_ns=last_ns,
        latency=_latency(frame, durations),
        requests=_requests(frame),
    )


def _requests(frame: Frame) -> Requests | UnsetType:
    """What the frame's traces stand for; unset where that is themselves."""
    if frame.requests == frame.traces:
        return UNSET
    flags = (frame.success, frame.loud, frame.troubled, frame.recovered)
    return Requests(frame.requests, *map(frame.requests_of, flags))


def _latency(frame: Frame, durations: Durations) -> Latency:
    """Quantiles of the rows' durations together with those that are counted per workflow."""
    timed = np.isfinite(frame.duration)
    known, units = frame.duration[timed], frame.units[timed]
    names = [frame.workflows[k] for k in np.unique(frame.workflow_code)]
    counted = [durations[name] for name in names if name in durations]
    if not counted and not len(known):
        return Latency()
    if not counted and (units == 1.0).all():
        p50, p95, p99 = (float(q) for q in np.quantile(known, _QUANTILES))
        return Latency(p50, p95, p99)
    seconds = np.concatenate([known, *(each for each, _ in counted)])
    many = np.concatenate([units, *(n for _, n in counted)])
    order = np.argsort(seconds)
    reached = np.cumsum(many[order])
    places = np.searchsorted(reached, np.array(_QUANTILES) * reached[-1])
    p50, p95, p99 = (float(seconds[order[k]]) for k in places)
    return Latency(p50, p95, p99)


def _groups(
    place: Codes, names: Sequence[str], units: Floats, most: int
) -> list[tuple[str, Flags]]:
    """(name, rows) of the names that occur, most frequent first; those beyond `most` as one."""
    counts = np.bincount(place, weights=units, minlength=len(names))
    found: list[int] = np.unique(place).tolist()
    order = sorted(found, key=lambda k: (-int(counts[k]), names[k]))
    kept, rest = (order, []) if len(order) <= most else (order[: most - 1], order[most - 1 :])
    groups = [(names[k], place == k) for k in kept]
    if rest:
        groups.append((OTHER, np.isin(place, rest)))
    return groups


class _Domain(NamedTuple):
    """A workflow's traces, or all of them where the name is None, and what they are found to be.

    `rows` (bool of the whole frame's length) says which they are, `frame` holds them.
    """

    name: str | None
    rows: Flags
    frame: Frame
    wrong: Flags
    fidelity: Estimate
    silent_failure: Estimate


def _domains(frame: Frame, wrong: Flags, make: Estimates, most: int) -> list[_Domain]:
    """All traces together, then each workflow's."""
    groups: list[tuple[str | None, Flags]] = [(None, np.ones(len(frame), dtype=bool))]
    groups += _groups(frame.workflow_code, frame.workflows, frame.units, most)
    made = []
    for name, rows in groups:
        part, known = frame.take(rows), wrong[rows]
        fidelity = make.fidelity(part, known)
        made.append(_Domain(name, rows, part, known, fidelity, make.silent_failure(part, known)))
    return made


def _workflow(domain: _Domain, durations: Durations) -> WorkflowLine:
    return WorkflowLine(
        workflow=domain.name or "",
        traces=domain.frame.traces,
        reported_success=domain.frame.count(domain.frame.success),
        latency=_latency(domain.frame, durations),
        fidelity=domain.fidelity,
        silent_failure=domain.silent_failure,
        requests=_requests(domain.frame),
    )


def _worst(workflows: tuple[WorkflowLine, ...]) -> str | None:
    known = [
        (w.fidelity.estimate, w.workflow) for w in workflows if w.fidelity.estimate is not None
    ]
    return min(known)[1] if len(known) > 1 else None


def _releases(frame: Frame, wrong: Flags, make: Estimates, most: int) -> tuple[ReleaseLine, ...]:
    lines = []
    for name, rows in _groups(frame.release_code, frame.releases, frame.units, most):
        part = frame.take(rows)
        fidelity = make.fidelity(part, wrong[rows])
        line = ReleaseLine(name, part.traces, int(part.start_ns.min()), fidelity)
        if part.requests != part.traces:
            line = msgspec.structs.replace(line, requests=part.requests)
        lines.append(line)
    lines.sort(key=lambda line: line.first_ns)
    return (*lines[:1], *(_compared(one, two) for one, two in pairwise(lines)))


def _compared(previous: ReleaseLine, line: ReleaseLine) -> ReleaseLine:
    from fidelity_otel.stats.difference import difference

    if not (previous.fidelity.sufficient and line.fidelity.sufficient):
        return line
    name = f"{line.release} − {previous.release}"
    return msgspec.structs.replace(
        line, difference=difference(line.fidelity, previous.fidelity, name=name)
    )


def _windows(
    domains: Sequence[_Domain],
    make: Estimates,
    benchmark: Benchmark | None,
    *,
    now_ns: int,
    since_ns: int | None,
) -> tuple[WindowLine, ...]:
    """The last days' estimates, for the metrics: of all workflows together, and of each."""
    lines: dict[str, list[WindowLine]] = {window: [] for window, _ in WINDOWS}
    for name, _, mine, known, *whole in domains:
        for window, days in WINDOWS:
            start = None if days is None else window_start(now_ns, days)
            if start is not None and since_ns is not None and start < since_ns:
                continue
            inside = mine.start_ns >= (start or 0)
            if inside.all():
                part = mine
                fidelity, silent = (msgspec.structs.replace(e, window=window) for e in whole)
            else:
                part = mine.take(inside)
                fidelity = make.fidelity(part, known[inside], window=window)
                silent = make.silent_failure(part, known[inside], window=window)
            gap = None
            if benchmark is not None and name is None:
                gap = _gap(benchmark.score, benchmark.cases, fidelity)
            lines[window].append(WindowLine(window, name, part.traces, fidelity, silent, gap))
    return tuple(line for each in lines.values() for line in each)


def _changes(
    frame: Frame,
    census: Census,
    domains: Sequence[_Domain],
    chosen: ReportSettings,
    *,
    now_ns: int,
) -> tuple[ChangeLine, ...]:
    groups = [(each.name, each.rows) for each in domains]
    known = {name for name, _ in groups}
    hours = [each for each in census.hourly() if each[0] in known]
    return (
        *changes_of(frame, chosen.objective, groups, minimum_n=chosen.minimum_n),
        *outcomes_changed(frame, groups, now_ns=now_ns),
        *checks_changed(hours, now_ns=now_ns),
    )


def _benchmark(store: ReportSource, chosen: ReportSettings, fidelity: Estimate) -> Benchmark | None:
    """The score from the settings, else from the store, where a benchmark run can leave it."""
    score, cases, source = chosen.benchmark, None, "settings"
    if score is None:
        stored = _json(store.meta_get("report.benchmark"))
        if isinstance(stored, int | float) and not isinstance(stored, bool):
            score, source = float(stored), ""
        elif isinstance(stored, Mapping):
            score, cases = stored.get("score"), stored.get("cases")
            source = str(stored.get("source", ""))
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        return None
    known = cases if isinstance(cases, int) and cases > 0 else None
    gap = _gap(float(score), known, fidelity)
    return Benchmark(float(score), gap, source, known)


def _gap(score: float, cases: int | None, fidelity: Estimate) -> Estimate:
    """Score − fidelity; n and N are those of production."""
    from fidelity_otel.stats.difference import benchmark_estimate, difference

    own = benchmark_estimate(score, cases, level=fidelity.level)
    gap = difference(own, fidelity, name="benchmark_gap")
    return msgspec.structs.replace(gap, n=fidelity.n, N=fidelity.N, window=fidelity.window)


def _truth(store: ReportSource) -> Truth | None:
    stored = _json(store.meta_get("report.truth"))
    if stored is None:
        return None
    try:
        return msgspec.convert(stored, Truth)
    except msgspec.ValidationError:
        return None


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _status(traces: int, judged: int, fidelity: Estimate) -> Any:
    if not traces:
        return "empty"
    if fidelity.sufficient:
        return "estimated"
    return "too_few" if judged else "no_reviews"


def _warnings(*made: Estimate) -> tuple[str, ...]:
    return tuple(dict.fromkeys(w for each in made for w in each.warnings))
