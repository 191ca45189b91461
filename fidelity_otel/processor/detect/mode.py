"""What is written down about a failure mode."""

from __future__ import annotations

from dataclasses import dataclass

from fidelity_otel.model import FindingState

__all__ = ["Mode"]

ALL_STATES: tuple[FindingState, ...] = ("recovered", "unrecovered", "escalated")


@dataclass(frozen=True, slots=True)
class Mode:
    """One row of the table of failure modes; `docs/failure-modes.md` is generated from it.

    `mast` are ids of MAST (Cemri et al. 2025), `agentrx` categories of AgentRx, `owasp` ids of the
    OWASP top ten for agentic applications. `states` are those that a finding of the mode can have,
    `weights` its prior weights in the risk, in log-odds, by state.
    """

    name: str
    title: str
    what: str
    why: str
    evidence: str
    recovery: str
    known_misses: str
    mast: tuple[str, ...] = ()
    agentrx: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()
    states: tuple[FindingState, ...] = ALL_STATES
    weights: tuple[float, float, float] = (0.2, 1.0, 0.6)

    def weight(self, state: str) -> float:
        """The prior weight of a finding of this mode in a state, in log-odds."""
        return self.weights[ALL_STATES.index(state)] if state in ALL_STATES else 0.0
