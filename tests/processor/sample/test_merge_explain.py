"""Replicas draw as one; decisions can be told in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel.model import ArmDecision, Decision
from fidelity_otel.processor.sample import bottom_k, combined, draw_of, explain, merge, sketch


@given(
    n=st.integers(0, 60), parts=st.integers(1, 5), k=st.floats(0, 30), seed=st.integers(0, 10_000)
)
@settings(max_examples=120, deadline=None)
def test_merged_replicas_draw_what_one_would(n: int, parts: int, k: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, u = rng.uniform(0.3, 0.65, n), 1.0 - rng.random(n)
    units = [(f"{i:032x}", size[i], u[i]) for i in range(n)]
    home = rng.integers(0, parts, n)
    sketches = [
        sketch([x for x, p in zip(units, home, strict=True) if p == r], k) for r in range(parts)
    ]
    got = draw_of(merge([merge(sketches[:2]), *sketches[2:]]), k)
    whole = bottom_k(size, u, k)
    chosen = {units[i][0] for i in np.flatnonzero(whole.selected)}
    assert {i for i, (selected, _) in got.items() if selected} == chosen
    for i, (trace_id, _, _) in enumerate(units):
        if trace_id in got:
            assert got[trace_id][1] == pytest.approx(whole.probability[i], rel=1e-9)


def test_a_shallow_sketch_is_refused() -> None:
    shallow = sketch([(str(i), 1.0, (i + 1) / 20) for i in range(20)], 2.0)
    with pytest.raises(ValueError, match="cannot give a draw of 9"):
        draw_of(shallow, 9.0)


def decision(*arms: ArmDecision, upstream: float = 1.0) -> Decision:
    return Decision(
        "ab" * 16,
        "support | 1 | clear",
        "w1",
        7,
        0.5,
        0.2,
        False,
        arms,
        upstream=upstream,
        reasons=("mode loop",),
    )


def test_explains_every_state() -> None:
    taken = ArmDecision("estimation", "w1", "s", True, 0.25, 0.5, 3.0, "5 of 20 to be drawn")
    left = ArmDecision("discovery", "w1", "loop", False, 0.2, 1.0, 9.0, "1 of 5 to be drawn")
    every = ArmDecision("estimation", "w1", "s", True, 1.0, 0.5, 0.0, "4 of 4 to be drawn")
    both = explain(decision(taken, left))
    assert combined((taken, left)) == pytest.approx(0.4)
    assert (
        "Chosen for review. The chance that any arm chose it was 40.0%, and stands for 2.5" in both
    )
    assert "Left by the sample of failure modes for “loop”: chance 20.0% (1 of 5" in both
    assert "threshold 3" in both
    assert "mode loop" in both
    assert "Not chosen" in explain(decision(left))
    assert "not been drawn yet" in explain(decision())
    assert "every trace there was taken" in explain(decision(every))
    assert "stands for 4 requests" in explain(decision(taken, upstream=0.25))
