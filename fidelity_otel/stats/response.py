"""Reviews that were asked for and never came; and reviews of reviews: both change π."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fidelity_otel.errors import DesignError
from fidelity_otel.stats.arrays import Bools, Floats, codes

__all__ = ["Response", "respond", "second_phase"]


class Response(NamedTuple):
    """`pi` after response, shape (n,), NaN where no verdict came, and each class's rate."""

    pi: Floats
    rate: dict[str, float]


def respond(pi: Floats, answered: Bools, group: Any = None, *, least: int = 5) -> Response:
    """π times the weighted response rate of its class: skips and time-outs as a second choice.

    Weighting-class adjustment (Oh and Scheuren 1983; Särndal, Swensson and Wretman, 1992, §15.6):
    right where skipping depends on the class (stratum) and not on the verdict within it. Classes
    with fewer than `least` verdicts are joined, so that no weight explodes.

    Args:
        pi: inclusion probabilities of the rows sent to review, shape (n,).
        answered: whether a verdict came, shape (n,).
        group: class of each row, usually its stratum, shape (n,); one class by default.
        least: verdicts a class must have to stand alone.

    Raises:
        DesignError: no verdict at all, or lengths that differ.
    """
    if pi.shape != answered.shape:
        raise DesignError(f"answered: {answered.shape} values for {pi.shape[0]} rows")
    if not answered.any():
        raise DesignError("no verdict came: there is no response rate")
    code, names = codes(group, pi.size, "group")
    got = np.bincount(code[answered], minlength=len(names))
    thin = got < least
    labels = [str(name) for name in names]
    if thin.any() and len(names) > 1:
        joined = np.where(thin)[0]
        if got[joined].sum() < least and joined.size < len(names):
            rest = np.flatnonzero(~thin)
            joined = np.append(joined, rest[np.argmin(got[rest])])
        target = np.arange(len(names))
        target[joined] = joined[0]
        labels[joined[0]] = " + ".join(labels[i] for i in joined)
        code = target[code]
    w = 1.0 / pi
    asked_w = np.bincount(code, weights=w, minlength=len(names))
    came_w = np.bincount(code[answered], weights=w[answered], minlength=len(names))
    rate = np.where(asked_w > 0.0, came_w / np.where(asked_w > 0.0, asked_w, 1.0), np.nan)
    rates = {labels[h]: float(rate[h]) for h in np.unique(code)}
    return Response(np.where(answered, pi * rate[code], np.nan), rates)


def second_phase(pi: Floats, again: Floats) -> Floats:
    """π₁·π₂ of rows chosen again from the reviewed ones (re-review at 1, 7 and 42 days).

    Two-phase sampling: Särndal, Swensson and Wretman (1992), ch. 9, with π₂ given phase one.

    Args:
        pi: probability of the first review, shape (n,).
        again: probability to be reviewed again, given that it was, shape (n,).
    """
    return np.asarray(pi * again)
