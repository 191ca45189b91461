"""Who&When runs as OTLP: one span a step, so that a finding's span is a step.

Terminals are tools whose arguments are the message before; everybody else is a model call of an
agent.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.detection.otlp import Writer


class Run(NamedTuple):
    """A failed run: its trace, the decisive mistake's step, and how many steps there are."""

    otlp: bytes
    kind: str
    mistake: int
    steps: int
    spans: tuple[str, ...]


def runs(folder: Path) -> Iterator[Run]:
    with tarfile.open(folder / "who_and_when" / "who_and_when.tar.gz") as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            if file is not None:
                yield _run(member.name, json.load(file))


def _run(name: str, one: dict[str, Any]) -> Run:
    history = one["history"]
    kind = name.split("/")[-2]
    writer = Writer(name, kind)
    writer.root(one["question"], str(history[-1]["content"]))
    spans = []
    for index, entry in enumerate(history):
        agent = str(entry.get("name") or entry.get("role"))
        content = str(entry["content"])
        if agent.replace("_", "").lower() == "computerterminal":
            before = str(history[index - 1]["content"]) if index else ""
            number = writer.tool("run_code", json.dumps({"message": before}), content)
        else:
            said = [{"role": "assistant", "content": content}]
            number = writer.chat("gpt-4o", [], said, **{"gen_ai.agent.name": agent})
        spans.append(f"{number + 1:016x}")
    return Run(writer.body(), kind, int(one["mistake_step"]), len(history), tuple(spans))
