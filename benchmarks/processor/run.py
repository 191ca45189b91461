"""`make bench-processor`: what the processor costs, beside the real Collector in the same run.

    python benchmarks/processor/run.py                      everything, about sixteen minutes
    python benchmarks/processor/run.py --quick              one short round, about four
    python benchmarks/processor/run.py --only throughput --protocols grpc --systems fidelity

Trust the ratios: they are of medians of the same run, with the rounds of all systems interleaved.
CPU is that of the whole service, until everything that was sent has been decided, divided by the
acknowledged spans. `fidelity` stores every trace; `fidelity-keep` those in which it found something
and one in a hundred of the others (`sample.keep_share`), which is what the yardstick lets through.
The service runs on the cores of `--cores`, the load generator on `--load-core`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measure
from measure import Row
from systems import SYSTEMS, Service, UnavailableError

MEASUREMENTS = ("throughput", "latency", "memory", "restart", "store", "stages")
YARDSTICK, OURS = "tail_sampling", "fidelity"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    """One run: what was chosen, and the rows that were measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        cores = frozenset(int(core) for core in options.cores.split(","))
        self.service = Service(cores=cores, wait=options.wait, directory=options.folder)
        if options.command:
            self.service.command = options.command.split()
        self.rows: dict[str, list[Row]] = {}
        self.missing: list[str] = []

    def attempt(self, kind: str, label: str, step: Callable[[], Row]) -> Row | None:
        """Measure once; a system that can't be measured is named and left out."""
        say(f"… {kind}: {label}")
        try:
            row = step()
        except (UnavailableError, ImportError) as error:
            self.missing.append(f"{kind}, {label}: {error}")
            say(f"  not measured: {error}")
            return None
        self.rows.setdefault(kind, []).append(row)
        return row

    def throughput(self) -> None:
        o = self.options
        for round_ in range(o.repeats):
            for protocol in o.protocols:
                for name in o.systems:
                    self.attempt(
                        "throughput",
                        f"{name}, {protocol}, round {round_ + 1} of {o.repeats}",
                        lambda name=name, protocol=protocol: measure.throughput(  # type: ignore[misc]
                            name, protocol, self.service, seconds=o.seconds, core=o.load_core
                        ),
                    )

    def latency(self) -> None:
        o = self.options
        for protocol in o.protocols:
            for name in o.systems:
                rows = self.rows.get("throughput", ())
                full = _median(rows, name, protocol, "sustained_per_second")
                rate = o.rate or (full or 20_000) / 2
                self.attempt(
                    "latency",
                    f"{name}, {protocol}, {rate:,.0f} spans/s",
                    lambda name=name, protocol=protocol, rate=rate: measure.latency(  # type: ignore[misc]
                        name, protocol, self.service, seconds=o.seconds, core=o.load_core, rate=rate
                    ),
                )

    def memory(self) -> None:
        o = self.options
        for name in o.systems:
            if name != "pass-through":
                self.attempt(
                    "memory",
                    f"{name}, {o.memory_rate:,.0f} spans/s, wait {o.memory_wait:g} s",
                    lambda name=name: measure.memory(  # type: ignore[misc]
                        name, self.service, core=o.load_core, rate=o.memory_rate, wait=o.memory_wait
                    ),
                )

    def restart(self) -> None:
        o = self.options
        if OURS in o.systems:
            self.attempt(
                "restart",
                f"{o.waiting:,} waiting spans",
                lambda: measure.restart(self.service, core=o.load_core, waiting=o.waiting),
            )

    def store(self) -> None:
        def step() -> Row:
            from storing import storing

            return dict(storing(self.options.traces, folder=self.options.folder))

        for _ in range(self.options.repeats):
            self.attempt("store", f"{self.options.traces:,} traces of 30 KB", step)

    def stages(self) -> None:
        def step() -> Row:
            from stages import stages

            return dict(stages(self.options.repeats))

        self.attempt("stages", "µs a span, step by step, in one process", step)


def _values(rows: Sequence[Row], name: str, protocol: str, key: str) -> list[float]:
    return [r[key] for r in rows if r["system"] == name and r.get("protocol") == protocol]


def _median(rows: Sequence[Row], name: str, protocol: str, key: str) -> float | None:
    values = _values(rows, name, protocol, key)
    return statistics.median(values) if values else None


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    every = [list(head), *map(list, lines)]
    widths = [max(len(line[column]) for line in every) for column in range(len(head))]

    def row(cells: Sequence[str]) -> str:
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([cells[0].ljust(widths[0]), *rest]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]) + " |"
    return "\n".join([row(head), rule, *map(row, lines)])


def _throughput_table(rows: Sequence[Row]) -> str:
    lines = []
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        base = _median(rows, YARDSTICK, protocol, "spans_per_cpu_second")
        for name in dict.fromkeys(row["system"] for row in rows):
            values = _values(rows, name, protocol, "spans_per_cpu_second")
            if not values:
                continue
            middle = statistics.median(values)
            mine = [r for r in rows if r["system"] == name and r["protocol"] == protocol]
            lines.append(
                (
                    f"{SYSTEMS[name].title}, {protocol}",
                    f"{middle / 1000:.1f}",
                    f"{min(values) / 1000:.1f}-{max(values) / 1000:.1f}",
                    f"{1e6 / middle:.1f}",
                    f"{middle / base:.2f}" if base else "",
                    f"{statistics.median(r['acked_per_second'] for r in mine) / 1000:.1f}",
                    f"{statistics.median(r['memory_mb'] for r in mine):,.0f}",
                    f"{statistics.median(r['drain_seconds'] for r in mine):.0f}",
                    "yes" if all(r["all_decided"] for r in mine) else "NO",
                )
            )
    head = (
        "throughput",
        "kspan/CPU-s",
        "range",
        "µs/span",
        f"× {YARDSTICK}",
        "acked kspan/s",
        "MB at end",
        "drain s",
        "all decided",
    )
    return _table(head, lines)


def _plain_table(kind: str, rows: Sequence[Row]) -> str:
    keys = [key for key in rows[0] if key not in {"system", "protocol"}]
    lines = []
    for row in rows:
        label = " ".join(str(row[key]) for key in ("system", "protocol") if key in row) or kind
        lines.append((label, *(_figure(row.get(key)) for key in keys)))
    return _table((kind, *(key.replace("_", " ") for key in keys)), lines)


def _stages_table(row: Row) -> str:
    return _table(
        ("stage (µs of CPU a span)", "µs"), [(key, f"{value:.2f}") for key, value in row.items()]
    )


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def report(bench: Bench) -> str:
    """The tables of one run, as Markdown."""
    parts = [f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores"]
    for kind in MEASUREMENTS:
        rows = bench.rows.get(kind)
        if not rows:
            continue
        if kind == "throughput":
            parts.append(_throughput_table(rows))
        elif kind == "stages":
            parts.append(_stages_table(rows[0]))
        else:
            parts.append(_plain_table(kind, rows))
    parts += [f"NOT MEASURED: {text}" for text in bench.missing]
    return "\n\n".join(parts)


def _words(choices: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        words = [word for word in text.split(",") if word]
        unknown = set(words) - set(choices)
        if unknown:
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(unknown))}: there are {', '.join(choices)}"
            )
        return words

    return parse


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help="one short round of everything")
    made.add_argument("--only", type=_words(MEASUREMENTS), default=list(MEASUREMENTS))
    made.add_argument("--systems", type=_words(tuple(SYSTEMS)), default=list(SYSTEMS))
    made.add_argument("--protocols", type=_words(("grpc", "http")), default=["grpc", "http"])
    made.add_argument("--repeats", type=int, help="rounds; the median counts (3; quick 1)")
    made.add_argument("--seconds", type=float, help="of load a round (8; quick 4)")
    made.add_argument("--wait", type=float, default=5.0, help="decision wait of all systems, s")
    made.add_argument(
        "--rate",
        type=float,
        help="of the latency rows (half of what can be sustained)",
    )
    made.add_argument("--memory-rate", type=float, default=10_000.0, help="spans a second")
    made.add_argument("--memory-wait", type=float, help="seconds (30; quick 10)")
    made.add_argument("--waiting", type=int, help="spans before the restart (1M; quick 100k)")
    made.add_argument("--traces", type=int, help="stored traces (10k; quick 2k)")
    made.add_argument("--cores", default="0", help="of the service, comma-separated")
    made.add_argument("--load-core", type=int, default=(os.cpu_count() or 1) - 1)
    made.add_argument("--command", help="instead of the `fidelity` beside this Python")
    made.add_argument("--folder", type=Path, help="for data (the system's temporary one)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every row there")
    return made


QUICK = {"repeats": 1, "seconds": 4.0, "memory_wait": 10.0, "waiting": 100_000, "traces": 2000}
FULL = {"repeats": 3, "seconds": 8.0, "memory_wait": 30.0, "waiting": 1_000_000, "traces": 10_000}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen measurements; exit code 1 where one could not be made."""
    options = parser().parse_args(arguments)
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    bench = Bench(options)
    for kind in options.only:
        getattr(bench, kind)()
    print(report(bench))
    if options.json is not None:
        chosen = {key: value for key, value in vars(options).items() if key != "folder"}
        chosen["json"] = str(options.json)
        document = {
            "at": datetime.now(UTC).isoformat(),
            "machine": platform.platform(),
            "python": platform.python_version(),
            "options": chosen,
            "rows": bench.rows,
            "missing": bench.missing,
        }
        options.json.write_text(json.dumps(document, indent=1))
    return 1 if bench.missing else 0


if __name__ == "__main__":
    sys.exit(main())
