"""Right today, wrong in six weeks? What second looks say about answers that were right at first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fidelity_otel.report.estimates import insufficient
from fidelity_otel.report.frame import Flags, Floats, Frame
from fidelity_otel.report.summary import AgeLine

__all__ = ["age_lines"]

_RECHECK = "recheck-"
_NOTICED = 0.005


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
    last_right: list[float] = []
    ages: set[int] = set()
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
        ages.update(days for days, _ in looks)
        before = [days for days, verdict in looks if verdict == "right" and days < time[-1]]
        last_right.append(float(before[-1]) if before and wrong else 0.0 if wrong else time[-1])
        weight.append(1.0 / float(frame.answered[row]))
    if not time:
        return ()
    seen = Seen(np.array(time), np.array(failed), np.array(weight), np.array(last_right))
    return _lines(seen, sorted(ages), level, minimum_n)


class Seen(NamedTuple):
    """Answers that were looked at again; arrays of shape (n,), ages in days.

    `time` is the age at the look that found it wrong, else at the last one; `failed` says whether
    one did; `last_right` is the age at the last look that found it right.
    """

    time: Floats
    failed: Flags
    weight: Floats
    last_right: Floats


def _lines(answers: Seen, ages: Sequence[int], level: float, minimum_n: int) -> tuple[AgeLine, ...]:
    from fidelity_otel.stats.survival import still_right, turnbull

    time, failed, weight, last_right = answers
    spans = turnbull(last_right, np.where(failed, time, np.inf), weight)
    made = []
    for age in ages:
        seen = int(((time >= age) | failed).sum())
        name = f"still right after {age} days"
        estimate = insufficient(name, level=level, n=seen, frame=time.size)
        if seen >= max(minimum_n, 1):
            estimate = still_right(float(age), time, failed, weight, level=level, name=name)
        spread = sum(spans.survival_at(float(age))) / 2
        value = estimate.estimate
        missed = value is not None and abs(spread - value) > _NOTICED
        made.append(AgeLine(age, estimate, spread if missed else None))
    return tuple(made)
