"""What instrumentation costs the application: ours beside raw OpenTelemetry and six peers.

    .venv/bin/python benchmarks/sdk.py                  # all; the peers are installed at first
    .venv/bin/python benchmarks/sdk.py --peers none     # ours and the raw SDK
    .venv/bin/python benchmarks/sdk.py --record         # also write docs/bench-sdk.md

Every figure is measured in a process of its own, contenders in turns, so that a noisy machine
harms all of them alike; trust the ratios. A call costs what the process spends on it, the thread
that hands spans on included, pinned to one core. The raw SDK is given what ours has to work out:
it writes the same two attributes, already serialised.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import sdk_peers

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "sdk_results.json"
CALLS = ("sync", "async", "generator", "unsampled", "disabled")
ONLY_OURS = ("shadow",)
RAW_AND_OURS = ("export", "memory")
SETTINGS = (
    *("OTEL_", "FIDELITY_", "LANGFUSE_", "LANGSMITH_", "LANGCHAIN_", "LOGFIRE_", "MLFLOW_"),
    "TRACELOOP_",
)
CASES = (*CALLS, "threads_p99", "import", *RAW_AND_OURS, *ONLY_OURS)
ONCE = {"import", "memory", "shadow"}  # they repeat themselves, or take minutes


def measure(python: str, contender: str, case: str) -> dict[str, float]:
    """The figures of one case, measured by a process of its own; none where they cannot be had."""
    said = run(python, contender, case)
    return {} if said is None else json.loads(said)


def run(python: str, contender: str, case: str) -> str | None:
    """The last line that a measuring process says."""
    ran = subprocess.run(
        [python, str(HERE / "sdk_measure.py"), contender, case],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)},
    )
    if ran.returncode:
        sys.stderr.write(f"{contender} {case}: {ran.stderr.strip().splitlines()[-1:]}\n")
        return None
    return ran.stdout.splitlines()[-1]


def contenders_of(case: str, names: list[str]) -> list[str]:
    """Who is measured in a case."""
    if case in ONLY_OURS:
        return ["ours"]
    if case in RAW_AND_OURS:
        return ["raw", "ours"]
    return [name for name in names if case in CALLS or name != "nothing"]


def measured(
    pythons: dict[str, str], rounds: int, cases: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """The medians of the figures, by contender and title; calls over the undecorated call."""
    seen: dict[str, dict[str, list[float]]] = {name: {} for name in pythons}
    for case in cases:
        for _ in range(1 if case in ONCE else rounds):
            for name in contenders_of(case, list(pythons)):
                for title, figure in measure(pythons[name], name, case).items():
                    seen[name].setdefault(title, []).append(figure)
        sys.stderr.write(f"{case} measured\n")
    middle = {n: {c: statistics.median(f) for c, f in found.items()} for n, found in seen.items()}
    bare = middle.pop("nothing")
    for figures in middle.values():
        for case in CALLS:
            if case in figures:
                figures[case] = max(figures[case] - bare[case], 0.0)
    return middle


def main() -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choices = ", ".join(sdk_peers.PEERS)
    parser.add_argument("--peers", default="all", help=f"all, none, or some of {choices}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="write docs/bench-sdk.md")
    parser.add_argument("--only", nargs="+", choices=CASES, help="keep the other recorded figures")
    options = parser.parse_args()
    everyone = {"all": list(sdk_peers.PEERS), "none": []}
    wanted = everyone.get(options.peers, options.peers.split(","))
    pythons = dict.fromkeys(("nothing", "raw", "ours"), sys.executable)
    versions: dict[str, str | None] = {"raw": run(sys.executable, "raw", "version")}
    for name in wanted:
        try:
            pythons[name] = str(sdk_peers.environment(name))
        except RuntimeError as error:
            sys.stderr.write(f"{error}\n")
            continue
        versions[name] = run(pythons[name], name, "version")
    results: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "rounds": options.rounds,
        "versions": versions,
        "figures": measured(pythons, options.rounds, tuple(options.only or CASES)),
    }
    if options.only and RESULTS.exists():
        kept = json.loads(RESULTS.read_text())
        before, fresh = kept["figures"], results["figures"]
        results["versions"] = {**kept["versions"], **versions}
        results["figures"] = {n: {**before.get(n, {}), **fresh.get(n, {})} for n in before | fresh}
    if options.record:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    sys.path.insert(0, str(HERE.parent / "tools"))
    import docs_bench_sdk
    import make_docs

    print("\n".join(docs_bench_sdk.tables(results)))
    if options.record:
        make_docs.main([])


if __name__ == "__main__":
    main()
