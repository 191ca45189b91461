"""Differences between two estimates: two releases, or production and a benchmark."""

from __future__ import annotations

from msgspec.structs import replace

from fidelity_otel.errors import DesignError
from fidelity_otel.model import Estimate
from fidelity_otel.stats.limits import limits_of_count

__all__ = ["benchmark_estimate", "difference"]


def difference(a: Estimate, b: Estimate, *, name: str = "difference") -> Estimate:
    """A − b for independent estimates, from their two intervals.

    MOVER ("square and add", Newcombe, Statistics in Medicine 17, 1998; Zou and Donner 2008):
    low = d − √((a − l_a)² + (u_b − b)²), high = d + √((u_a − a)² + (b − l_b)²). So the asymmetry of
    both intervals near 0 and 1 is kept. Not for estimates from the same reviews: see `paired`.

    Args:
        a: one estimate.
        b: the other, at the same level.
        name: of the result.

    Returns:
        Estimate in −1 to 1; None where either has none. n and N are sums, n_effective the smaller.

    Raises:
        DesignError: the levels differ.
    """
    if a.level != b.level:
        raise DesignError(f"levels differ: {a.level:g} and {b.level:g}")
    found = Estimate(
        name=name,
        estimate=None,
        low=None,
        high=None,
        level=a.level,
        method="MOVER",
        n=a.n + b.n,
        n_effective=min(a.n_effective, b.n_effective),
        N=a.N + b.N,
        window=a.window,
        warnings=tuple(f"{e.name}: {w}" for e in (a, b) for w in e.warnings),
    )
    bounds = (a.estimate, a.low, a.high, b.estimate, b.low, b.high)
    known = [v for v in bounds if v is not None]
    if len(known) < len(bounds):
        return found
    x, l_x, u_x, y, l_y, u_y = known
    d = x - y
    low = d - ((x - l_x) ** 2 + (u_y - y) ** 2) ** 0.5
    high = d + ((u_x - x) ** 2 + (y - l_y) ** 2) ** 0.5
    return replace(found, estimate=d, low=max(low, -1.0), high=min(high, 1.0))


def benchmark_estimate(
    score: float, cases: int | None = None, *, level: float = 0.95, name: str = "benchmark"
) -> Estimate:
    """A benchmark's score as an estimate, so that production can be set against it.

    Args:
        score: share of cases solved, 0–1.
        cases: number of cases; without it the score counts as exact, and a warning says so.
        level: confidence level.
        name: of the estimate.

    Raises:
        DesignError: the score is outside 0–1, or there are no cases.
    """
    if not 0.0 <= score <= 1.0:
        raise DesignError(f"benchmark score = {score:g} is outside 0 to 1")
    if cases is not None and cases < 1:
        raise DesignError(f"benchmark of {cases} cases: at least one is wanted")
    low, high = score, score
    if cases is not None:
        low, high = limits_of_count(score * cases, cases, level)
    return Estimate(
        name=name,
        estimate=score,
        low=low,
        high=high,
        level=level,
        method="exact" if cases is None else "count",
        n=cases or 0,
        n_effective=float(cases or 0),
        N=cases or 0,
        warnings=("number of cases unknown: taken as exact",) if cases is None else (),
    )
