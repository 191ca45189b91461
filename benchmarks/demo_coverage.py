"""Does the interval hold the truth? The demo's traffic, sampled and reviewed anew for many seeds.

    make bench-demo-coverage
    python benchmarks/demo_coverage.py [--seeds 500] [--reviews 40] [--record | --from DIR]

The traffic is that of `examples/support_bot`: 120 answers of a real model, with the detectors'
findings, the tickets' ends, and the answer key's verdict on each. It was recorded once, in
`demo_traffic.json`; `--record` runs the demo and records it anew. Then only what chance decides in
production is repeated: the draw, with another secret salt each time, and the reviews of what was
drawn. Draw and report are the service's own code; each seed's frame goes through the whole report.

Ends with 1 unless the 95% interval of each number holds the truth in 93–98% of the seeds and no
stratum's estimate is biased.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fidelity_otel.model import Decision, Estimate, Finding, Trace
from fidelity_otel.processor.sample import Sampler, SampleSettings
from fidelity_otel.report.numbers import ReportSettings, summary
from fidelity_otel.store import FramePart, open_store

ROOT = Path(__file__).resolve().parents[1]
TRAFFIC = Path(__file__).with_name("demo_traffic.json")
LEVEL = 0.95
COVERAGE = (0.93, 0.98)
BIAS_Z = 3.5  # |z| above it: one honest stratum in two thousand
NOW_NS = 1_800_000_000 * 10**9


@dataclass(frozen=True, slots=True)
class Answer:
    """One recorded trace: what the service knew of it, and whether the answer was right."""

    trace_id: str
    workflow: str
    release: str
    risk: float
    success: bool
    modes: tuple[str, ...]
    states: tuple[str, ...]
    outcomes: dict[str, float | None]
    right: bool

    @property
    def loud(self) -> bool:
        """Something showed that it may be wrong."""
        return not self.success or any(state != "recovered" for state in self.states)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the draw is given of one trace."""

    decision: Decision
    modes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A verdict, as the store's frame carries it."""

    verdict: str
    reviewer: str = "scripted reviewer"
    mode: str | None = None
    hand_picked: bool = False
    phase: str = ""
    finished_ns: int = NOW_NS


# --- the traffic ---------------------------------------------------------------------------------


def record(path: Path, ended: Path | None = None) -> None:
    """Keep what the service knew of the demo's traces, and the truth.

    Args:
        path: the file to write.
        ended: data folder of a demo that has ended; None runs the demo.
    """
    if ended is None:
        with tempfile.TemporaryDirectory() as folder:
            demo = ROOT / "examples" / "support_bot" / "run.py"
            subprocess.run(
                [sys.executable, str(demo), "--data", folder], check=True, stdout=subprocess.DEVNULL
            )
            record(path, Path(folder))
        return
    lines = (ended / "truth.jsonl").read_text("utf-8").splitlines()
    right = {row["trace_id"]: row["right"] for row in map(json.loads, lines)}
    with open_store(ended) as store:
        rows = store.frame()
    answers = [
        Answer(
            row.trace_id,
            row.workflow,
            row.release,
            round(row.risk, 6),
            row.reported_success,
            row.modes,
            row.states,
            dict(row.outcomes),
            right[row.trace_id],
        )
        for row in rows
    ]
    text = ",\n".join(json.dumps(asdict(answer)) for answer in answers)
    path.write_text(f"[\n{text}\n]\n", "utf-8")


def read_traffic(path: Path) -> list[Answer]:
    """The recorded traces."""
    rows = json.loads(path.read_text("utf-8"))
    return [
        Answer(**{**row, "modes": tuple(row["modes"]), "states": tuple(row["states"])})
        for row in rows
    ]


# --- one repetition ------------------------------------------------------------------------------


class Source:
    """What a store would give the report after one draw and its reviews."""

    def __init__(self, answers: Sequence[Answer], salt: str, reviews: float) -> None:
        settings = SampleSettings(reviews_per_day=reviews, window_seconds=86_400)
        sampler = Sampler(settings, salt)
        candidates = [
            Candidate(
                sampler.candidate(
                    Trace(a.trace_id, (), workflow=a.workflow, release=a.release),
                    [
                        Finding(mode, state, "", "")  # type: ignore[arg-type]
                        for mode, state in zip(a.modes, a.states, strict=True)
                    ],
                    a.risk,
                    NOW_NS,
                ),
                tuple(sorted(set(a.modes))),
            )
            for a in answers
        ]
        self.answers = answers
        self.strata = [c.decision.stratum for c in candidates]
        arms = sampler.draw(candidates, {}).arms
        self.arms = [arms[a.trace_id] for a in answers]
        self.pi = [1.0 - math.prod(1.0 - arm.probability for arm in each) for each in self.arms]
        self.selected = [any(arm.selected for arm in each) for each in self.arms]

    def truth_of(self, stratum: str) -> float:
        """The share of right answers in a stratum."""
        pairs = zip(self.answers, self.strata, strict=True)
        return float(np.mean([a.right for a, held in pairs if held == stratum]))

    def shadow_marks(self) -> list[tuple[str, str, str]]:
        """No candidate ran."""
        return []

    def orphan_count(self) -> int:
        """No outcomes here."""
        return 0

    def meta_get(self, name: str, default: str | None = None) -> str | None:
        """Neither benchmark nor truth."""
        del name
        return default

    def frame_parts(
        self, since_ns: int | None = None, until_ns: int | None = None, *, rows: int = 20_000
    ) -> Iterator[FramePart]:
        """All in one part."""
        del rows
        yield FramePart(self.frame_columns(since_ns, until_ns))

    def frame_columns(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> dict[str, list[Any]]:
        """As `Store.frame_columns`; everything that was drawn has been reviewed."""
        del since_ns, until_ns
        count = len(self.answers)
        return {
            "trace_id": [a.trace_id for a in self.answers],
            "workflow": [a.workflow for a in self.answers],
            "release": [a.release for a in self.answers],
            "stratum": self.strata,
            "conversation_id": [None] * count,
            "user_id": [None] * count,
            "start_ns": [NOW_NS] * count,
            "end_ns": [NOW_NS] * count,
            "reported_success": [a.success for a in self.answers],
            "risk": [a.risk for a in self.answers],
            "modes": [a.modes for a in self.answers],
            "states": [a.states for a in self.answers],
            "arms": self.arms,
            "pi": self.pi,
            "selected": self.selected,
            "reviews": [
                (Mark("right" if a.right else "wrong"),) if chosen else ()
                for a, chosen in zip(self.answers, self.selected, strict=True)
            ],
            "outcomes": [a.outcomes for a in self.answers],
            "outcome_labels": [{} for _ in range(count)],
            "outcome_times": [dict.fromkeys(a.outcomes, NOW_NS) for a in self.answers],
        }


def numbers(source: Source) -> dict[str, Estimate]:
    """The report's estimates whose coverage is counted."""
    settings = ReportSettings(level=LEVEL, minimum_n=10)
    made = summary(source, now_ns=NOW_NS + 1, settings=settings)
    return {
        "right answers": made.fidelity,
        "silent failures": made.silent_failure,
        **{f"right, {line.workflow}": line.fidelity for line in made.workflows},
    }


# --- what came of it -----------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Over the seeds: estimates with their intervals, against one truth."""

    truth: float
    values: list[float]
    held: int = 0
    width: float = 0.0
    absent: int = 0

    def add(self, made: Estimate) -> None:
        """Count one seed's estimate."""
        if made.estimate is None or made.low is None or made.high is None:
            self.absent += 1
            return
        self.values.append(made.estimate)
        self.held += made.low - 1e-9 <= self.truth <= made.high + 1e-9
        self.width += (made.high - made.low) / 2

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the truth."""
        return self.held / len(self.values)


def z_of(values: Sequence[float], truth: float) -> tuple[float, float]:
    """Mean error, and how many standard errors of the mean it is from none."""
    errors = np.asarray(values) - truth
    spread = float(errors.std(ddof=1)) / math.sqrt(len(errors))
    mean = float(errors.mean())
    return mean, mean / spread if spread > 1e-12 else 0.0 if abs(mean) < 1e-9 else math.inf


def shares(source: Source) -> dict[str, float]:
    """Each stratum's share of right answers by Horvitz–Thompson: Σ y/π of what was reviewed, by N.

    Unbiased by construction when, and only when, the probabilities are what they claim to be.
    """
    total: dict[str, float] = {}
    size: Counter[str] = Counter(source.strata)
    for answer, stratum, pi, chosen in zip(
        source.answers, source.strata, source.pi, source.selected, strict=True
    ):
        total[stratum] = total.get(stratum, 0.0) + (answer.right / pi if chosen else 0.0)
    return {stratum: total[stratum] / size[stratum] for stratum in sorted(total)}


def repeat(
    answers: Sequence[Answer], seeds: int, reviews: float
) -> tuple[dict[str, Tally], dict[str, Tally], list[int]]:
    """Draw and review again and again.

    Returns:
        What came of each number, and of each stratum's share; how many reviews each seed took.
    """
    truths = truths_of(answers)
    results: dict[str, Tally] = {}
    strata: dict[str, Tally] = {}
    counts = []
    for seed in range(seeds):
        source = Source(answers, f"seed {seed}", reviews)
        counts.append(sum(source.selected))
        for name, made in numbers(source).items():
            results.setdefault(name, Tally(truths[name], [])).add(made)
        for name, share in shares(source).items():
            strata.setdefault(name, Tally(source.truth_of(name), [])).values.append(share)
    return results, strata, counts


def truths_of(answers: Sequence[Answer]) -> dict[str, float]:
    """The truth of each number."""
    found = {
        "right answers": float(np.mean([a.right for a in answers])),
        "silent failures": float(np.mean([not a.right and not a.loud for a in answers])),
    }
    for name in sorted({a.workflow for a in answers}):
        found[f"right, {name}"] = float(np.mean([a.right for a in answers if a.workflow == name]))
    return found


def table(
    results: dict[str, Tally], strata: dict[str, Tally], sizes: Counter[str]
) -> tuple[str, bool]:
    """The findings as text, and whether all is as it should be."""
    lines = [f"{'number':<34}{'truth':>8}{'mean':>8}{'z':>7}{'± half':>8}{'covered':>9}"]
    good = True
    for name, tally in results.items():
        mean, z = z_of(tally.values, tally.truth)
        main = name in {"right answers", "silent failures"}
        holds = COVERAGE[0] <= tally.coverage <= COVERAGE[1]
        good &= holds or not main
        absent = f"  ({tally.absent} × insufficient data)" if tally.absent else ""
        lines.append(
            f"{name:<34}{tally.truth:>8.1%}{tally.truth + mean:>8.1%}{z:>7.2f}"
            f"{tally.width / len(tally.values):>8.1%}{tally.coverage:>9.1%}"
            f"{'' if holds else '  !'}{absent}"
        )
    lines.append("")
    lines.append(f"{'stratum':<42}{'traces':>7}{'truth':>8}{'mean':>8}{'z':>7}")
    for name, tally in strata.items():
        mean, z = z_of(tally.values, tally.truth)
        good &= abs(z) <= BIAS_Z
        lines.append(
            f"{name:<42}{sizes[name]:>7}{tally.truth:>8.1%}{tally.truth + mean:>8.1%}{z:>7.2f}"
            f"{'' if abs(z) <= BIAS_Z else '  ! biased'}"
        )
    return "\n".join(lines), good


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--reviews", type=float, default=40)
    parser.add_argument("--record", action="store_true", help="run the demo, record its traffic")
    parser.add_argument("--from", dest="ended", type=Path, help="… from a demo that has ended")
    parser.add_argument("--traffic", type=Path, default=TRAFFIC)
    chosen = parser.parse_args()
    if chosen.record or chosen.ended or not chosen.traffic.exists():
        record(chosen.traffic, chosen.ended)
    answers = read_traffic(chosen.traffic)
    results, strata, counts = repeat(answers, chosen.seeds, chosen.reviews)
    sizes = Counter(Source(answers, "sizes", chosen.reviews).strata)
    text, good = table(results, strata, sizes)
    print(
        f"{len(answers)} answers, {chosen.seeds} seeds, {np.mean(counts):.1f} reviews each "
        f"({min(counts)}–{max(counts)})\n\n{text}\n"
    )
    low, high = COVERAGE
    print("holds" if good else "does not hold", f": coverage {low:.0%}–{high:.0%}, |z| ≤ {BIAS_Z}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
