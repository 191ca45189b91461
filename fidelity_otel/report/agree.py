"""Pairs of verdicts on the same trace, and the coefficients of their agreement."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from fidelity_otel.report.summary import Agreement

__all__ = ["CATEGORIES", "pair_statistics"]

CATEGORIES = ("right", "partly", "wrong")
LEAST = 3


def pair_statistics(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Agreement of pairs of verdicts beyond chance, whoever of the reviewers gave which.

    Args:
        pairs: (one person's verdict, the other's), one pair a trace, each one of `CATEGORIES`.

    Returns:
        Fleiss' κ and Gwet's AC1; None where they are not defined (all verdicts are the same) and
        for fewer than three pairs, which tell nothing.
    """
    same = sum(one == other for one, other in pairs)
    if len(pairs) < LEAST:
        return Agreement(len(pairs), same)
    from fidelity_otel.stats.agreement import fleiss_kappa, gwet_ac1

    codes = np.array([[CATEGORIES.index(v) for v in pair] for pair in pairs], dtype=np.intp)
    return Agreement(
        pairs=len(pairs),
        same=same,
        kappa=_known(fleiss_kappa(codes, len(CATEGORIES)).value),
        ac1=_known(gwet_ac1(codes, len(CATEGORIES)).value),
    )


def _known(value: float) -> float | None:
    return value if isfinite(value) else None
