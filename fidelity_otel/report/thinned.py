"""What it costs an estimate that a head sampler left the sizes of its parts to chance."""

from __future__ import annotations

import msgspec
import numpy as np

from fidelity_otel.model import Estimate
from fidelity_otel.report.frame import Flags, Floats, Frame

__all__ = ["widened"]

_PARTS = 3


def widened(made: Estimate, frame: Frame, inferred: Flags, sure: Flags) -> Estimate:
    """An estimate whose range allows for how many requests of each part were kept.

    Reviews tell the share of the `inferred` requests; how many those are among all is known exactly
    where all were kept, and is an estimate itself where a head sampler kept some: of variance
    Σ c·(c − 1)·(value − mean)²/N², each trace standing for c (Särndal, Swensson and Wretman, 1992,
    §9.3). Traces of a stratum and part are taken to have been kept alike.

    Args:
        made: of the share of requests that are `sure`, or `inferred` and found so.
        frame: the traces, length N.
        inferred: those whose share was inferred, bool of length N.
        sure: those that are so in any case, bool of length N; of all others none is.
    """
    whole = frame.requests
    if made.estimate is None or made.low is None or made.high is None or whole == frame.traces:
        return made
    share = frame.requests_of(inferred)
    found = made.estimate * whole - frame.requests_of(sure)
    values = np.array([0.0, found / share if share else 0.0, 1.0])
    part = np.where(sure, 2, np.where(inferred, 1, 0))
    place = frame.stratum * _PARTS + part
    requests: Floats = np.bincount(place, frame.units).astype(np.float64)
    traces: Floats = np.bincount(place, frame.seen).astype(np.float64)
    many = requests / np.maximum(traces, 1.0) - 1.0
    away = values[np.arange(requests.size) % _PARTS] - made.estimate
    variance = float((requests * many * away**2).sum()) / whole**2
    return _wider(made, max(variance, 0.0) ** 0.5)


def _wider(made: Estimate, error: float) -> Estimate:
    """With an independent standard error more, and effective n less by as much."""
    from fidelity_otel.stats.intervals import normal_quantile

    assert made.estimate is not None
    assert made.low is not None
    assert made.high is not None
    if error == 0.0:
        return made
    more = normal_quantile(made.level) * error
    low = made.estimate - float(np.hypot(made.estimate - made.low, more))
    high = made.estimate + float(np.hypot(made.high - made.estimate, more))
    kept = (made.high - made.low) / (high - low)
    return msgspec.structs.replace(
        made,
        low=max(low, 0.0),
        high=min(high, 1.0),
        n_effective=made.n_effective * kept**2,
    )
