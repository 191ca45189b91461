"""The other claims of `benchmarks/stats.py`: labels saved, looking every day, change, speed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from stats_coverage import batch, joined
from stats_refresh import refreshed
from stats_worlds import World, draw, make_world

from fidelity_otel.processor.sample import bottom_k
from fidelity_otel.stats.change import cusum, e_shiryaev_roberts, locate_change
from fidelity_otel.stats.estimate import estimate
from fidelity_otel.stats.sequence import betting_sequence
from fidelity_otel.stats.weights import horvitz_thompson

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "stats"))
import published  # noqa: E402


@dataclass
class Line:
    """One line of the table: what was measured, what must hold, whether it does."""

    claim: str
    must: str
    measured: str
    holds: bool | None


def unbiased() -> Iterator[Line]:
    """By enumeration, and priority sampling by simulation."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for size in range(1, 9):
        y, pi = rng.random(size), rng.uniform(0.1, 1, size)
        mean = 0.0
        for bits in product([False, True], repeat=size):
            chosen = np.array(bits)
            chance = float(np.prod(np.where(chosen, pi, 1 - pi)))
            mean += chance * horvitz_thompson(y[chosen], pi[chosen], size).value
        worst = max(worst, abs(mean - y.mean()))
    yield Line(
        "Horvitz–Thompson over all samples of frames of 1 to 8",
        "exact",
        f"{worst:.1e}",
        worst < 1e-12,
    )
    size = rng.uniform(0.3, 0.65, 30)
    y = rng.random(30)
    errors = [_bias(size, y, k) for k in (0.4, 3.6, 10.0)]
    text = ", ".join(f"{e:.1e} (3 s.e. {s:.1e})" for e, s in errors)
    yield Line(
        "priority sampling, k = .4, 3.6, 10: bias of the mean",
        "≤ 1e-3",
        text,
        all(e <= 1e-3 and e < max(s, 1e-6) for e, s in errors),
    )


def _bias(size: np.ndarray, y: np.ndarray, k: float, steps: int = 100) -> tuple[float, float]:
    """Bias of priority sampling's mean of y, and three standard errors of it.

    The mean is unbiased if every unit's chosen/π is 1 on average, whatever the other units drew. So
    one unit's number runs through (0, 1] while those of the others stay, in finer steps where it is
    likely chosen: the same expectation with far less noise.
    """
    rng = np.random.default_rng(5)
    found = []
    for _ in range(40):
        others = 1.0 - rng.random(size.size)
        off = 0.0
        for unit in range(size.size):
            u, mean = others.copy(), 0.0
            near = min(1.0, 3.0 * bottom_k(size, u, k).probability[unit])
            for start, end in ((0.0, near), (near, 1.0)):
                step = (end - start) / steps
                for u[unit] in start + step * (np.arange(steps) + 1.0 - rng.random()):
                    got = bottom_k(size, u, k)
                    if got.selected[unit]:
                        mean += step / got.probability[unit]
            off += y[unit] * (mean - 1.0) / size.size
        found.append(off)
    return abs(float(np.mean(found))), 3.0 * float(np.std(found, ddof=1)) / len(found) ** 0.5


def _gain(
    world: World, n: int, repeats: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Effective labels a label of the product's design with predictions: by width, by error, and
    failures found a review against random."""
    widths, squares, failures = {}, {}, {}
    for name, design, prediction in (
        ("random", "simple random", None),
        ("ours", "both arms", 1 - world.risk),
    ):
        draws = draw(world, design, n, repeats, rng)
        code = joined(world, draws, repeats, strata=name == "ours")
        value, found = batch(world, draws, repeats, code, prediction)
        widths[name] = float(np.mean(found[0.95].high - found[0.95].low))
        squares[name] = float(((value - world.p) ** 2).mean())
        failures[name] = float((1 - world.y[draws.unit]).mean())
    return (
        (widths["random"] / widths["ours"]) ** 2,
        squares["random"] / squares["ours"],
        failures["ours"] / failures["random"],
    )


def labels_saved(repeats: int, folder: Path | None) -> Iterator[Line]:
    """Against simple random review at equal width."""
    rng = np.random.default_rng(3)
    for flag, must, note in (
        ("detector", 1.35, "yes/no detector, AUC .75"),
        ("score", None, "smooth score, AUC .75 (theory's best 1.26 without strata)"),
    ):
        for p in (0.7, 0.875):
            found = np.array(
                [
                    _gain(make_world(p, 20_000, rng, flag=flag), 500, 100, rng)
                    for _ in range(repeats // 100)
                ]
            ).mean(axis=0)
            yield Line(
                f"labels saved, {note}, p = {p:g}, n = 500",
                f"≥ {must}×" if must and p == 0.7 else "reported",
                f"{found[0]:.2f}× by width, {found[1]:.2f}× by error",
                bool(found[0] >= must) if must and p == 0.7 else None,
            )
            yield Line(
                f"failures found a review, {note}, p = {p:g}",
                "≥ 1.3×" if flag == "detector" else "reported",
                f"{found[2]:.2f}×",
                bool(found[2] >= 1.3) if flag == "detector" else None,
            )
    useless = []
    for _ in range(max(1, repeats // 100)):
        world = make_world(0.8, 20_000, rng)
        draws = draw(world, "simple random", 200, 100, rng)
        code = joined(world, draws, 100, strata=False)
        _, plain = batch(world, draws, 100, code, None)
        _, other = batch(world, draws, 100, code, rng.random(world.N))
        useless.append(
            np.mean(plain[0.95].high - plain[0.95].low)
            / np.mean(other[0.95].high - other[0.95].low)
        )
    gain = float(np.mean(useless)) ** 2
    yield Line("labels saved, useless predictor", "≥ 1.0×", f"{gain:.3f}×", gain >= 0.995)
    if folder is not None:
        yield from _frank(folder, repeats)


def _frank(folder: Path, repeats: int) -> Iterator[Line]:
    d = published.frank(folder)
    y = d["y"]
    for metric, must in (("FactCC", 1.46), ("QAGS", 1.4), ("FEQA", 1.36), ("Rouge L", 1.0)):
        f, rng = d[metric], np.random.default_rng(9)
        widths, hits, errors = [], 0, []
        for _ in range(min(repeats, 300)):
            label = np.full(y.size, np.nan)
            chosen = rng.choice(y.size, 300, replace=False)
            label[chosen] = y[chosen]
            plain, ours = estimate(label, level=0.9), estimate(label, prediction=f, level=0.9)
            widths.append((plain.high - plain.low) / (ours.high - ours.low))
            errors.append(((plain.estimate - y.mean()) ** 2, (ours.estimate - y.mean()) ** 2))
            hits += ours.low <= y.mean() <= ours.high
        gain = float(np.mean(widths)) ** 2
        by_error = np.mean(errors, axis=0)
        yield Line(
            f"labels saved on FRANK, {metric}, n = 300",
            f"≥ {must:g}×",
            f"{gain:.2f}× by width, {by_error[0] / by_error[1]:.2f}× by error, "
            f"90% interval covers {hits / len(widths):.1%}",
            gain >= must,
        )


def looked_at_every_day(streams: int, length: int) -> Iterator[Line]:
    """Confidence sequences: the share of streams in which the truth is ever excluded."""
    for p in (0.02, 0.5, 0.9):
        rng = np.random.default_rng([length, round(p * 100)])
        excluded, widths = 0, []
        for _ in range(streams):
            y = (rng.random(length) < p).astype(float)
            got = betting_sequence(y, grid=400)
            excluded += bool((got.low > p).any() or (got.high < p).any())
            widths.append(got.high[-1] - got.low[-1])
        yield Line(
            f"looked at after each of {length:,} reviews, p = {p:g}, {streams} streams",
            "ever excluded ≤ 5%",
            f"{excluded / streams:.1%}, width at the end {np.mean(widths):.3f}",
            excluded / streams <= 0.05 + 2 * (0.05 * 0.95 / streams) ** 0.5,
        )


def degradation(folder: Path, repeats: int) -> Iterator[Line]:
    """LLMDrift primes, GPT-4, March then June: one review a question."""
    march, june = published.llmdrift(folder)
    p0, rng = float(march.mean()), np.random.default_rng(17)
    found: dict[str, list[int]] = {"LR-CUSUM": [], "e-SR": []}
    dated = 0
    for _ in range(repeats):
        x = np.concatenate([rng.permutation(march), rng.permutation(june)])
        first = cusum(x, p0, p0 - 0.1, 1000.0).first
        found["LR-CUSUM"].append(first if first is not None else x.size)
        first = e_shiryaev_roberts(x, p0, 1e5).first
        found["e-SR"].append(first if first is not None else x.size)
        when = locate_change(x[: max(found["e-SR"][-1], 1000) + 50])
        dated += when.low <= 1000 <= when.high
    for name, firsts in found.items():
        late = np.array(firsts) - 999
        false = float((late <= 0).mean())
        delay = float(np.median(late[late > 0]))
        yield Line(
            f"LLMDrift {p0:.3f} → {june.mean():.3f}, {name}",
            "median delay ≤ 35 at 1% false alarms a 1,000",
            f"{delay:g} reviews, false alarms {false:.1%} of {repeats} orders",
            delay <= 35 and false <= 0.01 + 2 * (0.01 / repeats) ** 0.5,
        )
    yield Line(
        "LLMDrift: the set of possible days of change holds the day",
        "≥ 95%",
        f"{dated / repeats:.1%}",
        dated / repeats >= 0.95 - 2 * (0.05 * 0.95 / repeats) ** 0.5,
    )
    unchanged = sum(
        cusum(rng.permutation(march), p0, p0 - 0.1, 1000.0).first is not None
        for _ in range(repeats)
    )
    yield Line(
        "LLMDrift, the unchanged half alone: alarms",
        "none (≤ 1%)",
        f"{unchanged} of {repeats} orders",
        unchanged / repeats <= 0.01 + 2 * (0.01 / repeats) ** 0.5,
    )


def live_stream(folder: Path, repeats: int) -> Iterator[Line]:
    """τ-bench airline as traffic: 200 runs of 50 tasks, true .42; reviewed in random order."""
    d = published.tau_bench(folder)
    y, rng = d["y"], np.random.default_rng(23)
    risk_like = d["turns"] + 10 * d["tool_error"]
    for n in (20, 50, 100):
        rows: dict[str, list[tuple[float, bool]]] = {"without risk": [], "with risk": []}
        for _ in range(repeats):
            label = np.full(y.size, np.nan)
            chosen = rng.permutation(y.size)[:n]
            label[chosen] = y[chosen]
            for name, prediction in (("without risk", None), ("with risk", risk_like)):
                got = estimate(label, prediction=prediction)
                rows[name].append((got.high - got.low, got.low <= y.mean() <= got.high))
        half = {name: np.mean([w for w, _ in r]) / 2 for name, r in rows.items()}
        held = {name: np.mean([h for _, h in r]) for name, r in rows.items()}
        text = "; ".join(f"{name}: ±{half[name]:.3f}, covers {held[name]:.1%}" for name in rows)
        least = min(held.values())
        yield Line(
            f"τ-bench airline after {n} reviews, truth .42",
            "covers ≥ 93%",
            text,
            bool(least >= 0.93),
        )


def refresh(traces: int = 10_000_000, verdicts: int = 10_000) -> Iterator[Line]:
    """The service's report from its store: 50 strata, 20 modes, four weeks of folded hours."""
    made = refreshed(traces, verdicts)
    assert (made.traces, made.verdicts) == (traces, verdicts)
    yield Line(
        f"the report from its store: {made.estimates} estimates, {traces / 1e6:g} M traces, "
        f"{verdicts:,} verdicts, 50 strata, 20 modes",
        "< 1 s, < 500 MB",
        f"{made.seconds:.2f} s, process {made.memory:.0f} MB",
        made.seconds < 1.0 and made.memory < 500,
    )
