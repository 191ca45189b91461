"""The estimate proper: reviewed rows and a counted frame in, value and variance out."""

from __future__ import annotations

from typing import NamedTuple

from fidelity_otel.stats.arrays import Floats, Ints
from fidelity_otel.stats.calibrate import cross_fitted
from fidelity_otel.stats.combine import Combined, combine, optimal_power
from fidelity_otel.stats.frame import Frame
from fidelity_otel.stats.moments import gather

__all__ = ["Fit", "Sample", "fitted"]

_CURVE_ROWS, _CURVE_EVENTS = 50, 10
"""Labels, and failures or successes, below which a curve is not tried."""

_CLEARLY, _NOTHING = 1.0 - 1e-9, 1e-15
"""Variances closer than this are the same: rounding must not choose between two estimates."""


class Sample(NamedTuple):
    """The reviewed rows: arrays of shape (n,). `bins` are their predictions' bins in the frame."""

    y: Floats
    pi: Floats
    cell: Ints
    bins: Ints


class Fit(NamedTuple):
    """An estimate, the residuals y − λ·m of its variance, and how predictions entered."""

    combined: Combined
    residual: Floats
    kind: str


def fitted(sample: Sample, frame: Frame) -> Fit:
    """The stratified mean, with predictions where the frame has them and they help.

    Two calibrations compete by residual variance: a straight line (λ alone), and a cross-fitted
    isotonic curve where there are labels enough for one.

    Args:
        sample: the reviewed rows.
        frame: counts of all rows.
    """
    cells = frame.size.size
    if frame.bins.size < 2:
        moments = gather(sample.y, sample.pi, sample.cell, cells)
        return Fit(combine(moments, frame.share), sample.y, "")
    found = [_predicted(sample, frame, frame.bins[sample.bins], frame.bins, "PPI++")]
    events = min(float(sample.y.sum()), float((1.0 - sample.y).sum()))
    if sample.y.size >= _CURVE_ROWS and events >= _CURVE_EVENTS and found[0].kind:
        curve = cross_fitted(sample.y, 1.0 / sample.pi, sample.bins, frame.bins, sample.cell)
        found.append(_predicted(sample, frame, curve.sample, curve.by_bin, "PPI++ (isotonic)"))
    line, *curves = found
    least = _CLEARLY * float(line.combined.variance) - _NOTHING
    return curves[0] if curves and float(curves[0].combined.variance) < least else line


def _predicted(sample: Sample, frame: Frame, m: Floats, by_bin: Floats, kind: str) -> Fit:
    moments = gather(sample.y, sample.pi, sample.cell, frame.size.size, m)
    power = optimal_power(moments, frame.share)
    combined = combine(moments, frame.share, frame.mean_of(by_bin), power)
    return Fit(combined, sample.y - float(power) * m, kind if float(power) != 0.0 else "")
