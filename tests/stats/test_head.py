"""Head sampling before review: two phases, of which the estimate knows both probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from fidelity_otel.model import Estimate
from fidelity_otel.stats import estimate as module
from fidelity_otel.stats.arrays import Bools, Floats, Ints
from fidelity_otel.stats.estimate import estimate


class World(NamedTuple):
    """Requests: stratum, predicted and true label, and how a head sampler keeps them."""

    stratum: Ints
    prediction: Floats
    y: Floats
    upstream: Floats


def errors_kept(rng: np.random.Generator, size: int = 6000) -> World:
    """All errors are kept and a tenth of the rest."""
    stratum = rng.integers(3, size=size)
    risk = rng.random(size)
    error = rng.random(size) < np.array([0.05, 0.2, 0.4])[stratum] * (0.5 + risk)
    y = (rng.random(size) < np.where(error, 0.25, 0.97 - 0.25 * risk)).astype(float)
    return World(stratum, 1.0 - risk, y, np.where(error, 1.0, 0.1))


def unlike_strata(rng: np.random.Generator, size: int = 2000) -> World:
    """A fifth of all is kept; one stratum is nearly always wrong, the other nearly always right."""
    stratum = rng.integers(2, size=size)
    y = (rng.random(size) < np.array([0.05, 0.95])[stratum]).astype(float)
    return World(stratum, np.full(size, 0.5), y, np.full(size, 0.2))


def kept_and_reviewed(
    world: World, rng: np.random.Generator, review: float, *, known: bool
) -> Estimate:
    """One draw of both phases; `known` says whether the estimate is told of the first."""
    kept: Bools = rng.random(world.y.size) < world.upstream
    pi = np.clip(review * (1.3 - 0.6 * world.prediction), 0.0, 1.0)
    label = np.where(rng.random(world.y.size) < pi, world.y, np.nan)[kept]
    upstream = world.upstream[kept] if known else np.ones(int(kept.sum()))
    return estimate(
        label,
        prediction=world.prediction[kept],
        pi=pi[kept] * upstream,
        stratum=world.stratum[kept],
        units=1.0 / upstream,
    )


def repeated(
    make: Callable[[np.random.Generator], World], review: float, times: int, *, known: bool = True
) -> tuple[float, float, float]:
    """Bias, standard error of that, and coverage at 95%."""
    rng = np.random.default_rng(11)
    world = make(rng)
    truth = float(world.y.mean())
    made = [kept_and_reviewed(world, rng, review, known=known) for _ in range(times)]
    values = np.array([m.estimate for m in made], dtype=float)
    held = [m.low is not None and m.high is not None and m.low <= truth <= m.high for m in made]
    return float(values.mean()) - truth, float(values.std() / times**0.5), float(np.mean(held))


@pytest.mark.parametrize("review", [0.15, 0.5, 1.0])
def test_unequal_head_sampling_neither_biases_nor_narrows(review: float) -> None:
    bias, error, coverage = repeated(errors_kept, review, 400)
    assert abs(bias) < 4 * error + 0.002
    assert coverage >= 0.92


def test_taken_for_all_requests_the_kept_ones_are_far_off() -> None:
    bias, _, coverage = repeated(errors_kept, 0.5, 50, known=False)
    assert bias < -0.2
    assert coverage == 0.0


def test_sizes_of_strata_are_estimates_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of unlike strata, most of the variance is how many of each the head sampler kept."""
    _, _, coverage = repeated(unlike_strata, 1.0, 400)
    assert coverage >= 0.92
    monkeypatch.setattr(module, "head_variance", lambda *_, **__: 0.0)
    _, _, without = repeated(unlike_strata, 1.0, 400)
    assert without < 0.85


def test_units_are_the_frame_size_and_one_everywhere_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    world = errors_kept(rng, 800)
    label = np.where(rng.random(800) < 0.3, world.y, np.nan)
    columns = {"prediction": world.prediction, "stratum": world.stratum, "pi": np.full(800, 0.3)}
    assert estimate(label, units=np.ones(800), **columns) == estimate(label, **columns)
    told = estimate(label, units=np.full(800, 3.0), **columns | {"pi": np.full(800, 0.1)})
    assert told.N == 2400


def test_all_kept_were_reviewed_and_yet_it_is_no_census() -> None:
    label = np.array([1.0] * 30 + [0.0] * 10)
    made = estimate(label, pi=np.full(40, 0.5), units=np.full(40, 2.0))
    assert made.N == 80
    assert made.method != "census"
    assert made.low is not None
    assert made.low < 0.7
