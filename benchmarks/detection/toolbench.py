"""ToolBench runs as OTLP.

The published tree keeps only the first 100 characters of each tool message (name, arguments,
response, as a Python literal that is cut off), so that most responses are not there at all. A call
is readable here where its response's `error` and `response` members can be told apart.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.detection.otlp import Writer

FILES = ("G1_category", "G1_instruction", "G1_tool")
_NAME = re.compile(r"""\{'name': '([^']*)'""")
_ARGUMENTS = re.compile(r"""'arguments': '(.*?)(?:', 'response'|$)""", re.DOTALL)
_RESPONSE = re.compile(r"""'response': ['"](.*)$""", re.DOTALL)
_MEMBERS = re.compile(r"""^\{\\?"error\\?": \\?"(?P<rest>.*)$""", re.DOTALL)


class Call(NamedTuple):
    """One call as far as it is readable; `response` is None where nothing of it is."""

    id: str
    name: str
    arguments: str
    response: str | None


class Run(NamedTuple):
    """A run: its trace and its calls in the order of the trace's tool spans."""

    otlp: bytes
    calls: list[Call]


def runs(folder: Path) -> Iterator[Run]:
    for name in FILES:
        with gzip.open(folder / "toolbench" / f"{name}.json.gz") as file:
            data = json.load(file)
        for key, one in data.items():
            yield _run(f"{name}/{key}", one)


def _messages(node: dict[str, Any]) -> Iterator[str]:
    if node.get("role") == "tool":
        yield str(node.get("message", ""))
    for below in node.get("next", ()):
        yield from _messages(below)


def _run(key: str, one: dict[str, Any]) -> Run:
    answer = one["answer"]
    writer = Writer(f"toolbench {key}", "toolbench")
    writer.root(one["query"], _final(answer.get("final_answer", "")))
    calls = []
    for number, text in enumerate(m for n in answer["answer_details"] for m in _messages(n)):
        call = _call(f"{key}#{number}", text)
        if call.name == "Finish":
            continue
        calls.append(call)
        writer.tool(call.name, call.arguments or None, call.response)
    return Run(writer.body(), calls)


def _final(text: str) -> str:
    try:
        found = json.loads(text).get("final_answer", "")
    except (ValueError, AttributeError):
        return text
    return found if isinstance(found, str) else text


def _call(key: str, text: str) -> Call:
    name = _NAME.search(text)
    arguments = _ARGUMENTS.search(text)
    given = (arguments.group(1) if arguments else "").replace("\\n", "\n")
    response = _RESPONSE.search(text)
    return Call(
        key, name.group(1) if name else "?", given, _read(response.group(1)) if response else None
    )


def _read(response: str) -> str | None:
    """The response with its frame closed: {error, response}; None where it is cut before."""
    found = _MEMBERS.match(response)
    if found is None or not found["rest"]:
        return None
    rest = found["rest"]
    error, ended, after = rest.partition('", "response": "')
    if not ended:
        error = rest.split('"', 1)[0]
        after = ""
    if error.startswith('"'):
        error = ""
    return json.dumps({"error": error.rstrip("\\"), "response": after.rstrip("\"'}\\")})


def drawn(calls: list[Call], count: int = 200) -> list[Call]:
    """A random sample of the readable calls, the same each time: ordered by the ids' hash."""
    readable = [c for c in calls if c.response is not None]
    return sorted(readable, key=lambda c: sha256(c.id.encode()).hexdigest())[:count]
