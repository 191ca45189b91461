"""Does the interval hold the truth? Coverage of every estimator under every design.

Thousands of repeats at once go through the same functions that `estimate` uses: `gather`,
`combine`, `optimal_power`, `interval_of`, `clustered`, `respond`.
That both ways agree is checked on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from stats_worlds import DESIGNS, Draws, World, draw, make_world, windows_draw

from fidelity_otel.stats.cluster import clustered, linear_scores
from fidelity_otel.stats.combine import combine, interval_of, optimal_power
from fidelity_otel.stats.estimate import estimate
from fidelity_otel.stats.intervals import Interval
from fidelity_otel.stats.moments import gather
from fidelity_otel.stats.ratio import ratio

SHARES = (0.005, 0.02, 0.1, 0.3, 0.5, 0.9, 0.99, 0.995)
SIZES = (20, 50, 200, 1000)
LEVELS = (0.9, 0.95, 0.99)
CHUNK = 250


@dataclass
class Cell:
    """Coverage of one estimator at one design, share and size, per level."""

    design: str
    estimator: str
    p: float
    n: int
    repeats: int
    coverage: dict[float, float]
    width: float
    bias: float
    mse: float

    @property
    def rare(self) -> float:
        """Expected number of the rarer verdict: below about ten, counting steps forbid 94–97."""
        return self.n * min(self.p, 1 - self.p)


class Tally:
    """Adds up hits over chunks."""

    def __init__(self) -> None:
        self.hits = dict.fromkeys(LEVELS, 0)
        self.total = 0
        self.width = self.error = self.square = 0.0

    def add(self, value: np.ndarray, intervals: dict[float, Interval], truth: float) -> None:
        value = np.atleast_1d(value)
        for level, (low, high) in intervals.items():
            inside = (np.atleast_1d(low) <= truth + 1e-12) & (truth - 1e-12 <= np.atleast_1d(high))
            self.hits[level] += int(inside.sum())
        low, high = intervals[0.95]
        self.total += value.size
        self.width += float(np.sum(high - low))
        self.error += float((value - truth).sum())
        self.square += float(((value - truth) ** 2).sum())

    def cell(self, design: str, estimator: str, p: float, n: int) -> Cell:
        m = self.total
        coverage = {level: hits / m for level, hits in self.hits.items()}
        return Cell(
            design, estimator, p, n, m, coverage, self.width / m, self.error / m, self.square / m
        )


def joined(world: World, draws: Draws, repeats: int, *, strata: bool) -> np.ndarray:
    """Stratum codes, with those joined that are thin in any repeat (as `collapse` does in each)."""
    if not strata:
        return np.zeros(world.N, dtype=np.intp)
    code = world.stratum
    count = np.bincount(draws.repeat * 6 + code[draws.unit], minlength=repeats * 6)
    least = count.reshape(repeats, 6).min(axis=0)
    size = np.bincount(code, minlength=6)
    target = np.arange(6)
    thin = [h for h in range(6) if least[h] < 2]
    if thin:
        target[thin] = thin[0]
        while count.reshape(repeats, 6)[:, target == thin[0]].sum(axis=1).min() < 2:
            others = [h for h in range(6) if target[h] != thin[0]]
            if not others:
                break
            target[min(others, key=lambda h: size[h])] = thin[0]
    return np.unique(target, return_inverse=True)[1][code].astype(np.intp)


def batch(
    world: World, draws: Draws, repeats: int, code: np.ndarray, prediction: np.ndarray | None
) -> tuple[np.ndarray, dict[float, Interval]]:
    """All repeats' estimates at once."""
    cells = int(code.max()) + 1
    size = np.bincount(code, minlength=cells).astype(float)
    share = size / size.sum()
    m = None if prediction is None else prediction[draws.unit]
    place = draws.repeat * cells + code[draws.unit]
    moments = gather(world.y[draws.unit], draws.pi, place, repeats * cells, m).reshape(
        repeats, cells
    )
    if prediction is None:
        combined = combine(moments, share)
    else:
        frame_m = np.bincount(code, weights=prediction, minlength=cells) / size
        combined = combine(moments, share, frame_m, optimal_power(moments, share))
    least = np.bincount(draws.repeat, weights=world.y[draws.unit], minlength=repeats) / world.N
    most = (
        1 - np.bincount(draws.repeat, weights=1 - world.y[draws.unit], minlength=repeats) / world.N
    )
    value = np.clip(np.clip(combined.value, 0, 1), least, most)
    found = {}
    for level in LEVELS:
        low, high = interval_of(combined, level)[0]
        found[level] = Interval(np.clip(low, least, most), np.clip(high, least, most))
    return value, found


def _nonresponse(world: World, draws: Draws, repeats: int, rng: np.random.Generator) -> Draws:
    """Reviewers skip 10% of clear and 50% of flagged traces; π is adjusted within the stratum."""
    came = rng.random(draws.unit.size) < np.where(world.flagged[draws.unit], 0.5, 0.9)
    cell = draws.repeat * 6 + world.stratum[draws.unit]
    w = 1 / draws.pi
    asked = np.bincount(cell, weights=w, minlength=repeats * 6)
    answered = np.bincount(cell[came], weights=w[came], minlength=repeats * 6)
    rate = answered / np.where(asked > 0, asked, 1)
    return Draws(draws.repeat[came], draws.unit[came], (draws.pi * rate[cell])[came])


def frame_cells(repeats: int, *, shares: tuple = SHARES, sizes: tuple = SIZES) -> Iterator[Cell]:
    """Every design; the product's own also with predictions, useless ones, and skipped reviews."""
    for n in sizes:
        traces = 6000 if n >= 1000 else 3000
        for p in shares:
            for design in DESIGNS:
                full = design in ("simple random", "both arms")
                tallies = {"mean": Tally()}
                if full:
                    tallies |= {"PPI++": Tally(), "PPI++ useless": Tally()}
                if design == "both arms":
                    tallies["skipped"] = Tally()
                done = 0
                while done < repeats:
                    seed = [n, round(p * 1000), DESIGNS.index(design), done]
                    rng = np.random.default_rng(seed)
                    world = make_world(p, traces, rng)
                    size = min(CHUNK, repeats - done)
                    draws = draw(world, design, n, size, rng)
                    strata = design not in ("simple random", "Poisson", "priority")
                    code = joined(world, draws, size, strata=strata)
                    noise = rng.random(traces)
                    for name, tally in tallies.items():
                        mine, its_code = draws, code
                        if name == "skipped":
                            mine = _nonresponse(world, draws, size, rng)
                            its_code = joined(world, mine, size, strata=True)
                        predicted = {"PPI++": 1 - world.risk, "PPI++ useless": noise}.get(name)
                        value, found = batch(world, mine, size, its_code, predicted)
                        tally.add(value, found, world.p)
                    done += size
                for name, tally in tallies.items():
                    yield tally.cell(design, name, p, n)


def window_cells(repeats: int) -> Iterator[Cell]:
    """Draws of under one review a stratum and window, by the sampler's own code."""
    for n, p in ((50, 0.7), (200, 0.9)):
        rng = np.random.default_rng([n, 5])
        tally, done = Tally(), 0
        while done < repeats:
            world = make_world(p, 3000, rng)
            draws = windows_draw(world, n, 24, 50, rng)
            code = joined(world, draws, 50, strata=True)
            tally.add(*batch(world, draws, 50, code, None), world.p)
            done += 50
        yield tally.cell("24 windows, fractional k", "mean", p, n)


def cluster_cells(repeats: int, *, shares: tuple = SHARES, sizes: tuple = SIZES) -> Iterator[Cell]:
    """Whole conversations of 1 to 9 turns, alike by ρ; the truth is the process's share."""
    for alike in (0.0, 0.1, 0.4):
        for n in sizes:
            for p in shares:
                rng = np.random.default_rng([n, round(p * 1000), round(alike * 10)])
                tally = Tally()
                for _ in range(repeats):
                    turns = rng.choice((1, 2, 4, 9), max(3, round(n / 4)))
                    share = np.full(turns.size, p)
                    if alike:
                        share = rng.beta(p * (1 / alike - 1), (1 - p) * (1 / alike - 1), turns.size)
                    group = np.repeat(np.arange(turns.size), turns)
                    y = (rng.random(group.size) < share[group]).astype(float)
                    pi = np.full(y.size, 1e-9)
                    cell = np.zeros(y.size, dtype=np.intp)
                    one = np.ones(1)
                    combined = combine(gather(y, pi, cell, 1), one)
                    z, u = linear_scores(y, pi, cell, one)
                    combined = clustered(combined, z, u, group)
                    found = {level: interval_of(combined, level)[0] for level in LEVELS}
                    tally.add(np.asarray(combined.value), found, p)
                yield tally.cell(f"conversations, ρ = {alike:g}", "mean, clustered", p, n)


def ratio_cells(repeats: int) -> Iterator[Cell]:
    """A mode's share of the failures, under the product's design: few rows count."""
    for n in (200, 1000):
        for p in (0.05, 0.3, 0.7):
            rng = np.random.default_rng([n, round(100 * p), 9])
            tally, done = Tally(), 0
            while done < repeats:
                world = make_world(0.7, 6000, rng)
                wrong = 1 - world.y
                mode = wrong * (rng.random(world.N) < p)
                truth = mode.sum() / wrong.sum()
                draws = draw(world, "both arms", n, 50, rng)
                for r in range(50):
                    mine = draws.repeat == r
                    unit, pi = draws.unit[mine], draws.pi[mine]
                    found = {
                        level: ratio(mode[unit], wrong[unit], pi=pi, level=level)
                        for level in LEVELS
                    }
                    got = {
                        k: Interval(np.asarray(e.low), np.asarray(e.high)) for k, e in found.items()
                    }
                    tally.add(np.asarray(found[0.95].estimate), got, truth)
                done += 50
            yield tally.cell("both arms", "ratio (a mode's share)", p, round(n * 0.3))


def whole_cells(repeats: int, *, sizes: tuple = (50, 200)) -> Iterator[Cell]:
    """`estimate` itself, one call a repeat: competition of calibrations, joining of thin strata."""
    for n in sizes:
        for p in (0.02, 0.3, 0.9):
            rng = np.random.default_rng([n, round(p * 1000), 77])
            tally, done = Tally(), 0
            while done < repeats:
                world = make_world(p, 3000, rng)
                draws = draw(world, "both arms", n, 50, rng)
                for r in range(50):
                    mine = draws.repeat == r
                    label, pi = np.full(world.N, np.nan), np.full(world.N, np.nan)
                    label[draws.unit[mine]] = world.y[draws.unit[mine]]
                    pi[draws.unit[mine]] = draws.pi[mine]
                    found = {
                        level: estimate(
                            label,
                            prediction=np.log(world.risk),
                            pi=pi,
                            stratum=world.stratum,
                            level=level,
                        )
                        for level in LEVELS
                    }
                    got = {
                        k: Interval(np.asarray(e.low), np.asarray(e.high)) for k, e in found.items()
                    }
                    tally.add(np.asarray(found[0.95].estimate), got, world.p)
                done += 50
            yield tally.cell("both arms", "estimate(), log-risk", p, n)


def same_as_estimate() -> float:
    """Largest difference between the batch and `estimate` over a few samples (plain means)."""
    rng = np.random.default_rng(1)
    world = make_world(0.8, 3000, rng)
    draws = draw(world, "both arms", 200, 20, rng)
    code = joined(world, draws, 20, strata=True)
    value, found = batch(world, draws, 20, code, None)
    worst = 0.0
    for r in range(20):
        mine = draws.repeat == r
        label, pi = np.full(world.N, np.nan), np.full(world.N, np.nan)
        label[draws.unit[mine]] = world.y[draws.unit[mine]]
        pi[draws.unit[mine]] = draws.pi[mine]
        got = estimate(label, pi=pi, stratum=code)
        low, high = found[0.95]
        worst = max(
            worst, abs(got.estimate - value[r]), abs(got.low - low[r]), abs(got.high - high[r])
        )
    return worst
