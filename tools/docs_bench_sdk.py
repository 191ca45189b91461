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
is of a call that waits 0.2 ms under eight threads, in µs over the undecorated call's in turns with
it. A contender that had to drop more than 1% of its spans to be as fast as it is, has a note.
"""

_EXPORT = """## Sending

Spans of 18 attributes and 3 KB, over OTLP/HTTP to a sink in another process; the raw SDK with the
stock exporter. Ours redacts secrets on the way, which the stock exporter does not. *Longest call*:
the median of five lots of 4,000 calls. *Memory* is of decorated calls, a queue and its thread.
"""

_SHADOW = """## A shadow candidate beside the incumbent

An incumbent that waits 1 ms, every call shadowed: 21 rounds of 400 calls each without a shadow,
with a candidate that answers at once, and with one that hangs, in turns in one process. The ratio
is of the 99th percentile to that of the same round without a shadow: median (quartiles of rounds).
"""

_NAMES = {"raw": "raw OpenTelemetry SDK", "ours": "**fidelity_otel**"}
_COLUMNS = ("sync", "async", "generator", "unsampled", "disabled", "threads_p99", "import")
_TITLES = {"threads_p99": "p99, 8 threads", "import": "import, ms"}

_WORTH_A_NOTE = 0.01

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


def _shadow(found: Figures, case: str) -> list[str]:
    low, ratio, high = (found[f"{case}_{part}"] for part in ("low", "ratio", "high"))
    spread = f"{ratio:.2f} ({low:.2f} to {high:.2f})" if low < high else "1"
    return [f"{found[f'{case}_median'] / 1000:.2f}", f"{found[case] / 1000:.2f}", spread]


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
    lost = [
        f"{name} lost {share:.0%} of its spans in *{title.removesuffix('_lost')}*"
        for name, found in figures.items()
        for title, share in found.items()
        if title.endswith("_lost") and share > _WORTH_A_NOTE
    ]
    sending = [
        ("process CPU a span, µs", "export"),
        ("longest call while it sends, ms", "stall"),
        ("memory after a million spans, MB more", "memory"),
        ("most memory meanwhile, MB more", "memory_peak"),
    ]
    lines = [_CALLS, *_rows(rows)]
    lines += [f"Dropped: {'; '.join(lost)}.", ""] if lost else []
    lines.append(_EXPORT)
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
                ["", "median, ms", "p99, ms", "p99, ratio"],
                ["no shadow", *_shadow(ours, "shadow_none")],
                ["a candidate that answers", *_shadow(ours, "shadow_answers")],
                ["a candidate that hangs", *_shadow(ours, "shadow_hangs")],
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
