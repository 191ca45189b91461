"""Fitting the risk: it learns, shrinks, cross-fits, keeps the prior where that is better."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from fidelity_otel.processor.detect.features import features
from fidelity_otel.processor.detect.fit import Reviewed, auc, cross_fit, drift, fit_risk
from fidelity_otel.processor.detect.risk import PRIOR, RiskModel, risk
from fidelity_otel.processor.read import read_trace


def sample(n: int, *, seed: int, effect: float = 2.5) -> list[Reviewed]:
    """Reviews in which empty retrievals matter, recovered time-outs do not, length a little."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        given: dict[str, float] = {"log_answer": float(rng.normal(5, 1))}
        if rng.random() < 0.3:
            given["retrieval_empty:unrecovered"] = 1.0
        if rng.random() < 0.3:
            given["timeout:recovered"] = 1.0
        eta = -1.5 + effect * ("retrieval_empty:unrecovered" in given)
        eta += 0.5 * (given["log_answer"] - 5)
        wrong = float(rng.random() < 1 / (1 + np.exp(-eta)))
        rows.append(Reviewed(given, wrong, float(rng.choice([1.0, 4.0])), f"c{i // 2}"))
    return rows


def test_it_learns_what_matters() -> None:
    rows = sample(800, seed=1)
    model = fit_risk(rows, fitted_ns=7)
    assert model.n == 800
    assert model.fitted_ns == 7
    assert model.n_effective < 800
    assert model.weights["retrieval_empty:unrecovered"] == pytest.approx(2.5, abs=0.7)
    assert abs(model.weights["timeout:recovered"]) < 0.7
    assert model.auc is not None
    assert model.auc > 0.7
    assert model.brier is not None
    assert model.brier_prior is not None
    assert model.brier < model.brier_prior


def test_predictions_are_calibrated_on_fresh_traces() -> None:
    model = fit_risk(sample(800, seed=2))
    fresh = sample(3000, seed=3)
    found = drift(model, fresh)
    assert found.observed == pytest.approx(found.predicted, abs=0.05)
    shifted = [r._replace(wrong=1.0) if i % 3 == 0 else r for i, r in enumerate(fresh)]
    assert abs(drift(model, shifted).z) > 10 > abs(found.z)


def test_few_reviews_change_nothing() -> None:
    for n in (0, 5, 29):
        model = fit_risk(sample(n, seed=4))
        assert (model.weights, model.intercept, model.n) == ({}, PRIOR.intercept, n)
    all_right = [r._replace(wrong=0.0) for r in sample(100, seed=5)]
    assert fit_risk(all_right).weights == {}


def test_noise_is_shrunk_to_the_prior() -> None:
    rng = np.random.default_rng(6)
    rows = [
        Reviewed(
            {"tool_error:unrecovered": 1.0} if rng.random() < 0.1 else {}, float(rng.random() < 0.2)
        )
        for _ in range(60)
    ]
    model = fit_risk(rows)
    weight = model.weights.get("tool_error:unrecovered", 0.9)
    assert -0.9 < weight < 2.7


def test_a_cluster_never_predicts_itself() -> None:
    """Labels that only the cluster explains: cross-fitting must not see through them."""
    rng = np.random.default_rng(8)
    rows = []
    for cluster in range(60):
        wrong = float(rng.random() < 0.5)
        name = f"finding_{cluster}:unrecovered"
        rows += [Reviewed({name: 1.0}, wrong, 1.0, f"c{cluster}")] * 4
    held = cross_fit(rows)
    found = auc(held, np.array([r.wrong for r in rows]))
    assert found is not None
    assert found < 0.6  # below one half is fine: held-out clusters pull the rest the other way


def test_auc_by_hand() -> None:
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])) == 0.75
    assert auc(np.zeros(4), np.array([0.0, 1.0, 0.0, 1.0])) == 0.5
    assert auc(np.zeros(2), np.ones(2)) is None
    weighted = auc(np.array([1.0, 0.0, 2.0]), np.array([1.0, 0.0, 0.0]), np.array([1.0, 3.0, 1.0]))
    assert weighted == 0.75


def test_a_model_survives_storage_and_explains_itself() -> None:
    model = fit_risk(sample(400, seed=9))
    again = msgspec.json.decode(msgspec.json.encode(model), type=RiskModel)
    given = {"retrieval_empty:unrecovered": 1.0, "log_answer": 5.0, "a_new_mode:unrecovered": 1.0}
    assert again.probability(given) == model.probability(given)
    reasons = model.reasons(given)
    assert reasons[0].feature == "retrieval_empty:unrecovered"
    assert reasons[0].adds > 0
    total = (
        model.slope * model.intercept + model.shift + sum(r.adds for r in model.reasons(given, 99))
    )
    assert 1 / (1 + np.exp(-total)) == pytest.approx(model.probability(given), abs=0.01)


def test_risk_uses_the_model_it_is_given() -> None:
    trace = read_trace([])
    assert risk(trace, ()) != risk(trace, (), RiskModel(intercept=2.0))
    assert features(trace, ())["no_answer"] == 1.0
