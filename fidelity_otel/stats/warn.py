"""What a reader must know before trusting an estimate, in sentences."""

from __future__ import annotations

import numpy as np

from fidelity_otel.stats.arrays import Floats, Ints
from fidelity_otel.stats.strata import Strata
from fidelity_otel.stats.weights import effective_size

__all__ = ["warnings_of"]

_ALARM_Z = 4.0
_WEIGHTS_TELL = 0.5


def warnings_of(
    y: Floats,
    pi: Floats,
    strata: Strata,
    chosen: Ints,
    prediction: Floats | None,
    *,
    units: Floats,
) -> list[str]:
    """Doubts about the design that the data itself shows.

    Args:
        y: labels of the reviewed rows, shape (n,).
        pi: their inclusion probabilities, shape (n,).
        strata: strata of the frame.
        chosen: indices of the reviewed rows in the frame.
        prediction: of every row of the frame, NaN where absent, or None.
        units: how many units each row of the frame stands for.
    """
    notes: list[str] = []
    if strata.unseen:
        some = ", ".join(repr(s) for s in strata.unseen[:3])
        more = f" and {len(strata.unseen) - 3} more" if len(strata.unseen) > 3 else ""
        notes.append(
            f"strata without reviews: {some}{more}, {strata.unseen_share:.1%} of the frame, "
            "are taken to be like others"
        )
    kish = effective_size(pi)
    if kish < _WEIGHTS_TELL * y.size:
        notes.append(f"weights vary too much: {y.size} reviews tell as much as {kish:.0f}")
    if not (y > 0.0).any():
        notes.append("no success seen: read the upper bound, not the estimate")
    elif not (y < 1.0).any():
        notes.append("no failure seen: read the lower bound, not the estimate")
    whole = float(strata.size.sum())
    spread = float(np.sqrt(((1.0 - pi) / pi**2).sum()))
    if abs(float((1.0 / pi).sum()) - whole) > _ALARM_Z * spread + 1e-6 * whole and pi.max() > 1e-6:
        notes.append(
            f"pi does not fit the frame: it implies {float((1.0 / pi).sum()):.0f} rows, "
            f"there are {whole:.0f}"
        )
    if prediction is not None and _unlike(prediction, pi, chosen, units):
        notes.append(
            "not representative: the reviewed rows' predictions differ from the frame's by more "
            "than chance; were they chosen at random?"
        )
    return notes


def _unlike(prediction: Floats, pi: Floats, chosen: Ints, units: Floats) -> bool:
    """Whether the weighted mean prediction of the reviewed rows is far from that of the frame."""
    known = ~np.isnan(prediction)
    mine = known[chosen]
    if mine.sum() < 10:
        return False
    f, w = prediction[chosen][mine], 1.0 / pi[mine]
    mean = float((w * f).sum() / w.sum())
    variance = float((w * w * (f - mean) ** 2).sum() / w.sum() ** 2)
    distance = abs(mean - float(np.average(prediction[known], weights=units[known])))
    return bool(distance > _ALARM_Z * np.sqrt(max(variance, 1e-18)))
