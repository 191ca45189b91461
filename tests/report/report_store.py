"""A real store: traces ingested from OTLP JSON, drawn, and judged through the queue."""

from __future__ import annotations

import io
import json
import os
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from fidelity_otel.cli import main
from fidelity_otel.store import Store, open_store

TRACES = 40


def run(*arguments: str, data: Path, code: int = 0, **environment: str) -> tuple[str, str]:
    """Run the command, in this process, as `fidelity` would; stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    held = dict(os.environ)
    os.environ.update({"FIDELITY_DATA": str(data), **environment})
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(list(arguments))
        ended: object = 0
    except SystemExit as end:
        ended = end.code or 0
    finally:
        os.environ.clear()
        os.environ.update(held)
    assert ended == code, (arguments, out.getvalue(), err.getvalue())
    return out.getvalue(), err.getvalue()


def wrong(number: int) -> bool:
    """The truth about a trace."""
    return number % 4 == 0


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": k, "value": {"stringValue": v}} for k, v in values.items()]


def _span(number: int, start_ns: int) -> dict[str, Any]:
    question, answer = f"question {number}?", f"answer {number} – ünïcode"
    said = [
        {"role": "user", "parts": [{"type": "text", "content": question}]},
    ]
    told = [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]
    return {
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "invoke_workflow",
        "kind": 1,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + 10**9),
        "attributes": _attributes(
            {
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.workflow.name": "support.answer",
                "gen_ai.input.messages": json.dumps(said),
                "gen_ai.output.messages": json.dumps(told),
            }
        ),
    }


def ingested(folder: Path) -> Path:
    """A data folder with forty traces, half of them drawn for review."""
    data, file = folder / "data", folder / "traces.jsonl"
    start = time.time_ns() - 3600 * 10**9
    with file.open("w") as out:
        for number in range(TRACES):
            scope = {"spans": [_span(number, start + number * 10**9)]}
            resource = {"attributes": _attributes({"service.name": "support"})}
            request = {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}
            out.write(json.dumps(request) + "\n")
    run(
        "ingest",
        "--draw",
        str(file),
        data=data,
        FIDELITY_SAMPLE_REVIEWS_PER_DAY="480",  # 20 an hour
        FIDELITY_SAMPLE_DISCOVERY_SHARE="0",
        FIDELITY_SAMPLE_SALT="the same draw every time",
    )
    return data


def judge(store: Store) -> int:
    """Ann judges all that was drawn, by the truth; how many."""
    now, count = time.time_ns(), 0
    while (lease := store.next_item("ann", now)) is not None:
        number = int(lease.item.trace_id, 16) - 1
        store.submit(
            lease.lease_id,
            "wrong" if wrong(number) else "right",
            "retrieval_stale" if wrong(number) else None,
            note="seen",
            correction=f"better {number}" if wrong(number) else "",
            now_ns=now + count,
        )
        count += 1
    return count


def judged(folder: Path) -> tuple[Path, int]:
    """A data folder with reviews, and how many."""
    data = ingested(folder)
    with open_store(data) as store:
        return data, judge(store)
