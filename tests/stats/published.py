"""The published data sets as arrays, in the orders that the reference numbers use."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np


def _json(path: Path) -> list[dict]:
    with gzip.open(path, "rt") as file:
        return json.load(file)


def frank(folder: Path) -> dict[str, np.ndarray]:
    """FRANK, ordered by sha256(hash + model_name): human factuality, automatic metrics, file order."""
    human = _json(folder / "frank/human_annotations.json.gz")
    automatic = {
        (row["hash"], row["model_name"]): row
        for row in _json(folder / "frank/baseline_factuality_metrics_outputs.json.gz")
    }
    rank = [hashlib.sha256((r["hash"] + r["model_name"]).encode()).hexdigest() for r in human]
    order = np.argsort(rank)
    made = {"y": np.array([human[i]["Factuality"] for i in order], float), "place": order}
    for metric in ("FactCC", "QAGS", "FEQA", "Rouge L"):
        values = [automatic[human[i]["hash"], human[i]["model_name"]].get(metric) for i in order]
        made[metric] = np.array([np.nan if v is None else v for v in values], float)
    return made


def llmdrift(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """GPT-4 on the same 1,000 primes in March and in June 2023: 1 right, 0 wrong."""
    csv.field_size_limit(10**9)
    with gzip.open(folder / "llmdrift/PRIME_FULL_EVAL.csv.gz", "rt") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    found = []
    for model in ("openaichat/gpt-4-0314", "openaichat/gpt-4-0613"):
        mine = [r for r in rows if r["model"] == model]
        said = [re.findall(r"\b(yes|no)\b", r["answer"].lower())[-1:] for r in mine]
        found.append(
            np.array(
                [float(s == [r["ref_answer"].lower()]) for s, r in zip(said, mine, strict=True)]
            )
        )
    return found[0], found[1]


def tau_bench(folder: Path) -> dict[str, np.ndarray]:
    """GPT-4o airline runs: reward 1 or 0, task, trial, and whether a tool said `Error`."""
    runs = _json(folder / "tau_bench/gpt-4o-airline.json.gz")
    errors = [
        any(m.get("role") == "tool" and "error" in str(m.get("content")).lower() for m in r["traj"])
        for r in runs
    ]
    turns = [len(r["traj"]) for r in runs]
    return {
        "y": np.array([float(r["reward"]) for r in runs]),
        "task": np.array([r["task_id"] for r in runs]),
        "trial": np.array([r["trial"] for r in runs]),
        "tool_error": np.array(errors, float),
        "turns": np.array(turns, float),
    }


def votes(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, str]]:
    """AdultContent2: item, reviewer and label of each vote as texts, and the gold labels."""
    with gzip.open(folder / "votes/labels.txt.gz", "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if line.strip()]
    gold = dict(
        line.split("\t")[:2]
        for line in (folder / "votes/gold.txt").read_text().splitlines()
        if line
    )
    return (
        np.array([r[1] for r in rows]),
        np.array([r[0] for r in rows]),
        np.array([r[2] for r in rows]),
        gold,
    )
