"""A sampling decision in words: why a trace was or wasn't chosen, and how likely that was."""

from __future__ import annotations

from collections.abc import Sequence

from fidelity_otel.model import ArmDecision, Decision

__all__ = ["combined", "explain"]

_NAMES = {"estimation": "the estimate's sample", "discovery": "the sample of failure modes"}


def combined(arms: Sequence[ArmDecision]) -> float:
    """Probability to be chosen by at least one arm: 1 − ∏(1 − π); 0 before the draw."""
    missed = 1.0
    for arm in arms:
        missed *= 1.0 - arm.probability
    return 1.0 - missed


def explain(decision: Decision) -> str:
    """Sentences for a person, one a line.

    Args:
        decision: as stored, with or without its arms.
    """
    lines = [
        f"Stratum “{decision.stratum}”, window {decision.window}.",
        (
            f"Predicted risk to be wrong {decision.risk:.0%}, which gives size {decision.size:.3g}"
            " (larger is likelier, never 0)."
        ),
    ]
    if decision.reasons:
        lines.append(f"Known when it was decided: {'; '.join(decision.reasons)}.")
    if decision.upstream < 1.0:
        lines.append(
            f"Of requests like it a share of {decision.upstream:.4g} was kept: "
            f"it stands for {1.0 / decision.upstream:.3g} requests."
        )
    if not decision.arms:
        lines.append("Its window has not been drawn yet, so nobody knows whether it is chosen.")
        return "\n".join(lines)
    lines += [_arm(arm) for arm in decision.arms]
    total = combined(decision.arms)
    chosen = any(arm.selected for arm in decision.arms)
    stands = f", and stands for {1.0 / total:.1f} traces like it" if chosen and total > 0.0 else ""
    lines.append(
        f"{'Chosen' if chosen else 'Not chosen'} for review. "
        f"The chance that any arm chose it was {_share(total)}{stands}."
    )
    return "\n".join(lines)


def _arm(arm: ArmDecision) -> str:
    name = _NAMES.get(arm.arm, arm.arm)
    cell = f" for “{arm.stratum}”" if arm.arm == "discovery" else ""
    chance = f"chance {_share(arm.probability)} ({arm.reason})"
    if arm.threshold <= 0.0 and arm.probability >= 1.0:
        return f"Taken by {name}{cell}: every trace there was taken."
    if arm.threshold <= 0.0:
        return f"{'Taken' if arm.selected else 'Left'} by {name}{cell}: {chance}."
    where = "above" if arm.selected else "not above"
    return (
        f"{'Taken' if arm.selected else 'Left'} by {name}{cell}: {chance}; "
        f"its lot was {where} the threshold {arm.threshold:.4g}."
    )


def _share(p: float) -> str:
    return f"{p:.1%}" if p >= 0.001 else f"{p:.2g}"  # noqa: PLR2004
