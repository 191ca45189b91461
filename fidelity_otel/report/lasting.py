"""Right today, wrong in six weeks? What second looks say about answers that were right at first."""

from __future__ import annotations

import numpy as np

from fidelity_otel.report.estimates import insufficient
from fidelity_otel.report.frame import Frame
from fidelity_otel.report.summary import AgeLine

__all__ = ["age_lines"]

_RECHECK = "recheck-"


def age_lines(frame: Frame, *, level: float, minimum_n: int) -> tuple[AgeLine, ...]:
    """For each age at which answers are looked at again: the share of right ones still right.

    Kaplan–Meier over answers that were right at first and drawn for second looks; an answer without
    its next look yet is censored. Every first look counts 1/π; the chance of second looks is
    the same for all (`review.recheck_share`) and so cancels.

    Args:
        frame: the traces, with all their reviews.
        level: confidence level.
        minimum_n: ages with fewer looks give no estimate.
    """
    rows = np.flatnonzero(frame.judged & (frame.label == 1.0))
    time: list[float] = []
    failed: list[bool] = []
    weight: list[float] = []
    for row in rows:
        looks = sorted(
            (int(r.phase.removeprefix(_RECHECK)), r.verdict)
            for r in frame.reviews[row]
            if r.phase.startswith(_RECHECK) and r.verdict != "cannot_tell"
        )
        if not looks:
            continue
        wrong = [days for days, verdict in looks if verdict != "right"]
        time.append(float(wrong[0] if wrong else looks[-1][0]))
        failed.append(bool(wrong))
        weight.append(1.0 / float(frame.answered[row]))
    if not time:
        return ()
    return _lines(np.array(time), np.array(failed), np.array(weight), level, minimum_n)


def _lines(
    time: np.ndarray, failed: np.ndarray, weight: np.ndarray, level: float, minimum_n: int
) -> tuple[AgeLine, ...]:
    from fidelity_otel.stats.survival import still_right

    made = []
    for age in np.unique(time):
        seen = int(((time >= age) | failed).sum())
        name = f"still right after {age:g} days"
        estimate = insufficient(name, level=level, n=seen, frame=time.size)
        if seen >= max(minimum_n, 1):
            estimate = still_right(float(age), time, failed, weight, level=level, name=name)
        made.append(AgeLine(int(age), estimate))
    return tuple(made)
