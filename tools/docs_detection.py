"""The page docs/detection.md, from the results of `make bench-detect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["page"]

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "detection" / "results.json"

_HEAD = """# How well detection works
{made}

Measured by `make bench-detect` on published data that this project did not write; each set is
turned into OTLP by an adapter in `benchmarks/detection/`. The figures are published as they are.
**Rules miss most wrong answers.** They tell how a system fails and what recovered; how often it
fails only reviews and outcomes tell.
"""

Row = dict[str, Any]


def _table(*rows: tuple[Any, ...]) -> list[str]:
    lines = ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:], ""]


def _share(part: float, whole: float) -> str:
    return f"{part:g} of {whole:g} ({part / whole:.0%})" if whole else "none"


def _area(value: Row) -> str:
    return f"{value['auc']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def _tau(r: Row) -> list[str]:
    wrong, right = r["wrong"], r["right"]
    rows: list[tuple[Any, ...]] = [
        ("mode", f"of {wrong} wrong", f"of {right} right", "per 1,000 right")
    ]
    for m in r["modes"]:
        rows.append((f"`{m['mode']}`", m["wrong"], m["right"], round(1000 * m["right"] / right)))
    rows.append(("any finding", *r["any_finding"], r["false_alarms_per_1000"]))
    opened = r["open_finding"]
    rows.append(("any that was not recovered", *opened, round(1000 * opened[1] / right)))
    lines = [
        f"## τ-bench airline: {r['runs']} GPT-4o runs, {wrong} wrong",
        "",
        (
            f"{r['silent']} of the {wrong} wrong runs show no tool error: they fail silently. Of "
            "those, "
            f"{r['silent_any_finding']} have any finding."
        ),
        "",
        *_table(*rows),
        "Risk against reward, area under the ROC curve (½ = chance), 95% interval over tasks:",
        "",
        *_table(
            ("risk", "AUC"),
            ("prior weights, before any review", _area(r["risk_prior"])),
            ("findings only, cross-fitted by task", _area(r["risk_findings_cross_fitted"])),
            ("findings and cheap features, cross-fitted by task", _area(r["risk_cross_fitted"])),
            ("the same, silent failures against right runs", _area(r["risk_cross_fitted_silent"])),
        ),
        f"The {r['tool_error_runs']} runs with a tool error, by what became of it:",
        "",
        *_table(
            ("state", "right", "wrong"),
            *((x["state"], x["right"], x["wrong"]) for x in r["recovery"]),
        ),
        (
            "A tool error that was got over says little of the outcome: most of those runs are "
            "wrong for "
            "other reasons."
        ),
        "",
    ]
    if "contract" in r:
        c = r["contract"]
        lines += [
            (
                "With a contract that puts the airline's written policy into rules "
                "(`benchmarks/detection/airline.yaml`, written from the policy alone): "
                f"{c['wrong']} of {wrong} wrong and {c['right']} of {right} right runs break it; "
                f"prior risk with it: AUC {_area(c['risk_prior'])}."
            ),
            "",
        ]
    return lines


def _who(r: Row) -> list[str]:
    rows: list[tuple[Any, ...]] = [
        ("runs", "with a finding", "first finding is the step", "… or the step asked for it",
         "within two steps", "random within two, same runs", "last step within two, same runs")
    ]  # fmt: skip
    for x in r["rows"]:
        found = x.get("found", 0)
        rows.append(
            (
                f"{x['kind']} ({x['runs']:g})",
                _share(found, x["runs"]),
                _share(x.get("exact", 0), found),
                _share(x.get("asking", 0), found),
                _share(x.get("near", 0), found),
                _share(x.get("random near, same runs", 0), found),
                _share(x.get("last near, same runs", 0), found),
            )
        )
    return [
        "## Who&When: 184 failed multi-agent runs, the decisive step named by people",
        "",
        *_table(*rows),
        (
            "A failed tool call is blamed on the agent that wrote the call, so a finding at the "
            "call is "
            "mostly one step late. Long hand-crafted runs of browsing agents fail without any "
            "error: "
            "rules see nothing there."
        ),
        "",
    ]


def _toolbench(r: Row) -> list[str]:
    rows: list[tuple[Any, ...]] = [("kind", "labelled", "precision", "recall")]
    for x in r["rows"]:
        rows.append(
            (
                x["kind"],
                x["labelled"],
                _share(x["both"], x["found"]),
                _share(x["both"], x["labelled"]),
            )
        )
    return [
        f"## ToolBench: {r['labelled']} of {r['calls']} calls, labelled by reading",
        "",
        (
            "The published tree keeps the first 100 characters of a call, so that most "
            "responses, and "
            "with them all time-outs and rate limits, are not there to be read: those rows are "
            "empty, "
            "and the others small. Labels: `benchmarks/detection/toolbench_labels.json`."
        ),
        "",
        *_table(*rows),
        "What is missed: an error cut off after “Unauth” is not told to be one of access.",
        "",
    ]


def _halueval(r: Row) -> list[str]:
    return [
        f"## HaluEval: {r['answers']} ChatGPT answers, {r['hallucinated']} labelled hallucinated",
        "",
        (
            "The general set comes without retrieved knowledge, so the user's query is the only "
            "source. "
            "Score: how many numbers, identifiers, addresses and quotations have no support."
        ),
        "",
        *_table(
            ("figure", "value"),
            ("AUC", _area(r)),
            ("precision at 20% recall", f"{r['precision_at_20_recall']:.0%}"),
            ("share hallucinated (precision of chance)", f"{r['base_rate']:.0%}"),
        ),
    ]


def _cost(r: Row) -> list[str]:
    rows: list[tuple[Any, ...]] = [
        ("spans a trace", "bytes a span", "decode µs", "read µs", "detect µs")
    ]
    for x in r["rows"]:
        rows.append(
            (x["spans"], x["bytes_a_span"], *(f"{x[k]:.1f}" for k in ("decode", "read", "detect")))
        )
    large = r["large"]
    total = large["decode_s"] + large["read_s"] + large["detect_s"]
    return [
        "## Cost",
        "",
        "Process time a span, best of seven, on the machine that made this page:",
        "",
        *_table(*rows),
        (
            f"One trace of {large['spans']:,} spans: {large['decode_s']:.2f} s to decode, "
            f"{large['read_s']:.2f} s to read, {large['detect_s']:.2f} s to detect, {total:.2f} s "
            "in all."
        ),
        "",
    ]


def page(made: str) -> str:
    """The page's text.

    Args:
        made: the comment that says that it is made.
    """
    results = json.loads(RESULTS.read_text())
    lines = [_HEAD.format(made=made)]
    for name, part in (
        ("tau", _tau),
        ("who_and_when", _who),
        ("toolbench", _toolbench),
        ("halueval", _halueval),
        ("cost", _cost),
    ):
        if name in results:
            lines += part(results[name])
    return "\n".join(lines).rstrip() + "\n"
