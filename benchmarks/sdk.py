"""What instrumentation costs the application: ours beside raw OpenTelemetry, and peers if asked.

    .venv/bin/python benchmarks/sdk.py                 # ours and the raw SDK, a minute or two
    .venv/bin/python benchmarks/sdk.py --peers all     # installs the peers, each in its own venv
    .venv/bin/python benchmarks/sdk.py --json out.json

Every figure is measured in a process of its own, pinned to one core, contenders in turns, so that a
noisy machine harms all of them alike; trust the ratios. The raw SDK is given what ours has to work
out: it writes the same two attributes, already serialised.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = ("sync", "async", "generator", "unsampled", "disabled")
PEERS = {
    "traceloop": ["traceloop-sdk", "httpx"],
    "openinference": ["openinference-instrumentation", "opentelemetry-sdk"],
    "langfuse": ["langfuse"],
    "logfire": ["logfire"],
    "mlflow": ["mlflow"],
    "langsmith": ["langsmith[otel]"],
}


def measure(python: str, contender: str, case: str) -> float | None:
    """One figure, measured by a process of its own; None where it cannot be had."""
    ran = subprocess.run(
        [python, str(HERE / "sdk_measure.py"), contender, case],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "FIDELITY_"))},
    )
    if ran.returncode:
        sys.stderr.write(f"{contender} {case}: {ran.stderr.strip().splitlines()[-1:]}\n")
        return None
    return float(ran.stdout.split()[-1])


def environment(name: str, folder: Path) -> str | None:
    """A fresh environment with one peer; None where it cannot be installed."""
    home = folder / name
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = home / "bin" / "python"
    ran = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PEERS[name]],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        sys.stderr.write(f"{name} cannot be installed: {ran.stderr.strip()[-300:]}\n")
        return None
    return str(python)


def table(results: dict[str, dict[str, float]], cases: list[str]) -> str:
    """The figures as a table in Markdown."""
    lines = ["| | " + " | ".join(cases) + " |", "|---" * (len(cases) + 1) + "|"]
    for contender, figures in results.items():
        cells = [f"{figures[c]:.2f}" if c in figures else "–" for c in cases]
        lines.append(f"| {contender} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default="", help="names or 'all': " + ", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    peers = list(PEERS) if options.peers == "all" else [p for p in options.peers.split(",") if p]
    extra = ["import", "export", "stall", "threads_p99", "memory"]
    with tempfile.TemporaryDirectory() as folder:
        pythons: dict[str, str] = {"raw": sys.executable, "ours": sys.executable}
        for name in peers:
            python = environment(name, Path(folder))
            if python is not None:
                pythons[name] = python
        seen: dict[str, dict[str, list[float]]] = {name: {} for name in pythons}
        for case in ["nothing", *CASES, *extra]:
            for _ in range(options.rounds):
                for name, python in pythons.items():
                    if case in extra[1:] and name not in {"raw", "ours"}:
                        continue
                    figure = measure(python, name, case)
                    if figure is None:
                        break
                    seen[name].setdefault(case, []).append(figure)
    middle = {n: {c: statistics.median(f) for c, f in found.items()} for n, found in seen.items()}
    for figures in middle.values():
        base = figures.pop("nothing", 0.0)
        for case in CASES:
            if case in figures:
                figures[case] = max(figures[case] - base, 0.0)
    print("µs a call over the undecorated call; import in ms over a bare interpreter\n")
    print(table(middle, [*CASES, "import"]))
    print(
        "\nexport: process CPU in µs a span of 18 attributes and 3 KB, OTLP/HTTP to a local sink\n"
        "stall: longest call in ms while it exports; threads_p99: µs a call, 8 threads\n"
        "memory: MB more after 200,000 spans\n"
    )
    print(table({n: middle[n] for n in ("raw", "ours")}, extra[1:]))
    raw, ours = middle["raw"], middle["ours"]
    print("\nours / raw: " + ", ".join(f"{c} {ours[c] / raw[c]:.2f}" for c in raw if raw[c]))
    if options.json:
        options.json.write_text(json.dumps(middle, indent=1))


if __name__ == "__main__":
    main()
