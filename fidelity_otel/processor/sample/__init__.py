"""Which traces people review: strata, priority sampling, quotas, and a known probability for each.

A decision is made in two steps. `Sampler.candidate` looks at one trace when it is decided: its
stratum, size, randomness and window. `draw` looks at all candidates of a window when it has closed
and gives every one of them, chosen or not, its inclusion probability in each arm.
"""

from fidelity_otel.processor.sample.allocate import allocate, allocate_beside, mode_quotas, spread
from fidelity_otel.processor.sample.draw import Budget, Draw, draw
from fidelity_otel.processor.sample.explain import combined, explain
from fidelity_otel.processor.sample.merge import Sketch, draw_of, merge, sketch
from fidelity_otel.processor.sample.priority import BottomK, bottom_k, hashed, uniform
from fidelity_otel.processor.sample.sampler import Sampler, SampleSettings, stratum_name
from fidelity_otel.processor.sample.upstream import Upstream, read_upstream

__all__ = [
    "BottomK",
    "Budget",
    "Draw",
    "SampleSettings",
    "Sampler",
    "Sketch",
    "Upstream",
    "allocate",
    "allocate_beside",
    "bottom_k",
    "combined",
    "draw",
    "draw_of",
    "explain",
    "hashed",
    "merge",
    "mode_quotas",
    "read_upstream",
    "sketch",
    "spread",
    "stratum_name",
    "uniform",
]
