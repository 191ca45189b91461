"""Of requests without findings a share is stored (`sample.keep_share`): the numbers are of all."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pytest
from report_frames import NOW_NS, Arm, FakeStore, Mark, Row

from fidelity_otel.model import Decision, Estimate
from fidelity_otel.processor.sample import Budget, Sampler, SampleSettings, combined, draw, hashed
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.summary import Summary

SHARE = 0.05
REQUESTS = 4000
BUDGET = Budget(175.0, 75.0)
WORLDS = 80


class Request(NamedTuple):
    """What happened, and what nobody knows but a reviewer."""

    trace_id: str
    mode: str
    state: str
    risk: float
    right: bool

    @property
    def silent(self) -> bool:
        return not self.right and self.state != "unrecovered"


class Candidate(NamedTuple):
    """A stored trace, as a draw wants it."""

    decision: Decision
    modes: tuple[str, ...]


class Told(NamedTuple):
    """What is true of all requests, and what the report says."""

    fidelity: float
    silent: float
    made: Summary


def happened(seed: int) -> list[Request]:
    """Where something is found four in ten are wrong, where nothing is one in fourteen."""
    chance, made = random.Random(seed), []
    for _ in range(REQUESTS):
        mode = chance.choices(["", "loop", "tool_error"], [88, 8, 4])[0]
        right = chance.random() < (0.6 if mode else 0.93)
        state = ("unrecovered" if chance.random() < 0.2 else "recovered") if mode else ""
        risk = min(0.95, max(0.02, chance.gauss(0.35 if mode else 0.07, 0.05)))
        made.append(Request(f"{chance.getrandbits(128):032x}", mode, state, risk, right))
    return made


def stored(requests: list[Request], sampler: Sampler) -> list[tuple[Request, float]]:
    """Those that the service stores, and the probability with which it does."""
    told = [(each, 1.0 if each.mode else sampler.keeps(each.trace_id)) for each in requests]
    return [(each, share) for each, share in told if share]


def candidate(request: Request, share: float, salt: bytes) -> Candidate:
    decision = Decision(
        trace_id=request.trace_id,
        stratum=f"answer | r1 | {'flagged' if request.mode else 'clear'}",
        window="w",
        randomness=hashed(salt, "estimation", request.trace_id),
        size=0.3 + 0.7 * (request.risk * (1 - request.risk)) ** 0.5,
        risk=request.risk,
        flagged=bool(request.mode),
        upstream=share,
    )
    return Candidate(decision, (request.mode,) if request.mode else ())


def reported(seed: int, share: float = SHARE, *, known: bool = True) -> Told:
    """One installation: its traffic, what it stores of that, the draw, the verdicts, the report."""
    requests, salt = happened(seed), f"salt {seed}".encode()
    kept = stored(requests, Sampler(SampleSettings(keep_share=share), salt))
    candidates = [candidate(each, part if known else 1.0, salt) for each, part in kept]
    arms = draw(candidates, BUDGET, {}, salt, floor=5.0).arms
    rows = []
    for (request, _), made in zip(kept, candidates, strict=True):
        drawn = arms[request.trace_id]
        chosen = any(arm.selected for arm in drawn)
        verdict = Mark("ann", "right" if request.right else "wrong")
        rows.append(
            Row(
                request.trace_id,
                stratum=made.decision.stratum,
                risk=request.risk,
                flagged=made.decision.flagged,
                upstream=made.decision.upstream,
                modes=made.modes,
                states=(request.state,) if request.mode else (),
                arms=tuple(Arm(a.arm, a.probability, a.selected, a.stratum) for a in drawn),
                pi=combined(drawn),
                selected=chosen,
                reviews=(verdict,) if chosen else (),
            )
        )
    return Told(
        sum(each.right for each in requests) / REQUESTS,
        sum(each.silent for each in requests) / REQUESTS,
        summary(FakeStore(rows), now_ns=NOW_NS),
    )


def holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


@pytest.fixture(scope="module")
def worlds() -> list[Told]:
    return [reported(seed) for seed in range(WORLDS)]


def test_ranges_hold_the_truth_of_all_requests(worlds: list[Told]) -> None:
    for estimates, truths in (
        ([t.made.fidelity for t in worlds], [t.fidelity for t in worlds]),
        ([t.made.silent_failure for t in worlds], [t.silent for t in worlds]),
    ):
        off = np.array([e.estimate for e in estimates], dtype=float) - truths
        assert abs(off.mean()) < 3 * off.std() / len(worlds) ** 0.5 + 0.002
        held = np.mean([holds(e, t) for e, t in zip(estimates, truths, strict=True)])
        assert held >= 0.9, "95% less three standard errors of so many worlds is 88%"


def test_without_the_weights_they_would_not() -> None:
    blind = [reported(seed, known=False) for seed in range(20)]
    off = [(t.made.fidelity.estimate or 0.0) - t.fidelity for t in blind]
    assert np.mean(off) < -0.1
    assert np.mean([holds(t.made.fidelity, t.fidelity) for t in blind]) == 0.0
    assert np.mean([holds(t.made.silent_failure, t.silent) for t in blind]) < 0.5


def test_counts_stand_for_all_requests(worlds: list[Told]) -> None:
    asked = np.array([t.made.activity.asked for t in worlds], dtype=float)
    error = (0.88 * REQUESTS * (1 / SHARE - 1)) ** 0.5
    assert abs(asked.mean() - REQUESTS) < 4 * error / len(worlds) ** 0.5
    assert abs(asked.std() / error - 1.0) < 0.35
    assert all(t.made.activity.traces < 0.2 * REQUESTS for t in worlds)


def half_width(told: list[Told]) -> float:
    ends = [(t.made.fidelity.low, t.made.fidelity.high) for t in told]
    return float(np.mean([(high - low) / 2 for low, high in ends if high is not None]))


def test_a_share_costs_no_width_as_long_as_enough_is_kept(worlds: list[Told]) -> None:
    """The figures of docs/high-volume.md: 250 reviews, 3,520 requests without findings."""
    everything = half_width([reported(seed, 1.0) for seed in range(20)])
    assert everything == pytest.approx(0.036, abs=0.002)
    assert half_width(worlds) == pytest.approx(everything, rel=0.06)  # 176 traces are kept
    too_few = half_width([reported(seed, 0.01) for seed in range(20)])  # 35
    assert too_few == pytest.approx(0.076, abs=0.012)
