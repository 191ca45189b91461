"""The second half of a sampling decision: a closed window's draw, a pure function of its rows.

Two arms with independent randomness. *Estimation* draws by priority sampling within each stratum,
with Neyman allocation across strata of what both arms review. *Discovery* gives every failure mode
a quota, so that rare modes get seen. A trace's probability of being reviewed is 1 − ∏(1 − π_arm).

Traces of one randomness (a shadow pair's) have one random number in each arm. Where they meet in a
cell they are one unit there; elsewhere the one is drawn with the other wherever its π allows. So in
each arm both are chosen with probability min(π₁, π₂), whatever their windows and cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fidelity_otel.model import Arm, ArmDecision, Decision
from fidelity_otel.processor.sample.allocate import History, allocate_beside, mode_quotas, spread
from fidelity_otel.processor.sample.priority import bottom_k, hashed, uniform

__all__ = ["Budget", "Draw", "Row", "draw"]


class Row(Protocol):
    """One candidate of the window: its decision without arms, and its failure modes."""

    @property
    def decision(self) -> Decision:
        """What `Sampler.candidate` made."""
        ...

    @property
    def modes(self) -> tuple[str, ...]:
        """Failure modes found in the trace."""
        ...


class Budget(NamedTuple):
    """Expected reviews of one window, per arm; fractions are meant."""

    estimation: float
    discovery: float = 0.0


class Draw(NamedTuple):
    """A window's draw.

    `arms` holds, for every trace of the window, chosen or not, one decision an arm that could have
    chosen it. `carry` is the budget that the window could not use (too few traces).
    """

    arms: dict[str, tuple[ArmDecision, ...]]
    carry: float

    @property
    def selected(self) -> list[str]:
        """Ids of the traces that go to review."""
        return [i for i, each in self.arms.items() if any(a.selected for a in each)]


def draw(
    rows: Sequence[Row],
    budget: Budget,
    history: Mapping[str, History],
    salt: bytes,
    *,
    floor: float = 0.0,
) -> Draw:
    """Draw a closed window.

    The result depends on the rows as a set, not on their order, and on nothing but the arguments:
    another replica with the same rows and salt draws the same traces.

    Args:
        rows: all candidates of one window.
        budget: expected reviews per arm. What discovery cannot use, estimation gets.
        history: earlier verdicts per stratum, for the allocation.
        salt: the installation's secret.
        floor: reviews per stratum and window before the rest is split by Neyman.

    Returns:
        Decisions with π for every row, and the budget left over.
    """
    ordered = sorted(rows, key=lambda row: row.decision.trace_id)
    found: dict[str, list[ArmDecision]] = {row.decision.trace_id: [] for row in ordered}
    cells = _cells(ordered)
    quotas = mode_quotas(Counter(cells.values()), max(0.0, budget.discovery))
    left = max(0.0, budget.discovery) - sum(quotas.values())
    by_stratum = _grouped(ordered, {row.decision.trace_id: row.decision.stratum for row in ordered})
    sizes = {stratum: len(members) for stratum, members in by_stratum.items()}
    found_there = _expected(ordered, cells, quotas)
    shares = allocate_beside(
        sizes,
        _weights(by_stratum, history),
        max(0.0, budget.estimation) + left,
        floor,
        found_there,
    )
    carry = max(0.0, budget.estimation) + left - sum(shares.values())
    for stratum, members in by_stratum.items():
        randomness = [m.decision.randomness for m in members]
        size = np.array([m.decision.size for m in members])
        _draw_cell(
            "estimation",
            stratum,
            members=members,
            size=size,
            randomness=randomness,
            k=shares[stratum],
            found=found,
        )
    for mode, members in _grouped(ordered, cells).items():
        randomness = [hashed(salt, "discovery", f"{m.decision.randomness:014x}") for m in members]
        size = np.ones(len(members))
        _draw_cell(
            "discovery",
            mode,
            members=members,
            size=size,
            randomness=randomness,
            k=quotas[mode],
            found=found,
        )
    return Draw({i: tuple(each) for i, each in found.items()}, max(0.0, carry))


def _cells(rows: Sequence[Row]) -> dict[str, str]:
    """The discovery cell of each trace with findings: the rarest of its modes in this window.

    Cells partition the flagged traces, so each has one probability in this arm; the rarest mode,
    because that is the quota which is hardest to fill. It depends on the frame, not on the draw.
    """
    frequency = Counter(mode for row in rows for mode in set(row.modes))
    return {
        row.decision.trace_id: min(row.modes, key=lambda mode: (frequency[mode], mode))
        for row in rows
        if row.modes
    }


def _expected(
    rows: Sequence[Row], cells: Mapping[str, str], quotas: Mapping[str, float]
) -> dict[str, float]:
    """Reviews that the discovery arm will make in each stratum, on average."""
    sizes = Counter(cells.values())
    expected: dict[str, float] = {}
    for row in rows:
        cell = cells.get(row.decision.trace_id)
        if cell is not None:
            stratum = row.decision.stratum
            expected[stratum] = expected.get(stratum, 0.0) + quotas[cell] / sizes[cell]
    return expected


def _weights(
    strata: Mapping[str, Sequence[Row]], history: Mapping[str, History]
) -> dict[str, float]:
    """What a review is worth in each stratum: how verdicts spread, for what its traces stand for.

    A stratum of which only a share was kept (`upstream`) is larger than the traces that are there.
    """
    spreads = spread({name: len(members) for name, members in strata.items()}, history)
    return {
        name: spreads[name] * sum(_units(m.decision) for m in members) / len(members)
        for name, members in strata.items()
    }


def _units(decision: Decision) -> float:
    return 1.0 / decision.upstream if 0.0 < decision.upstream < 1.0 else 1.0


def _grouped(rows: Sequence[Row], key: Mapping[str, str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = key.get(row.decision.trace_id)
        if name is not None:
            groups.setdefault(name, []).append(row)
    return groups


def _draw_cell(
    arm: Arm,
    cell: str,
    *,
    members: Sequence[Row],
    size: NDArray[np.float64],
    randomness: Sequence[int],
    k: float,
    found: dict[str, list[ArmDecision]],
) -> None:
    numbers, unit = np.unique(np.array(randomness, dtype=np.int64), return_inverse=True)
    count = len(numbers)
    # Members of one randomness are a unit of their mean size, chosen or left as a whole.
    sizes = np.bincount(unit, size, count) / np.bincount(unit, minlength=count)
    u = np.array([uniform(int(r)) for r in numbers])
    drawn = bottom_k(sizes, u, k * (count / len(members)))
    reason = f"{k:.4g} of {len(members)} to be drawn"
    for i, member in zip(unit, members, strict=True):
        found[member.decision.trace_id].append(
            ArmDecision(
                arm=arm,
                window=member.decision.window,
                stratum=cell,
                selected=bool(drawn.selected[i]),
                probability=float(drawn.probability[i]),
                size=float(sizes[i]),
                threshold=drawn.threshold,
                reason=reason,
            )
        )
