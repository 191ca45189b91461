"""Planted errors are caught: the battery passes on the package and fails on every mutant."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fidelity_otel

sys.path.insert(0, str(Path(__file__).parent))
from battery import CHECKS

ROOT = Path(fidelity_otel.__file__).parent
SAMPLE = {"priority", "allocate"}

MUTANTS: list[tuple[str, str, str, str]] = [
    ("weights", "z = y / pi\n", "z = y\n", "weights dropped"),
    ("weights", "((1.0 - pi) * z * z).sum() / N**2", "(z * z).sum() / N**2", "finite-population factor dropped"),
    ("weights", "n / (n - 1) * ((1.0 - pi)", "1.0 * ((1.0 - pi)", "n for n − 1"),
    ("weights", "w.sum() ** 2 / (w * w).sum()", "w.sum() / (w * w).sum()", "Kish without the square"),
    ("weights", "left = left * (1.0 -", "left = left - (1.0 -", "arms added instead of multiplied"),
    ("moments", "a = (1.0 - pi) * w * w", "a = w * w", "no finite-population correction"),
    ("moments", "a = (1.0 - pi) * w * w", "a = (1.0 - pi) * w", "variance with w for w²"),
    ("moments", "wy=total(w * y)", "wy=total(y)", "unweighted mean"),
    ("combine", "share**2 * leverage(moments)", "share * leverage(moments)", "W for W²"),
    ("combine", "share**2 * leverage(moments)", "share**2", "n for n − 1 in strata"),
    ("combine", "(frame_m - mean_m)", "(mean_m - frame_m)", "rectifier with the wrong sign"),
    ("combine", "- 2.0 * lam_h * moments.aym", "+ 2.0 * lam_h * moments.aym", "covariance with the wrong sign"),
    ("combine", "+ mean_r**2 * moments.a", "- mean_r**2 * moments.a", "centring with the wrong sign"),
    ("combine", "power * keep * trust", "power", "λ neither shrunk nor ramped"),
    ("combine", "variance**2 / np.where", "variance / np.where", "Satterthwaite without the square"),
    ("limits", "tail = (1.0 - level) / 2.0", "tail = 1.0 - level", "one-sided level"),
    ("limits", "+ (unit * (1.0 - mean)) ** 2", "", "added unit without spread"),
    ("limits", "guard * special.betaincc(a1, b1", "(1.0 - guard) * special.betaincc(a1, b1", "guard on the wrong side"),
    ("limits", "variance * wider**2", "variance", "no degrees of freedom"),
    ("cluster", "* m / max(m - 1, 1)", "", "m for m − 1 clusters"),
    ("cluster", "z * z).sum()", "z).sum()", "design effect from sums"),
    ("cluster", ".sum()) - 1.0\n", ".sum())\n", "m for m − 1 degrees of freedom"),
    ("cluster", "(1.0 - similarity) * squares", "0.0", "degrees of freedom of clusters all alike"),
    ("cluster", "(spread**2).sum() - spread.sum()", "(spread**2).sum() + spread.sum()", "few"),
    ("calibrate", "_isotonic(bins[rest], sign * y[rest], w[rest], values)", "_isotonic(bins, sign * y, w, values)", "calibrated on a row's own label"),
    ("calibrate", "else float(np.sign(both))", "else 1.0", "falling predictions taken as rising"),
    ("frame", "self.counts.sum(axis=1)", "self.counts.sum()", "frame mean over all strata"),
    ("ppi", "(1.0 + n / N)", "(1.0 - n / N)", "λ with the wrong sign"),
    ("ppi", "lam**2 * np.var(f_unlabelled)", "lam * np.var(f_unlabelled)", "λ for λ²"),
    ("response", "np.where(answered, pi * rate[code]", "np.where(answered, pi / rate[code]", "weights divided by non-response"),
    ("sequence", "alpha = (1.0 - level) / 2.0", "alpha = (1.0 - level) * 9.0", "wealth threshold too low"),
    ("sequence", "x[part] - mean", "x[part] - mean / 2.0", "unfair bets"),
    ("change", "np.log((1.0 - p1) / (1.0 - p0))", "np.log((1.0 - p0) / (1.0 - p1))", "likelihood ratio upside down"),
    ("change", "/ (1.0 - p0) - 1.0", "/ (1.0 - p0) - 0.9", "e-value with expectation above 1"),
    ("survival", "1.0 - deaths / risk", "1.0 - deaths / (risk + 1.0)", "too many at risk"),
    ("survival", "(risk * left)", "(risk * risk)", "Greenwood with n² for n(n − d)"),
    ("agreement", "(items - 1.0) / items", "1.0 / items", "jackknife without n − 1"),
    ("agreement", "/ (categories - 1.0)", "/ categories", "AC1 with q for q − 1"),
    ("agreement", "n_c, apart, n_c) / np.maximum(n - 1.0, 1.0)", "n_c, apart, n_c) / n", "α with n for n − 1"),
    ("paired", "2.0 * tail - at", "2.0 * tail - 2.0 * at", "mid-p taken twice"),
    ("paired", "added = n_star + 2.0", "added = n_star", "Agresti–Min without its pairs"),
    ("ratio", "y - value * x", "y - value", "ratio residual without its denominator"),
    ("difference", "(x - l_x) ** 2 + (u_y - y) ** 2", "(u_x - x) ** 2 + (u_y - y) ** 2", "MOVER with the wrong bound"),
    ("misclassification", "(q + sp - 1.0) / power", "q / power", "Rogan–Gladen without sp − 1"),
    ("misclassification", "1.0 - 2.0 * d", "1.0 - d", "error rate from d for 2d"),
    ("dawid_skene", "prevalence = posterior.mean(axis=0)\n        said_when", "said_when", "prevalence never updated"),
    ("dawid_skene", "confusion.sum(axis=2", "confusion.sum(axis=1", "confusion normalised by column"),
    ("plan", "z_power = normal_quantile(level), float(special.ndtri(power))", "z_power = normal_quantile(level), 0.0", "power ignored"),
    ("many", "np.arange(rows)[:, None] * cells", "np.arange(rows)[:, None] * 0", "labels poured together"),
    ("strata", "_totals(code, units, cells)", "n.astype(np.float64)", "sample sizes as frame sizes"),
    ("strata", "_totals(code, units, cells)", "_totals(code, np.ones_like(units), cells)", "rows counted as units"),
    ("frame", "weights=units, ", "", "predictions of rows, not of units"),
    ("head", "units - 1.0", "units", "kept requests counted as dropped"),
    ("head", "- (z / u) ** 2", "", "spread within strata counted twice"),
    ("estimate", "combined.variance + more", "combined.variance", "sizes of strata taken as known"),
    ("priority", "rank < k, ranked[k], ranked[k - 1]", "rank < k, ranked[k - 1], ranked[k - 1]", "τ off by one"),
    ("priority", "pi = pi + fraction * _given_k", "pi = pi + 0.0 * _given_k", "rounding left out of π"),
    ("priority", "key=salt[:64], ", "", "salt left out of the hash"),
    ("allocate", "counts[n] * weight[n]", "weight[n]", "Neyman without N"),
    ("allocate", "c * rate[n] - given[n]", "c * rate[n]", "discovery's reviews paid twice"),
]  # fmt: skip


def copied(folder: Path, name: str, module: str = "", old: str = "", new: str = "") -> None:
    """A copy of the statistics and the sampler as one package, with one error planted."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    files = sorted((ROOT / "stats").glob("*.py"))
    files += [ROOT / "processor" / "sample" / f"{m}.py" for m in SAMPLE]
    for file in files:
        if file.stem == "__init__":
            continue
        text = file.read_text()
        if file.stem == module:
            assert text.count(old) >= 1, f"{module}: {old!r} is no longer there: mend this test"
            text = text.replace(old, new)
        text = text.replace("fidelity_otel.stats.", f"{name}.")
        (package / file.name).write_text(
            text.replace("fidelity_otel.processor.sample.", f"{name}.")
        )


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Callable[..., Callable[[str], Any]]]:
    sys.path.insert(0, str(tmp_path))
    made: list[str] = []

    def make(*mutant: str) -> Callable[[str], Any]:
        name = f"mutant_{tmp_path.name.replace('-', '_')}_{len(made)}"
        made.append(name)
        copied(tmp_path, name, *mutant)
        importlib.invalidate_caches()
        return lambda module: importlib.import_module(f"{name}.{module}")

    yield make
    sys.path.remove(str(tmp_path))
    for name in [m for m in sys.modules if m.split(".")[0] in made]:
        del sys.modules[name]
    shutil.rmtree(tmp_path, ignore_errors=True)


def failures(load: Callable[[str], Any]) -> list[str]:
    """Names of the checks that fail; errors count, as a mutant may crash."""
    failed = []
    for check in CHECKS:
        try:
            check(load)
        except Exception:  # any failure counts
            failed.append(check.__name__)
            break
    return failed


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_the_package_passes(check) -> None:
    def load(module: str) -> Any:
        room = "processor.sample" if module in SAMPLE else "stats"
        return importlib.import_module(f"fidelity_otel.{room}.{module}")

    check(load)


def test_an_unchanged_copy_passes(planted) -> None:
    assert failures(planted()) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mutant", MUTANTS, ids=[m[3] for m in MUTANTS])
def test_planted_error_is_caught(planted, mutant) -> None:
    assert failures(planted(*mutant[:3])), f"nothing noticed: {mutant[3]}"
