"""What a recovery cost: the tokens of the model calls between a failure and its end, in times."""

from __future__ import annotations

from typing import Final

import msgspec

from fidelity_otel.model import Finding
from fidelity_otel.processor.detect.facts import Facts

__all__ = ["DEAR", "with_cost"]

DEAR: Final = 10.0
"""A recovery at this many times the usual cost is hardly one, and says so."""


def with_cost(facts: Facts, finding: Finding) -> Finding:
    """The finding with what its recovery cost, where that is known.

    The factor is the larger of two: calls that it took instead of one, and tokens of the whole
    trace over those without the recovery.
    """
    if finding.state != "recovered" or not finding.recovery_ns:
        return finding
    span = facts.by_id.get(finding.span_id)
    if span is None:
        return finding
    until = span.end_ns + finding.recovery_ns
    used = [
        _tokens(c.usage.input_tokens, c.usage.output_tokens)
        for c in facts.chats_between(span.end_ns, until)
        if c.usage is not None and c is not span
    ]
    spent = sum(used)
    factor = float(max(1, len(finding.span_ids)) + 1)
    if spent:
        others = facts.tokens - spent
        factor = max(factor, facts.tokens / others if others > 0 else factor)
    evidence = finding.evidence
    if factor >= DEAR:
        evidence = f"{evidence.removesuffix('.')}; recovered at {factor:.0f} times the usual cost."
    return msgspec.structs.replace(
        finding,
        recovery_tokens=spent if used else None,
        recovery_factor=round(factor, 2),
        evidence=evidence,
    )


def _tokens(given: int | None, said: int | None) -> int:
    return max(0, given or 0) + max(0, said or 0)
