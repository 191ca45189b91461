"""The risk model of an installation: fitted on its own reviews, kept in its store, watched."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from fidelity_otel.model import Review
from fidelity_otel.processor.detect.features import features
from fidelity_otel.processor.detect.risk import PRIOR, RiskModel
from fidelity_otel.processor.read import read_otlp

if TYPE_CHECKING:
    from fidelity_otel.processor.detect.fit import Drift, Reviewed
    from fidelity_otel.store import Store

__all__ = ["Fitted", "fit_from_reviews", "keep_model", "kept_model", "reviewed_rows"]

_log = logging.getLogger(__name__)
_NAME: Final = "risk.model"
_DRIFTED: Final = 3.0
_FEWEST: Final = 20


class Fitted(msgspec.Struct, frozen=True):
    """A fit, beside how the model before did on the reviews made since.

    `drift` is None where there are fewer than 20 of those; `drifted` where |z| is above 3.
    """

    model: RiskModel
    reviews: int
    pruned: int
    drift: Drift | None
    drifted: bool


def kept_model(store: Store) -> RiskModel:
    """The model that the store keeps; the prior where there is none, or none that can be read."""
    text = store.meta_get(_NAME)
    if not text:
        return PRIOR
    try:
        return msgspec.json.decode(text, type=RiskModel)
    except msgspec.DecodeError as error:
        _log.warning("the stored risk model cannot be read, the prior is used: %s", error)
        return PRIOR


def keep_model(store: Store, model: RiskModel) -> None:
    """Put a model into the store; a service takes it when it starts, and fits anew each day."""
    store.meta_set(_NAME, msgspec.json.encode(model).decode())


def reviewed_rows(store: Store, since_ns: int = 0) -> tuple[list[Reviewed], int]:
    """The reviewed traces of the sample as rows to fit on, weighted by 1/π.

    π is that of being drawn, times that of being kept at all (`Decision.upstream`).

    Hand-picked traces and rechecks give no row: the first were not chosen by chance, the second
    answer another question.

    Args:
        store: traces and reviews.
        since_ns: only reviews finished at or after.

    Returns:
        The rows, and how many reviewed traces have no body left.
    """
    from fidelity_otel.processor.detect.fit import Reviewed
    from fidelity_otel.report.frame import LEAST_KEPT, label_of

    reviews: dict[str, list[Review]] = {}
    for review in store.reviews(since_ns):
        reviews.setdefault(review.trace_id, []).append(review)
    rows: list[Reviewed] = []
    pruned = 0
    for trace_id, given in reviews.items():
        label = label_of(given)
        if label != label:  # noqa: PLR0124 - NaN: nobody of the sample could tell
            continue
        stored = store.trace(trace_id)
        if stored is None or not stored.record.otlp:
            pruned += 1
            continue
        arms, kept = stored.record.decision.arms, stored.record.decision.upstream
        missed = 1.0
        for arm in arms:
            missed *= 1.0 - arm.probability
        if not arms or missed >= 1.0:
            continue
        trace = read_otlp(stored.record.otlp)
        rows.append(
            Reviewed(
                features(trace, stored.record.findings),
                1.0 - label,
                1.0 / (1.0 - missed) / (max(kept, LEAST_KEPT) if 0.0 < kept <= 1.0 else 1.0),
                stored.record.conversation_id or stored.record.user_id or trace_id,
            )
        )
    return rows, pruned


def fit_from_reviews(store: Store, *, now_ns: int) -> Fitted:
    """Fit the risk to all reviews of the store, and say how the kept model did on the new ones.

    Args:
        store: traces and reviews.
        now_ns: the time to note on the model.
    """
    from fidelity_otel.processor.detect.fit import drift, fit_risk

    before = kept_model(store)
    rows, pruned = reviewed_rows(store)
    fresh = reviewed_rows(store, before.fitted_ns + 1)[0] if before.fitted_ns else rows
    moved = drift(before, fresh) if len(fresh) >= _FEWEST else None
    return Fitted(
        model=fit_risk(rows, fitted_ns=now_ns),
        reviews=len(rows),
        pruned=pruned,
        drift=moved,
        drifted=moved is not None and abs(moved.z) > _DRIFTED,
    )
