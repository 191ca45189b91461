"""What a recovery cost: the tokens of the model calls between a failure and its end."""

from __future__ import annotations

import msgspec

from fidelity_otel.model import Finding
from fidelity_otel.processor.detect.facts import Facts

__all__ = ["with_tokens"]


def with_tokens(facts: Facts, finding: Finding) -> Finding:
    """The finding with the tokens that were used until it was recovered, where they are known."""
    if finding.state != "recovered" or not finding.recovery_ns:
        return finding
    span = facts.by_id.get(finding.span_id)
    if span is None:
        return finding
    until = span.end_ns + finding.recovery_ns
    used = [
        (c.usage.input_tokens or 0) + (c.usage.output_tokens or 0)
        for c in facts.chats_between(span.end_ns, until)
        if c.usage is not None and c is not span
    ]
    return msgspec.structs.replace(finding, recovery_tokens=sum(used)) if used else finding
