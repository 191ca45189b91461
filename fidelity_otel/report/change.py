"""Has fidelity sunk below its objective, and since when: evidence to be looked at every day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fidelity_otel.report.frame import Flags, Frame
from fidelity_otel.report.summary import ChangeLine

__all__ = ["RUN_LENGTH", "changes_of"]

MOST_EVIDENCE = 100.0
"""Beyond this, more evidence changes nobody's mind; it grows without end."""
RUN_LENGTH = 1000.0
"""Reviews between false alarms, on average at least, while the objective is met."""


def changes_of(
    frame: Frame,
    objective: float | None,
    groups: Sequence[tuple[str | None, Flags]],
    *,
    minimum_n: int,
) -> tuple[ChangeLine, ...]:
    """The e-Shiryaev-Roberts detector over the reviewed traces of each group, by time of request.

    Where it gave an alarm, the beginning is the most likely point of one change.

    Args:
        frame: the traces, length N.
        objective: the fidelity that is aimed at; without one nothing can be below it.
        groups: (name, bool of length N); None names all together.
        minimum_n: groups with fewer reviews are left out.
    """
    if objective is None or not 0 < objective < 1:
        return ()
    from fidelity_otel.stats.change import e_shiryaev_roberts, locate_change

    lines = []
    for name, rows in groups:
        part = frame.take(rows & frame.judged & frame.drawn)
        if len(part) < minimum_n:
            continue
        weight = 1.0 / part.answered
        alarm = e_shiryaev_roberts(
            part.label, objective, run_length=RUN_LENGTH, weight=weight / weight.mean()
        )
        since = None
        if alarm.first is not None:
            since = int(part.start_ns[locate_change(part.label).at])
        evidence = min(float(np.max(alarm.statistic[-minimum_n:])), MOST_EVIDENCE)
        lines.append(ChangeLine(name, evidence, since, len(part)))
    return tuple(lines)
