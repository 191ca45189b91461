"""The figures of detection, each a function that returns plain rows."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection import halueval as halueval_data
from benchmarks.detection import tau_bench as tau_data
from benchmarks.detection import toolbench as toolbench_data
from benchmarks.detection import who_and_when as who_data
from benchmarks.detection.otlp import Writer
from fidelity_otel.processor.detect import MODES, detect, risk
from fidelity_otel.processor.detect.features import features
from fidelity_otel.processor.detect.fit import Reviewed, auc, cross_fit
from fidelity_otel.processor.detect.grounding import grounding
from fidelity_otel.processor.read import read_otlp, read_trace
from fidelity_otel.processor.wire import decode

LABELS = Path(__file__).with_name("toolbench_labels.json")
RESAMPLES = 2000


def interval(score: Any, wrong: Any, cluster: Any, seed: int = 1) -> tuple[float, float]:
    """95% interval of an AUC: percentiles over clusters drawn with replacement."""
    rng = np.random.default_rng(seed)
    members = defaultdict(list)
    for index, name in enumerate(cluster):
        members[name].append(index)
    groups = [np.array(m) for m in members.values()]
    found = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        value = auc(score[drawn], wrong[drawn])
        if value is not None:
            found.append(value)
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def tau(folder: Path) -> dict[str, Any]:
    """τ-bench airline: modes on the wrong and right half, risk against reward, recovery."""
    runs = list(tau_data.runs(folder))
    traces = [read_otlp(r.otlp) for r in runs]
    found = [detect(t) for t in traces]
    wrong = np.array([float(not r.right) for r in runs])
    task = [str(r.task) for r in runs]
    prior = np.array([risk(t, f) for t, f in zip(traces, found, strict=True)])
    rows = [
        Reviewed(features(t, f), float(not r.right), 1.0, str(r.task))
        for t, f, r in zip(traces, found, runs, strict=True)
    ]
    only = [
        row._replace(features={k: v for k, v in row.features.items() if ":" in k}) for row in rows
    ]
    fitted, by_findings = cross_fit(rows), cross_fit(only)
    silent = np.array([not r.right and not r.tool_error for r in runs])
    keep = silent | (wrong == 0)
    table = []
    for mode in MODES:
        counts = Counter(
            (not r.right, f.state)
            for r, fs in zip(runs, found, strict=True)
            for f in {x.state: x for x in fs if x.mode == mode.name}.values()
        )
        bad = sum(
            any(f.mode == mode.name for f in fs)
            for r, fs in zip(runs, found, strict=True)
            if not r.right
        )
        good = sum(
            any(f.mode == mode.name for f in fs)
            for r, fs in zip(runs, found, strict=True)
            if r.right
        )
        if counts:
            states = {
                s: (counts[True, s], counts[False, s])
                for s in ("recovered", "unrecovered", "escalated")
            }
            table.append({"mode": mode.name, "wrong": bad, "right": good, "states": states})
    n_wrong, n_right = int(wrong.sum()), int((1 - wrong).sum())
    any_found = np.array([bool(f) for f in found])
    opened = np.array([any(x.state != "recovered" for x in f) for f in found])
    errors = [
        (
            r,
            [
                f
                for f in fs
                if f.mode
                in (
                    "tool_error",
                    "malformed_arguments",
                    "timeout",
                    "auth",
                    "rate_limited",
                    "unknown_tool",
                )
            ],
        )
        for r, fs in zip(runs, found, strict=True)
        if r.tool_error
    ]
    recovery = Counter(
        (
            "missed" if not fs else "recovered" if all(f.state == "recovered" for f in fs)
            else "escalated" if any(f.state == "escalated" for f in fs) else "unrecovered",
            r.right,
        )
        for r, fs in errors
    )  # fmt: skip

    def area(score: Any, mask: Any = None) -> dict[str, float]:
        mask = np.ones(len(wrong), bool) if mask is None else mask
        names = [t for t, m in zip(task, mask, strict=True) if m]
        low, high = interval(score[mask], wrong[mask], names)
        return {"auc": float(auc(score[mask], wrong[mask]) or 0), "low": low, "high": high}

    return {
        "runs": len(runs),
        "wrong": n_wrong,
        "right": n_right,
        "silent": int(silent.sum()),
        "modes": table,
        "any_finding": [int((any_found & (wrong == x)).sum()) for x in (1, 0)],
        "open_finding": [int((opened & (wrong == x)).sum()) for x in (1, 0)],
        "silent_any_finding": int((any_found & silent).sum()),
        "false_alarms_per_1000": round(1000 * float((any_found & (wrong == 0)).sum()) / n_right),
        "risk_prior": area(prior),
        "risk_findings_cross_fitted": area(by_findings),
        "risk_cross_fitted": area(fitted),
        "risk_cross_fitted_silent": area(fitted, keep),
        "tool_error_runs": len(errors),
        "recovery": [
            {"state": s, "right": recovery[s, True], "wrong": recovery[s, False]}
            for s in ("recovered", "escalated", "unrecovered", "missed")
        ],
    }  # fmt: skip


def who_and_when(folder: Path) -> dict[str, Any]:
    """Who&When: how near to the decisive step the first finding points."""
    out = []
    for kind in ("Algorithm-Generated", "Hand-Crafted", "all"):
        runs = [r for r in who_data.runs(folder) if kind in (r.kind, "all")]
        rows: Counter[str] = Counter()
        for run in runs:
            rows["runs"] += 1
            for name, guesses in (
                ("random", list(range(run.steps))),
                ("last", [run.steps - 1]),
            ):
                rows[f"{name} exact"] += sum(g == run.mistake for g in guesses) / len(guesses)
                rows[f"{name} near"] += sum(abs(g - run.mistake) <= 2 for g in guesses) / len(
                    guesses
                )
            findings = detect(read_otlp(run.otlp))
            places = [run.spans.index(f.span_id) for f in findings if f.span_id in run.spans]
            if not places:
                continue
            rows["found"] += 1
            rows["exact"] += places[0] == run.mistake
            rows["asking"] += places[0] - 1 == run.mistake
            rows["near"] += abs(places[0] - run.mistake) <= 2
            rows["random near, same runs"] += (
                sum(abs(i - run.mistake) <= 2 for i in range(run.steps)) / run.steps
            )
            rows["last near, same runs"] += run.steps - 1 - run.mistake <= 2
        out.append({"kind": kind, **{k: round(v, 1) for k, v in rows.items()}})
    return {"rows": out}


def toolbench(folder: Path) -> dict[str, Any]:
    """ToolBench: kinds of failure against labels made by reading 200 drawn calls."""
    labels: dict[str, str] = json.loads(LABELS.read_text())
    said: dict[str, str] = {}
    calls = 0
    from fidelity_otel.processor.detect.facts import Facts

    for run in toolbench_data.runs(folder):
        calls += len(run.calls)
        steps = {s.span_id: s for s in Facts(read_otlp(run.otlp)).steps}
        for number, call in enumerate(run.calls):
            step = steps.get(f"{number + 2:016x}")
            said[call.id] = (step.failure if step else None) or "ok"
    pairs = Counter((labels[i], said[i]) for i in labels)
    rows = []
    for kind in (
        "any failure",
        "tool_error",
        "auth",
        "unknown_tool",
        "timeout",
        "rate_limited",
        "malformed_arguments",
    ):

        def match(name: str, kind: str = kind) -> bool:
            return name != "ok" if kind == "any failure" else name == kind

        hit = sum(n for (truth, got), n in pairs.items() if match(truth) and match(got))
        rows.append(
            {
                "kind": kind,
                "labelled": sum(n for (truth, _), n in pairs.items() if match(truth)),
                "found": sum(n for (_, got), n in pairs.items() if match(got)),
                "both": hit,
            }
        )
    return {"calls": calls, "labelled": len(labels), "rows": rows}


def halueval(folder: Path) -> dict[str, Any]:
    """HaluEval: unsupported specifics against human labels, the query as the only source."""
    answers = list(halueval_data.answers(folder))
    wrong = np.array([float(a.hallucinated) for a in answers])
    found = [grounding(a.answered, [a.asked]) for a in answers]
    score = np.array([float(len(g.unsupported)) for g in found])
    low, high = interval(score, wrong, range(len(wrong)))
    order = np.argsort(-score, kind="stable")
    taken = np.cumsum(wrong[order])
    at = int(np.searchsorted(taken, 0.2 * wrong.sum()))
    return {
        "answers": len(answers),
        "hallucinated": int(wrong.sum()),
        "auc": float(auc(score, wrong) or 0),
        "low": low,
        "high": high,
        "precision_at_20_recall": float(taken[at] / (at + 1)),
        "base_rate": float(wrong.mean()),
    }


def _span_trace(spans: int, size: int = 2730) -> bytes:
    """A plain trace of agent steps: model call, tool call, retrieval, plain span, in turn."""
    writer = Writer(f"load {spans}", "load")
    writer.root("What does it cost?", "It costs 42 euros.")
    words = "the order was shipped on Monday and arrives within two days at the address given "
    text = (words * (size // len(words) + 1))[: size - 500]
    for number in range(1, spans):
        kind = number % 4
        if kind == 0:
            writer.chat(
                "m",
                [{"role": "user", "parts": [{"type": "text", "content": text[: len(text) // 2]}]}],
                [
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "text", "content": f"{number} {text[len(text) // 2 :]}"}
                        ],
                    }
                ],
                **{"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10},
            )
        elif kind == 1:
            writer.tool(f"get_{number % 7}", json.dumps({"id": number}), json.dumps({"text": text}))
        elif kind == 2:
            writer.add(
                "retrieval",
                {
                    "gen_ai.operation.name": "retrieval",
                    "gen_ai.retrieval.query.text": "what does it cost",
                    "gen_ai.retrieval.documents": json.dumps(
                        [{"id": "d", "content": "cost " + text}]
                    ),
                },
            )
        else:
            writer.add("SELECT orders", {"db.statement": text})
    return writer.body()


def cost(_: Path | None = None) -> dict[str, Any]:
    """Microseconds a span (process time, best of seven) and one trace of 50,000 spans."""
    rows = []
    for spans in (20, 200, 2000):
        body = _span_trace(spans)
        raw = decode(body)
        trace = read_trace(raw)
        detect(trace)
        repeats = max(1, 2000 // spans)

        def best(work: Any, repeats: int = repeats, spans: int = spans) -> float:
            found = []
            for _ in range(7):
                gc.collect()
                start = time.process_time()
                for _ in range(repeats):
                    work()
                found.append((time.process_time() - start) / repeats / spans * 1e6)
            return min(found)

        rows.append(
            {
                "spans": spans,
                "bytes_a_span": len(body) // spans,
                "decode": best(lambda body=body: decode(body)),
                "read": best(lambda raw=raw: read_trace(raw)),
                "detect": best(lambda trace=trace: detect(trace)),
            }
        )
    body = _span_trace(50_000)
    times = []
    for _ in range(3):
        start = time.process_time()
        raw = decode(body)
        decoded = time.process_time()
        trace = read_trace(raw)
        done = time.process_time()
        detect(trace)
        times.append((decoded - start, done - decoded, time.process_time() - done))
    parts = [statistics.median(t) for t in zip(*times, strict=True)]
    return {
        "rows": rows,
        "large": {
            "spans": 50_000,
            "decode_s": parts[0],
            "read_s": parts[1],
            "detect_s": parts[2],
        },
    }
