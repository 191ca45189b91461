"""From reviewed rows to one `Estimate`: the method follows from the design, and is named."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike

from fidelity_otel.errors import DesignError
from fidelity_otel.model import Estimate
from fidelity_otel.stats.arrays import Bools, Floats, Ints, check_level, codes, floats, shares
from fidelity_otel.stats.cluster import clustered, linear_scores
from fidelity_otel.stats.combine import interval_of
from fidelity_otel.stats.fit import Fit, Sample, fitted
from fidelity_otel.stats.frame import frame_of
from fidelity_otel.stats.head import head_variance
from fidelity_otel.stats.strata import Strata, collapse, filled_by_stratum
from fidelity_otel.stats.warn import warnings_of
from fidelity_otel.stats.weights import effective_size

__all__ = ["estimate"]

_ROUNDED = 1.0 + 1e-9
_UNKNOWN_FRAME_PI = 1e-9
"""π of reviewed rows where no frame is known: no finite-population correction acts."""


class Rows(NamedTuple):
    """The frame's rows, checked. `reviewed` marks the labelled ones; arrays have shape (rows,)."""

    label: Floats
    reviewed: Bools
    prediction: Floats | None
    pi: Floats
    given_pi: bool
    whole_frame: bool
    units: Floats


def estimate(
    label: ArrayLike,
    *,
    prediction: ArrayLike | None = None,
    pi: ArrayLike | None = None,
    stratum: Any = None,
    cluster: Any = None,
    hand_picked: ArrayLike | None = None,
    units: ArrayLike | None = None,
    name: str = "outcome",
    level: float = 0.95,
    minimum_n: int = 10,
    window: str = "",
    maturity: float | None = None,
) -> Estimate:
    """The mean label of a frame of which some rows were reviewed, with an interval.

    One entry a row of the frame. Where no row is unreviewed, the frame is taken to be larger than
    the file: its size is Σ1/π, or unknown without `pi`.

    Without `pi`, the reviewed rows of each stratum are taken as a simple random sample of it. With
    `prediction`, the mean is PPI++ (a stratified difference estimator with tuned weight λ). With
    `cluster`, the variance is that between clusters, for statements about future traffic.

    Args:
        label: 0–1, NaN or None where not reviewed, shape (N,).
        prediction: predicted label on any scale, shape (N,); NaN counts as the stratum's mean.
        pi: inclusion probability in (0, 1], shape (N,); needed where `label` is given.
        stratum: group of each row that the design knew, shape (N,).
        cluster: conversation or user of each row, shape (N,).
        hand_picked: true where a person chose the row for review: such labels are left out.
        units: how many units of the frame each row stands for, shape (N,); ones by default. Rows
            without review that are alike can be one row, so that a frame of millions is small. A
            reviewed row stands for several only where somebody before dropped the others: it was
            kept with probability u, its units are 1/u, and its `pi` is u·π.
        name: carried into the estimate.
        level: confidence level of the interval.
        minimum_n: below so many reviews there is no estimate.
        window: carried into the estimate.
        maturity: share of the frame old enough for its label, carried into the estimate.

    Raises:
        DesignError: labels outside 0–1, π outside (0, 1] or missing, lengths that differ, a
            reviewed row that stands for more units than its π allows.
    """
    check_level(level)
    rows, notes = _rows(label, prediction, pi, hand_picked, units)
    length = rows.label.shape[0]
    total = round(float(rows.units.sum()))
    stratum_of, names = codes(stratum, length, "stratum")
    chosen = np.flatnonzero(rows.reviewed)
    n = chosen.size
    empty = Estimate(
        name=name,
        estimate=None,
        low=None,
        high=None,
        level=level,
        method="none",
        n=n,
        n_effective=float(n),
        N=total,
        window=window,
        maturity=maturity,
    )
    if n < max(1, minimum_n):
        notes.insert(0, f"insufficient data: {n} reviewed, at least {max(1, minimum_n)} wanted")
        kish = effective_size(rows.pi[chosen]) if rows.given_pi else float(n)
        return replace(empty, n_effective=kish, warnings=tuple(notes))
    strata = collapse(
        stratum_of, chosen, names, rows.pi, units=rows.units, whole_frame=rows.whole_frame
    )
    prediction = rows.prediction
    if prediction is not None:
        prediction = filled_by_stratum(prediction, strata, rows.units)
    frame, bins = frame_of(strata.code, strata.size, prediction, rows.units)
    sample = _sample(rows, strata, chosen, bins[chosen])
    fit = fitted(sample, frame)
    combined = fit.combined
    method = _method(fit, strata, given_pi=rows.given_pi)
    kept = rows.units[chosen]
    thinned = bool((kept > 1.0).any())
    scores = (fit.residual, sample.pi, sample.cell, strata.share)
    if cluster is not None:
        cluster_of, _ = codes(cluster, length, "cluster")
        z, u = linear_scores(*scores)
        combined = clustered(combined, z, u, cluster_of[chosen])
        method += ", clustered"
    if thinned:
        more = head_variance(sample.y, *linear_scores(*scores), units=kept, size=rows.units.sum())
        combined = combined._replace(variance=combined.variance + more)
    interval, effective = interval_of(combined, level)
    value = float(np.clip(combined.value, 0.0, 1.0))
    low, high = float(interval.low), float(interval.high)
    if cluster is None and rows.whole_frame:
        low, value, high = np.clip((low, value, high), *_possible(sample.y, total)).tolist()
    if cluster is None and not strata.unseen and bool((sample.pi >= 1.0).all()):
        low, high, effective, method = value, value, np.asarray(np.inf), "census"
        notes.append("every row was reviewed: exact for these rows, silent about others")
    N = total if rows.whole_frame else round(float(strata.size.sum())) if rows.given_pi else n
    if cluster is None and (rows.whole_frame or rows.given_pi):
        effective = 1.0 / (1.0 / effective + 1.0 / N)  # simple random reviews of the same frame
    notes += warnings_of(sample.y, sample.pi, strata, chosen, rows.prediction, units=rows.units)
    return replace(
        empty,
        estimate=value,
        low=low,
        high=high,
        method=method,
        n_effective=min(float(effective), float(max(N, n))),
        N=max(N, n),
        warnings=tuple(notes),
    )


def _rows(
    label: ArrayLike,
    prediction: ArrayLike | None,
    pi: ArrayLike | None,
    hand_picked: ArrayLike | None,
    units: ArrayLike | None,
) -> tuple[Rows, list[str]]:
    notes: list[str] = []
    y = shares(floats(label, "label"), "label")
    total = y.shape[0]
    size = np.ones(total) if units is None else floats(units, "units", length=total)
    if hand_picked is not None:
        by_hand = np.asarray(hand_picked, dtype=np.bool_)
        if by_hand.shape != (total,):
            raise DesignError(f"hand_picked: {by_hand.shape} values for {total} rows")
        left_out = int((by_hand & ~np.isnan(y)).sum())
        if left_out:
            notes.append(f"not representative: {left_out} reviews chosen by hand are left out")
            y = np.where(by_hand, np.nan, y)
    reviewed = ~np.isnan(y)
    whole = bool((~reviewed).any() or (size > 1.0).any())
    if pi is None:
        p = np.full(total, np.nan)
    else:
        p = shares(floats(pi, "pi", length=total), "pi", open_at_zero=True)
        missing = reviewed & np.isnan(p)
        if missing.any():
            raise DesignError(f"row {int(np.argmax(missing))}: label without pi")
    _check_units(size, p, np.flatnonzero(reviewed))
    if not whole and pi is None:
        notes.append("no unreviewed rows and no pi: taken as a random sample of a large frame")
    f = None
    if prediction is not None:
        f = floats(prediction, "prediction", length=total)
        if np.isinf(f).any():
            raise DesignError(f"row {int(np.argmax(np.isinf(f)))}: prediction is infinite")
        if not whole:
            notes.append("predictions unused: they help only where unreviewed rows have them too")
            f = None
        elif np.isnan(f).all():
            f = None
    return Rows(y, reviewed, f, p, pi is not None, whole, size), notes


def _check_units(units: Floats, pi: Floats, reviewed: Ints) -> None:
    some = units > 0.0
    if not some.all():
        row = int(np.argmin(some))
        raise DesignError(f"row {row}: units = {units[row]:g}; more than 0 is wanted")
    mine, chance = units[reviewed], pi[reviewed]
    most = np.where(np.isnan(chance), 1.0, 1.0 / chance) * _ROUNDED
    unfit = (mine < 1.0) | (mine > most)
    if unfit.any():
        row = int(reviewed[np.argmax(unfit)])
        raise DesignError(
            f"row {row}: units = {units[row]:g}; 1 is wanted of a reviewed row, or up to 1/pi "
            "where others were dropped before"
        )


def _sample(rows: Rows, strata: Strata, chosen: Ints, bins: Ints) -> Sample:
    """The reviewed rows, with π as given, else n_h/N_h, else vanishing."""
    cell = strata.code[chosen]
    if rows.given_pi:
        pi = rows.pi[chosen]
    elif not rows.whole_frame:
        pi = np.full(chosen.size, _UNKNOWN_FRAME_PI)
    else:
        n_h = np.bincount(cell, minlength=strata.size.size)
        pi = np.asarray(n_h[cell] / strata.size[cell])
    return Sample(rows.label[chosen], pi, cell, bins)


def _method(fit: Fit, strata: Strata, *, given_pi: bool) -> str:
    base = "stratified Hájek" if strata.size.size > 1 else "Hájek" if given_pi else "mean"
    return f"{fit.kind} on {base}" if fit.kind else base


def _possible(y: Floats, total: int) -> tuple[float, float]:
    """Between what the frame's mean must lie given the reviewed labels, whatever the others are."""
    return float(y.sum()) / total, 1.0 - float((1.0 - y).sum()) / total
