"""Draws of several replicas merged into the one that a single replica would have made.

A bottom-k draw needs only the k + 1 largest priorities; those of a union are among those of its
parts. So each replica keeps that many per stratum, and merging is exact (Cohen and Kaplan,
"Bottom-k sketches", PODC 2007).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from fidelity_otel.processor.sample.priority import bottom_k

__all__ = ["Sketch", "draw_of", "merge", "sketch"]


class Sketch(NamedTuple):
    """What a replica tells of one stratum and window.

    `top` holds (priority, trace id, size) of the largest priorities, at most `depth` of them, in
    falling order; `seen` is how many it saw.
    """

    depth: int
    seen: int
    top: tuple[tuple[float, str, float], ...]


def sketch(units: Iterable[tuple[str, float, float]], k: float) -> Sketch:
    """Keep what a draw of k units can need.

    Args:
        units: (trace id, size, u) of each candidate, each once.
        k: expected number to choose from the merged stratum; every replica must use the same.
    """
    depth = int(k) + 2
    ranked = [(size / u, trace_id, size) for trace_id, size, u in units]
    return Sketch(depth, len(ranked), tuple(heapq.nlargest(depth, ranked)))


def merge(parts: Iterable[Sketch]) -> Sketch:
    """The sketch of the union of disjoint candidates; associative and commutative.

    Args:
        parts: sketches of one depth, at least one.
    """
    made = list(parts)
    depth = min(part.depth for part in made)
    top = heapq.nlargest(depth, (unit for part in made for unit in part.top))
    return Sketch(depth, sum(part.seen for part in made), tuple(top))


def draw_of(whole: Sketch, k: float) -> dict[str, tuple[bool, float]]:
    """Who is chosen, and π of each unit in the sketch, as `bottom_k` over all candidates gives.

    Units outside the sketch are not chosen.

    Args:
        whole: merged sketch, of a depth of at least ⌊k⌋ + 2 or holding all candidates.
        k: expected number to choose.

    Raises:
        ValueError: the sketch was kept for a smaller k.
    """
    if len(whole.top) < min(whole.seen, int(k) + 2):
        raise ValueError(f"a sketch of depth {whole.depth} cannot give a draw of {k:g}")
    size = np.array([s for _, _, s in whole.top])
    priority = np.array([p for p, _, _ in whole.top])
    drawn = bottom_k(size, size / priority, k)
    return {
        trace_id: (bool(drawn.selected[i]), float(drawn.probability[i]))
        for i, (_, trace_id, _) in enumerate(whole.top)
    }
