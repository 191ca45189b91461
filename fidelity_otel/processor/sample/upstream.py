"""What a head sampler before us did, as OpenTelemetry's probability sampling writes it.

The `ot` entry of W3C `tracestate`: `th` is the rejection threshold T (up to 14 hex digits, trailing
zeros left out) and `rv` an explicit 56-bit randomness. A trace was kept upstream with probability
(2^56 − T) / 2^56. Source: OpenTelemetry specification, "TraceState: Probability Sampling"
(Development).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fidelity_otel.processor.sample.priority import RANDOM_BITS

__all__ = ["Upstream", "read_upstream"]

_DIGITS = RANDOM_BITS // 4
_TH = re.compile(rf"[0-9a-f]{{1,{_DIGITS}}}")
_RV = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")


class Upstream(NamedTuple):
    """The head sampling of a trace: its probability, and the numbers as found (None: absent)."""

    probability: float = 1.0
    threshold: int | None = None
    randomness: int | None = None
    problem: str = ""


def read_upstream(trace_state: str) -> Upstream:
    """Read `th` and `rv` from a tracestate text.

    Never raises: what cannot be read counts as absent and is named in `problem`.

    Args:
        trace_state: the span's `trace_state`, e.g. `"ot=th:c;rv:6e6d1a75832a2f,vendor=x"`.
    """
    entry = next(
        (part.strip()[3:] for part in trace_state.split(",") if part.strip().startswith("ot=")), ""
    )
    if not entry:
        return Upstream()
    fields = dict(field.split(":", 1) for field in entry.split(";") if ":" in field)
    threshold = randomness = None
    problems: list[str] = []
    if (th := fields.get("th")) is not None:
        if _TH.fullmatch(th):
            threshold = int(th.ljust(_DIGITS, "0"), 16)
        else:
            problems.append("th")
    if (rv := fields.get("rv")) is not None:
        if _RV.fullmatch(rv):
            randomness = int(rv, 16)
        else:
            problems.append("rv")
    whole = 1 << RANDOM_BITS
    probability = 1.0 if threshold is None else (whole - threshold) / whole
    problem = f"tracestate ot: unreadable {' and '.join(problems)}" if problems else ""
    return Upstream(probability, threshold, randomness, problem)
