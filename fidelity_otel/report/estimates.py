"""From a frame to estimates: who answered, what is known without asking, and what is inferred.

The inference itself is `stats`; what is here turns the frame's columns into its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from fidelity_otel.model import Estimate
from fidelity_otel.report.frame import Flags, Frame
from fidelity_otel.report.thinned import widened

__all__ = [
    "CERTAIN",
    "Estimates",
    "Estimator",
    "insufficient",
    "shifted",
]

CERTAIN = "census"
"""Method of a number that needs no inference: every trace is known."""

_UNSEEN = "strata without reviews:"

Estimator = Callable[..., Estimate]
"""`stats.estimate.estimate`, or a stand-in in tests."""


def _stats_estimator() -> Estimator:
    from fidelity_otel.stats.estimate import estimate

    return estimate


@dataclass(frozen=True, slots=True)
class Estimates:
    """Makes a report's estimates, all with one level and one minimum.

    All are of requests: a trace that a head sampler had kept with probability u counts as 1/u, and
    a reviewed one was drawn of all requests with probability u·π.

    `estimator` is called with the labels (NaN = not judged) of all traces of a domain, as
    `estimator(label, prediction=, pi=, stratum=, cluster=, units=, level=, minimum_n=, name=,
    window=)`.
    """

    level: float
    minimum_n: int
    estimator: Estimator | None = None

    def fidelity(
        self, frame: Frame, wrong: Flags, *, name: str = "outcome_fidelity", window: str = ""
    ) -> Estimate:
        """The share of a frame's requests whose answer did what the user needed.

        An answer is wrong where a reviewer or a late outcome says so. Those that an outcome calls
        wrong are all known; reviews are needed for the rest: N_rest · right share of the rest / N.

        Args:
            frame: the traces, length N; those without a draw are left out.
            wrong: bool of length N, traces that an outcome calls wrong.
            name: of the estimate.
            window: put into the estimate.
        """
        drawn, known = frame.take(frame.drawn), wrong[frame.drawn]
        rest = drawn.take(~known)
        made = self._part(rest, drawn.requests, scale=1.0, offset=0.0, name=name, window=window)
        return widened(made, drawn, ~known, np.zeros(len(drawn), dtype=bool))

    def silent_failure(self, frame: Frame, wrong: Flags, *, window: str = "") -> Estimate:
        """The share that reported success, has no open finding, and was wrong nevertheless.

        Only quiet traces can fail silently, and which those are is known for all of them; so are
        those that a late outcome calls wrong. Reviews are needed for the rest alone: the estimate
        is (known + N_rest · wrong share of the rest) / N.

        Args:
            frame: the traces, length N; those without a draw are left out.
            wrong: bool of length N, traces that an outcome calls wrong.
            window: put into the estimate.
        """
        drawn, told = frame.take(frame.drawn), wrong[frame.drawn]
        whole = max(drawn.requests, 1.0)
        sure, quiet = told & ~drawn.loud, ~drawn.loud & ~told
        known = drawn.requests_of(sure) / whole
        rest = drawn.take(quiet)
        share = rest.requests / whole
        made = self._part(
            rest,
            drawn.requests,
            scale=-1.0,
            offset=share + known,
            name="silent_failure",
            window=window,
        )
        return widened(made, drawn, quiet, sure)

    def _part(
        self, rest: Frame, whole: float, *, scale: float, offset: float, name: str, window: str
    ) -> Estimate:
        """Offset + scale · (N_rest / N) · right share of the rest."""
        if whole == 0:
            return insufficient(name, level=self.level, window=window)
        if len(rest) == 0:
            value = min(max(offset, 0.0), 1.0)
            return Estimate(
                name, value, value, value, self.level, CERTAIN, 0, 0.0, round(whole), window
            )  # fmt: skip
        right = self._mean(rest, name, window)
        share = rest.requests / whole
        return shifted(right, scale=scale * share, offset=offset, frame=round(whole))

    def among_wrong(
        self, frame: Frame, wrong: Flags, having: Mapping[str, Sequence[int]]
    ) -> dict[str, Estimate]:
        """The weighted share of wrong answers that have something, for each of some things.

        Args:
            frame: the traces, length N.
            wrong: bool of length N, traces that an outcome calls wrong: each counts once.
            having: thing (a failure mode) → the places of the traces that have it.
        """
        from fidelity_otel.stats.ratio import ratio

        clustered = _clustered(frame.take(frame.drawn & (frame.judged | wrong)))
        weight = np.where(wrong, 1.0, 1.0 - np.where(frame.judged, frame.label, 1.0))
        rows = np.flatnonzero(frame.drawn & (weight > 0.0))
        weight, pi = weight[rows], np.where(wrong, 1.0 / frame.units, frame.answered)[rows]
        cluster = frame.cluster[rows] if clustered else None
        made = {}
        for thing, places in having.items():
            has = np.zeros(len(frame), dtype=bool)
            has[places] = True
            made[thing] = ratio(
                has[rows] * weight,
                weight,
                pi=pi,
                cluster=cluster,
                name=f"among_wrong:{thing}",
                level=self.level,
                minimum_n=self.minimum_n,
            )
        return made

    def _mean(self, frame: Frame, name: str, window: str) -> Estimate:
        label = np.where(frame.judged, frame.label, np.nan)
        n = int(np.isfinite(label).sum())
        if n < self.minimum_n:
            whole = round(frame.requests)
            return insufficient(name, level=self.level, n=n, frame=whole, window=window)
        made = (self.estimator or _stats_estimator())(
            label,
            prediction=frame.prediction,
            pi=frame.answered,
            stratum=frame.stratum,
            cluster=frame.cluster if _clustered(frame) else None,
            units=frame.units,
            level=self.level,
            minimum_n=self.minimum_n,
            name=name,
            window=window,
        )
        return msgspec.structs.replace(made, warnings=_named(made.warnings, frame))


def _named(warnings: tuple[str, ...], frame: Frame) -> tuple[str, ...]:
    """The warnings, with strata by name: the estimator was given numbers."""
    if not any(w.startswith(_UNSEEN) for w in warnings):
        return warnings
    unseen = np.setdiff1d(frame.stratum, frame.stratum[frame.judged])
    share = frame.requests_of(np.isin(frame.stratum, unseen)) / frame.requests
    shown = ", ".join(frame.strata[k] or "(unnamed)" for k in unseen[:3])
    more = f" and {len(unseen) - 3} more" if len(unseen) > 3 else ""  # noqa: PLR2004
    said = f"{_UNSEEN} {shown}{more}, {share:.1%} of the frame, are taken to be like others"
    return tuple(said if w.startswith(_UNSEEN) else w for w in warnings)


def _clustered(frame: Frame) -> bool:
    """Whether two reviewed traces are of one conversation or user."""
    reviewed = np.sort(frame.cluster[frame.judged])
    return bool((reviewed[1:] == reviewed[:-1]).any())


def insufficient(
    name: str, *, level: float, n: int = 0, frame: int = 0, window: str = "", why: str = ""
) -> Estimate:
    """An estimate that says only how much data there is."""
    warnings = (why,) if why else ()
    return Estimate(
        name, None, None, None, level, "none", n, float(n), frame, window, None, warnings
    )  # fmt: skip


def shifted(
    made: Estimate,
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    name: str = "",
    frame: int | None = None,
) -> Estimate:
    """`offset + scale · estimate`, its bounds with it (and changed over where scale < 0)."""
    changes: dict[str, Any] = {"name": name or made.name, "N": made.N if frame is None else frame}
    if made.estimate is not None and made.low is not None and made.high is not None:
        ends = sorted((offset + scale * made.low, offset + scale * made.high))
        middle = offset + scale * made.estimate
        changes |= {"estimate": round(middle, 12), "low": round(ends[0], 12)}
        changes["high"] = round(ends[1], 12)
    return msgspec.structs.replace(made, **changes)
