"""Tools that fail: rate limits, time-outs, refused access, bad arguments, unknown tools, the rest.

One finding per tool and kind of failure until that tool succeeds again, so a storm of retries is
one finding that says how many calls it took.
"""

from __future__ import annotations

from collections.abc import Iterator

from fidelity_otel.model import Finding
from fidelity_otel.processor.detect.evidence import duration, plural, quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, of_steps
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.step import Step

__all__ = ["find"]

_SAID = {
    "rate_limited": "was rate limited",
    "timeout": "timed out",
    "auth": "refused access",
    "malformed_arguments": "refused its arguments",
    "unknown_tool": "does not exist",
    "tool_error": "failed",
}
_STORM = 5


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of failed tool calls, grouped as the module says."""
    groups: dict[tuple[str, str], list[Step]] = {}
    succeeded: dict[str, int] = {}
    for step in facts.steps:
        if step.failure is None:
            succeeded[step.name] = step.index
            continue
        key = (step.name, step.failure)
        group = groups.get(key)
        if group is not None and succeeded.get(step.name, -1) > group[-1].index:
            yield _finding(facts, key[1], group)
            group = None
        if group is None:
            group = groups[key] = []
        group.append(step)
    for (_, mode), group in groups.items():
        yield _finding(facts, mode, group)


def _finding(facts: Facts, mode: str, group: list[Step]) -> Finding:
    first, last = group[0], group[-1]
    recovery = of_steps(facts, group)
    times = plural(len(group), "time") if len(group) > 1 else "once"
    evidence = f"Tool {first.name} {_SAID[mode]} {times}: {quoted(last.message)}"
    return Finding(
        mode=mode,
        state=recovery.state,
        span_id=first.span_id,
        evidence=evidence + ending(recovery, first.end_ns, len(group)) + ".",
        span_ids=tuple(dict.fromkeys(s.span_id for s in group)),
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=elapsed(recovery, first.end_ns),
    )


def elapsed(recovery: Recovery, since_ns: int) -> int | None:
    """How long a recovery took, in ns; None where there was none."""
    if recovery.state != "recovered" or recovery.at_ns is None:
        return None
    return max(0, recovery.at_ns - since_ns)


def ending(recovery: Recovery, since_ns: int, failures: int = 1) -> str:
    """How the sentence of evidence ends: what became of the failure."""
    if recovery.state == "escalated":
        return "; it was handed to a person" if recovery.by == "human" else "; the answer says so"
    if recovery.state == "unrecovered":
        return "; nothing made up for it"
    by = {
        "retry": "a later call succeeded",
        "fallback": "a fallback succeeded",
        "other_tool": "another tool gave the answer",
        "requery": "another query succeeded",
        "human": "a person took over",
    }.get(recovery.by or "", "it was got over")
    taken = elapsed(recovery, since_ns)
    after = f" after {duration(taken)}" if taken else ""
    storm = f", at the cost of {failures} failed calls" if failures >= _STORM else ""
    return f"; {by}{after}{storm}"
