"""The second half of a sampling decision: a closed window's draw, a pure function of its rows.

Two arms with independent randomness. *Estimation* draws by priority sampling within each stratum,
with Neyman allocation across strata of what both arms review. *Discovery* gives every failure mode
a quota, so that rare modes get seen. A trace's probability of being reviewed is 1 − ∏(1 − π_arm).
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
        sizes, spread(sizes, history), max(0.0, budget.estimation) + left, floor, found_there
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
            salt=salt,
            found=found,
        )
    for mode, members in _grouped(ordered, cells).items():
        randomness = [hashed(salt, "discovery", m.decision.trace_id) for m in members]
        size = np.ones(len(members))
        _draw_cell(
            "discovery",
            mode,
            members=members,
            size=size,
            randomness=randomness,
            k=quotas[mode],
            salt=salt,
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
    salt: bytes,
    found: dict[str, list[ArmDecision]],
) -> None:
    window = members[0].decision.window
    coin = uniform(hashed(salt, f"round {arm}", window, cell))
    u = np.array([uniform(r) for r in randomness])
    drawn = bottom_k(size, u, k, coin)
    reason = f"{k:.4g} of {len(members)} to be drawn"
    for i, member in enumerate(members):
        found[member.decision.trace_id].append(
            ArmDecision(
                arm=arm,
                window=window,
                stratum=cell,
                selected=bool(drawn.selected[i]),
                probability=float(drawn.probability[i]),
                size=float(size[i]),
                threshold=drawn.threshold,
                reason=reason,
            )
        )
