"""The page docs/bench-sdk.md, from the results of `make bench-sdk`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["page", "tables"]

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "sdk_results.json"

_HEAD = """# What the SDK costs
{made}

Measured by `make bench-sdk`, which installs each peer in an environment of its own and runs all in
one go, contenders in turns, each figure in a process of its own. Your machine gives other numbers:
**trust the ratios**, and run it yourself.
"""

_CALLS = """## A decorated call

200 characters in, 500 out, or a generator of 20 chunks; µs of the process's CPU over the
undecorated call, handing on to an exporter that discards included, on one core. In brackets: times
the raw OpenTelemetry SDK, which writes the same two attributes already serialised. *Unsampled* is a
sampler that says no; *disabled* is the library's own off switch (the raw SDK: its no-op tracer).
*Import* is ms over a bare interpreter; ours (and langsmith) load the rest when first used. *p99*
is of a call under eight threads, in µs over the undecorated call's.
"""

_EXPORT = """## Sending

Spans of 18 attributes and 3 KB, over OTLP/HTTP to a sink in another process; the raw SDK with the
stock exporter. Ours redacts secrets on the way, which the stock exporter does not.
"""

_SHADOW = """## A shadow candidate beside the incumbent

The 99th percentile of an incumbent that takes 1 ms (on an idle machine), every call shadowed.
"""

_NAMES = {"raw": "raw OpenTelemetry SDK", "ours": "**fidelity_otel**"}
_COLUMNS = ("sync", "async", "generator", "unsampled", "disabled", "threads_p99", "import")
_TITLES = {"threads_p99": "p99, 8 threads", "import": "import, ms"}

Figures = dict[str, float]


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _rows(rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:], ""]


def _cell(figures: Figures, raw: Figures, case: str, *, is_raw: bool) -> str:
    if case not in figures:
        return "–"
    value = _number(figures[case])
    if is_raw or not raw.get(case):
        return value
    return f"{value} (×{figures[case] / raw[case]:.2f})"


def tables(results: dict[str, Any]) -> list[str]:
    """The figures, as lines of Markdown.

    Args:
        results: what `benchmarks/sdk.py` has measured.
    """
    figures: dict[str, Figures] = results["figures"]
    raw, ours = figures["raw"], figures["ours"]
    rows = [["", *(_TITLES.get(case, case) for case in _COLUMNS)]]
    for name, found in figures.items():
        version = results["versions"].get(name)
        title = _NAMES.get(name, name) + (f" {version}" if version else "")
        rows.append([title, *(_cell(found, raw, case, is_raw=name == "raw") for case in _COLUMNS)])
    sending = [
        ("process CPU a span, µs", "export"),
        ("longest call while it sends, ms", "stall"),
        ("memory after a million spans, MB more", "memory"),
    ]
    lines = [_CALLS, *_rows(rows), _EXPORT]
    lines += _rows(
        [
            ["", _NAMES["raw"], _NAMES["ours"], "ratio"],
            *(
                [
                    title,
                    _number(raw[c]),
                    _number(ours[c]),
                    f"{ours[c] / raw[c]:.2f}" if raw[c] else "–",
                ]
                for title, c in sending
            ),
        ]
    )
    lines += [
        _SHADOW,
        *_rows(
            [
                ["", "p99, ms"],
                ["no shadow", _number(ours["shadow_none"] / 1000)],
                ["a candidate that answers", _number(ours["shadow_answers"] / 1000)],
                ["a candidate that hangs", _number(ours["shadow_hangs"] / 1000)],
            ]
        ),
    ]
    return lines


def page(made: str) -> str:
    """The page.

    Args:
        made: the remark that says where the page comes from.
    """
    results = json.loads(RESULTS.read_text())
    end = f"Medians of {results['rounds']} rounds: {results['machine']}, with other work beside."
    return "\n".join([_HEAD.format(made=made), *tables(results), end]) + "\n"
