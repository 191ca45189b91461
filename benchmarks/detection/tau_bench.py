"""τ-bench airline runs as OTLP: one trace a run, each model call with the whole history."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.detection.otlp import Writer


class Run(NamedTuple):
    """A run as one trace; `right` is the reward."""

    otlp: bytes
    task: int
    right: bool
    tool_error: bool


def runs(folder: Path) -> Iterator[Run]:
    with gzip.open(folder / "tau_bench" / "gpt-4o-airline.json.gz") as file:
        for one in json.load(file):
            yield _run(one)


def _run(one: dict[str, Any]) -> Run:
    messages = one["traj"]
    writer = Writer(f"tau {one['task_id']} {one['trial']}", "airline")
    asked = next((m["content"] for m in messages if m["role"] == "user"), "")
    said = [m["content"] for m in messages if m["role"] == "assistant" and m.get("content")]
    writer.root(asked, said[-1] if said else "")
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        writer.chat("gpt-4o", messages[:index], [message])
        after = messages[index + 1 :]
        for place, call in enumerate(message.get("tool_calls") or []):
            # Call ids repeat within a run, so that the place decides which result is whose.
            result = after[place] if place < len(after) and after[place]["role"] == "tool" else None
            function = call["function"]
            content = result["content"] if result else None
            writer.tool(function["name"], function["arguments"], content, call["id"])
    failed = any(m["content"].startswith("Error") for m in messages if m["role"] == "tool")
    return Run(writer.body(), one["task_id"], one["reward"] > 0.5, failed)
