"""Priority sampling with a fractional sample size: the k largest of size / u, each with its π.

Duffield, Lund and Thorup, "Priority sampling for estimation of arbitrary subset sums" (J. ACM
54(6), 2007): with u uniform on (0, 1] and τ the (k+1)-th largest priority, max(size, τ) of a chosen
unit estimates its size without bias, that is, π = min(1, size / τ) given the others' priorities.
Given those others, a unit's own τ is the k-th largest priority *among the others*: the (k+1)-th
largest of all for a chosen unit and the k-th largest of all for another one. With that rule π is
known for unchosen units as well, which combining several arms needs.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["RANDOM_BITS", "BottomK", "bottom_k", "hashed", "uniform"]

RANDOM_BITS = 56
"""As in the OpenTelemetry probability sampling specification, so that π can be written as `th`."""

_SPAN = float(1 << RANDOM_BITS)

Floats = NDArray[np.float64]


def hashed(salt: bytes, purpose: str, *parts: str) -> int:
    """A 56-bit number from a keyed hash: secret, reproducible, apart from the trace id's own bits.

    Args:
        salt: the secret of this installation, 1 to 64 bytes.
        purpose: names the use ("estimation", "discovery"), so that uses are independent.
        parts: what is hashed, usually a trace id.

    Returns:
        An integer in [0, 2^56).
    """
    body = "\x1f".join((purpose, *parts)).encode()
    digest = hashlib.blake2b(body, key=salt[:64], digest_size=RANDOM_BITS // 8).digest()
    return int.from_bytes(digest, "big")


def uniform(randomness: int) -> float:
    """The 56-bit number as u in (0, 1]."""
    return (randomness + 1) / _SPAN


class BottomK(NamedTuple):
    """A draw from one stratum; arrays of shape (N,) in the order given.

    `threshold` is τ, the first excluded priority (0 where everything was taken).
    """

    selected: NDArray[np.bool_]
    probability: Floats
    threshold: float


def bottom_k(size: Floats, u: Floats, k: float) -> BottomK:
    """Choose k units with probabilities about proportional to size.

    With a fractional k, π = (1 − f)·π(⌊k⌋) + f·π(⌊k⌋ + 1), where f is the fraction and π(0) = 0;
    a unit is chosen where its u ≤ π. Those of the ⌊k⌋ largest priorities always are, the next one
    is or isn't, all others never are: ⌊k⌋ or ⌊k⌋ + 1 units, k on average, and Σ y/π over the chosen
    stays unbiased even where fewer than one unit is drawn on average. No coin rounds k, so what is
    chosen hangs on u alone: one u in two draws is taken by both with probability min(π₁, π₂).

    Args:
        size: positive sizes, shape (N,).
        u: independent uniforms on (0, 1], shape (N,).
        k: expected number to choose, ≥ 0; k ≥ N takes all.

    Returns:
        Who was chosen, and everyone's π given the others' priorities.
    """
    total = size.shape[0]
    if k >= total:
        return BottomK(np.ones(total, dtype=np.bool_), np.ones(total), 0.0)
    priority = size / u
    order = np.argsort(-priority, kind="stable")
    ranked = priority[order]
    rank = np.empty(total, dtype=np.intp)
    rank[order] = np.arange(total)
    whole = int(k)
    fraction = k - whole
    pi = (1.0 - fraction) * _given_k(size, rank, ranked, whole)
    taken = whole
    if fraction > 0.0:
        pi = pi + fraction * _given_k(size, rank, ranked, whole + 1)
        taken += int(u[order[whole]] <= pi[order[whole]])
    return BottomK(rank < taken, pi, float(ranked[taken]) if taken < total else 0.0)


def _given_k(size: Floats, rank: NDArray[np.intp], ranked: Floats, k: int) -> Floats:
    """π of every unit when exactly k are taken: min(1, size / k-th largest priority of others)."""
    total = size.shape[0]
    if k <= 0:
        return np.zeros(total)
    if k >= total:
        return np.ones(total)
    threshold = np.where(rank < k, ranked[k], ranked[k - 1])
    pi: Floats = np.minimum(1.0, size / threshold)
    return pi
