"""What a trace looks like in numbers: its findings, and what costs next to nothing to know."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from fidelity_otel.model import Finding, Span, Trace
from fidelity_otel.processor.detect.modes import BY_NAME
from fidelity_otel.processor.detect.wording import handed_over, is_reading, said_so

__all__ = ["CHEAP", "features", "prior_weight"]

CHEAP: Final = (
    "failed",
    "no_answer",
    "said_so",
    "handed_over",
    "log_spans",
    "log_model_calls",
    "log_tool_calls",
    "log_changing_calls",
    "log_failed_spans",
    "log_user_turns",
    "log_request",
    "log_answer",
    "log_seconds",
    "log_output_tokens",
    "documents",
    "top_score",
)
"""Names of the features that are no findings."""


def features(trace: Trace, findings: Iterable[Finding]) -> dict[str, float]:
    """A trace in numbers; features that are zero are left out.

    Args:
        trace: as read.
        findings: as detected; each mode and state counts once ("tool_error:recovered").
    """
    out = {f"{f.mode}:{f.state}": 1.0 for f in findings}
    out.update(_cheap(trace))
    return {name: value for name, value in out.items() if value}


def _cheap(trace: Trace) -> dict[str, float]:
    chats = tools = changing = failed = tokens = documents = 0
    score = 0.0
    longest: Span | None = None
    for span in trace.spans:
        failed += span.failed
        if span.operation == "chat":
            chats += 1
            tokens += (span.usage.output_tokens or 0) if span.usage else 0
            if longest is None or len(span.input_messages) > len(longest.input_messages):
                longest = span
        elif span.operation == "execute_tool":
            tools += 1
            changing += span.tool is not None and not is_reading(span.tool.name)
        elif span.operation == "retrieval" and span.documents:
            documents += len(span.documents)
            score = max(score, *(d.score or 0.0 for d in span.documents))
    turns = sum(m.role == "user" for m in longest.input_messages) if longest else 0
    return {
        "failed": float(not trace.reported_success),
        "no_answer": float(not trace.answer),
        "said_so": float(said_so(trace.answer)),
        "handed_over": float(handed_over(trace.answer)),
        "log_spans": math.log1p(len(trace.spans)),
        "log_model_calls": math.log1p(chats),
        "log_tool_calls": math.log1p(tools),
        "log_changing_calls": math.log1p(changing),
        "log_failed_spans": math.log1p(failed),
        "log_user_turns": math.log1p(turns),
        "log_request": math.log1p(len(trace.request)),
        "log_answer": math.log1p(len(trace.answer)),
        "log_seconds": math.log1p(max(0, trace.end_ns - trace.start_ns) / 1e9),
        "log_output_tokens": math.log1p(max(0, tokens)),
        "documents": math.log1p(documents),
        "top_score": min(1.0, max(0.0, score)) if math.isfinite(score) else 0.0,
    }


def prior_weight(name: str) -> float:
    """What a feature weighs, in log-odds of being wrong, before anything was reviewed."""
    mode, _, state = name.partition(":")
    if state:
        known = BY_NAME.get(mode)
        return known.weight(state) if known else 0.8
    return {"failed": 2.5, "no_answer": 0.5}.get(name, 0.0)
