"""Populations and sampling designs for `benchmarks/stats.py`, many repeats at a time.

A population is a frame of traces with true labels, a workflow, a detector's flag and a risk. A draw
gives, for R repeats at once, the chosen units as flat arrays (repeat, unit, π). The designs are the
product's: priority sampling with size ε + (1−ε)√(p(1−p)), Neyman allocation with a floor over
workflow × flagged, and a discovery arm over the flagged traces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from fidelity_otel.processor.sample import allocate, allocate_beside, bottom_k

__all__ = ["DESIGNS", "Draws", "World", "draw", "make_world", "windows_draw"]

EPSILON = 0.3
AUC_75 = 0.954  # distance of two normals with area .75 under the ROC curve


@dataclass(frozen=True)
class World:
    """A frame: arrays of shape (N,). `stratum` codes workflow × flagged."""

    y: np.ndarray
    risk: np.ndarray
    flagged: np.ndarray
    stratum: np.ndarray
    size: np.ndarray

    @property
    def N(self) -> int:  # noqa: N802
        return self.y.size

    @property
    def p(self) -> float:
        return float(self.y.mean())


@dataclass(frozen=True)
class Draws:
    """Chosen units of R repeats: repeat, unit and π of each, shape (total,)."""

    repeat: np.ndarray
    unit: np.ndarray
    pi: np.ndarray


def make_world(p: float, traces: int, rng: np.random.Generator, *, flag: str = "score") -> World:
    """A share p of right answers, to the nearest whole one; three workflows of unlike
    difficulty; risk of AUC .75.

    `flag`: "score" flags the 10% of highest risk; "detector" has the same AUC as a yes/no finding
    that sees 55% of the failures and cries wolf on 5% of the rest.
    """
    workflow = rng.choice(3, traces, p=(0.6, 0.3, 0.1))
    odds = np.array([0.7, 1.2, 2.0])[workflow]
    wrong = round((1 - p) * traces)
    rank = np.argsort(rng.exponential(size=traces) / odds)
    y = np.ones(traces)
    y[rank[:wrong]] = 0.0
    q = np.clip(1 - p, 1e-3, 1 - 1e-3)
    if flag == "detector":
        flagged = rng.random(traces) < np.where(y == 0, 0.55, 0.05)
        share = np.where(flagged, 0.55 * q, 0.45 * q)
        risk = share / (share + np.where(flagged, 0.05, 0.95) * (1 - q))
    else:
        score = AUC_75 * (1 - y) + rng.normal(size=traces)
        risk = special.expit(special.logit(q) + AUC_75 * score - AUC_75**2 / 2)
        flagged = score > np.quantile(score, 0.9)
    stratum = workflow * 2 + flagged
    size = EPSILON + (1 - EPSILON) * np.sqrt(risk * (1 - risk))
    return World(y, risk, flagged, stratum, size)


def _bottom(size: np.ndarray, u: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Priority sampling of k for every row of u: who, and π of the chosen."""
    if k >= size.size:
        return np.ones(u.shape, bool), np.ones(u.shape)
    priority = size / u
    tau = -np.partition(-priority, k, axis=1)[:, k : k + 1]
    return priority > tau, np.minimum(1.0, size / tau)


def _both(size: np.ndarray, u: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Priority sampling of k with π of the unchosen as well (k-th instead of (k+1)-th priority)."""
    if k >= size.size:
        return np.ones(u.shape, bool), np.ones(u.shape)
    if k == 0:
        return np.zeros(u.shape, bool), np.zeros(u.shape)
    priority = size / u
    part = -np.partition(-priority, (k - 1, k), axis=1)
    chosen = priority > part[:, k : k + 1]
    return chosen, np.minimum(1.0, size / np.where(chosen, part[:, k : k + 1], part[:, k - 1 : k]))


def _counts(
    world: World, n: int, *, neyman: bool, floor: float, discovery: int = 0
) -> dict[int, int]:
    """Whole reviews per stratum, by the product's own allocation, largest remainders rounded up."""
    members = np.bincount(world.stratum, minlength=6)
    names = [str(h) for h in range(6) if members[h]]
    wrong = 1 - world.y
    weight = {}
    for h in names:
        mine = wrong[world.stratum == int(h)]
        past = (mine.sum() / mine.size * 30 + 5 * wrong.mean()) / 35  # a month's smoothed history
        past = min(max(past, 0.01), 0.99)
        weight[h] = float(np.sqrt(past * (1 - past))) if neyman else 1.0
    flagged = np.bincount(world.stratum[world.flagged], minlength=6) / max(world.flagged.sum(), 1)
    other = {h: discovery * float(flagged[int(h)]) for h in names}
    k = allocate_beside({h: int(members[int(h)]) for h in names}, weight, n, floor, other)
    base = {int(h): int(v) for h, v in k.items()}
    rest = sorted(names, key=lambda h: base[int(h)] - k[h])
    for h in rest[: n - sum(base.values())]:
        base[int(h)] += 1
    return base


def _simple(world: World, n: int, repeats: int, rng: np.random.Generator) -> Draws:
    chosen, _ = _bottom(np.ones(world.N), 1.0 - rng.random((repeats, world.N)), n)
    r, u = np.nonzero(chosen)
    return Draws(r, u, np.full(r.size, n / world.N))


def _poisson(world: World, n: int, repeats: int, rng: np.random.Generator) -> Draws:
    pi = np.minimum(1.0, n * world.size / world.size.sum())
    r, u = np.nonzero(rng.random((repeats, world.N)) < pi)
    return Draws(r, u, pi[u])


def _priority(world: World, n: int, repeats: int, rng: np.random.Generator) -> Draws:
    chosen, pi = _bottom(world.size, 1.0 - rng.random((repeats, world.N)), n)
    r, u = np.nonzero(chosen)
    return Draws(r, u, pi[r, u])


def _stratified(
    world: World,
    n: int,
    repeats: int,
    rng: np.random.Generator,
    *,
    neyman: bool = False,
    sized: bool = False,
    discovery: float = 0.0,
) -> Draws:
    most = n - round(n * discovery)
    floor = min(5.0, most / 12) if neyman else 0.0
    counts = _counts(world, most, neyman=neyman, floor=floor, discovery=n - most)
    flagged = np.flatnonzero(world.flagged)
    second, second_pi = None, None
    if discovery:
        second, second_pi = _both(
            np.ones(flagged.size), 1.0 - rng.random((repeats, flagged.size)), n - most
        )
    found: list[Draws] = []
    for h, k in counts.items():
        mine = np.flatnonzero(world.stratum == h)
        size = world.size[mine] if sized else np.ones(mine.size)
        chosen, pi = _both(size, 1.0 - rng.random((repeats, mine.size)), k)
        if not sized:
            pi = np.full(pi.shape, min(1.0, k / mine.size))
        if second is not None and second_pi is not None and world.flagged[mine[0]]:
            place = np.searchsorted(flagged, mine)
            chosen = chosen | second[:, place]
            pi = 1.0 - (1.0 - pi) * (1.0 - second_pi[:, place])
        r, u = np.nonzero(chosen)
        found.append(Draws(r, mine[u], pi[r, u]))
    return Draws(
        *(np.concatenate([getattr(d, f) for d in found]) for f in ("repeat", "unit", "pi"))
    )


def draw(world: World, design: str, n: int, repeats: int, rng: np.random.Generator) -> Draws:
    """R samples of n (on average) by a design of `DESIGNS`."""
    if design in PLAIN:
        return PLAIN[design](world, n, repeats, rng)
    return _stratified(world, n, repeats, rng, **STRATIFIED[design])


PLAIN = {"simple random": _simple, "Poisson": _poisson, "priority": _priority}
STRATIFIED = {
    "stratified": {},
    "Neyman": {"neyman": True},
    "Neyman + priority": {"neyman": True, "sized": True},
    "both arms": {"neyman": True, "sized": True, "discovery": 0.3},
}
DESIGNS = [*PLAIN, *STRATIFIED]


def windows_draw(
    world: World, n: int, windows: int, repeats: int, rng: np.random.Generator
) -> Draws:
    """The product's draw window by window: fewer than one review a stratum and window, rounded at
    random, traffic unlike by the hour. Uses `bottom_k` itself."""
    busy = rng.dirichlet(np.linspace(1, 6, windows))
    window = rng.choice(windows, world.N, p=busy)
    found: tuple[list, list, list] = ([], [], [])
    cells = []
    for t in range(windows):
        here = np.flatnonzero(window == t)
        counts = np.bincount(world.stratum[here], minlength=6)
        k = allocate(
            {str(h): int(c) for h, c in enumerate(counts) if c},
            {str(h): 0.3 for h in range(6)},
            n / windows,
            0.05,
        )
        cells += [(here[world.stratum[here] == int(h)], v) for h, v in k.items()]
    for r in range(repeats):
        for mine, k in cells:
            got = bottom_k(world.size[mine], 1.0 - rng.random(mine.size), k)
            found[0].append(np.full(int(got.selected.sum()), r))
            found[1].append(mine[got.selected])
            found[2].append(got.probability[got.selected])
    return Draws(*(np.concatenate(part) for part in found))
