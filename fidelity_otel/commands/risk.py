"""`fidelity risk fit|explain`: the probability of being wrong, fitted to reviews and explained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fidelity_otel.errors import NotFound

if TYPE_CHECKING:
    from fidelity_otel.processor.risk_model import Fitted
    from fidelity_otel.store import Store

__all__ = ["command"]

_FORMAT = click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)
_DATA = click.option("--data", metavar="DIR", help="Folder of the store.  [env: FIDELITY_DATA]")
_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="The service's YAML file.")


@click.group()
def command() -> None:
    """Each trace's probability of being wrong: it decides who is reviewed more often."""


@command.command(
    epilog="""\b
Examples:
  fidelity risk fit
  fidelity risk fit --dry-run --format json | jq .model.auc
"""
)
@click.option("--dry-run", is_flag=True, help="Say how good it would be; keep the model in use.")
@_FORMAT
@_DATA
@_CONFIG
def fit(*, dry_run: bool, style: str, data: str | None, config: Path | None) -> None:
    """Fit the risk to the reviewed traces; a running service does so by itself each day.

    Reviews are weighted by the inverse of their probability, quality is measured on folds that did
    not see the review, and where the fit is no better than the weights before any review, those
    stay. Hand-picked reviews are left out. The model before is held against the reviews since.
    """
    import msgspec

    from fidelity_otel.processor.risk_model import fit_from_reviews, keep_model

    with _open(data, config) as store:
        fitted = fit_from_reviews(store, now_ns=time.time_ns())
        if not dry_run:
            keep_model(store, fitted.model)
    if style == "json":
        click.echo(msgspec.json.encode(fitted).decode())
        return
    for line in _told(fitted):
        click.echo(line)


def _told(fitted: Fitted) -> list[str]:
    model = fitted.model
    lines = [f"{fitted.reviews} reviewed traces, {fitted.pruned} of them without a body left"]
    if model.auc is not None and model.brier is not None and model.brier_prior is not None:
        lines.append(
            f"area under the ROC curve {model.auc:.2f}, Brier score {model.brier:.3f} against "
            f"{model.brier_prior:.3f} before any review (cross-fitted)"
        )
    if not model.weights:
        lines.append("the weights before any review stay: too few reviews, or no better with them")
    strongest = sorted(model.weights.items(), key=lambda w: -abs(w[1]))[:8]
    lines += [f"  {weight:+.2f}  {name}" for name, weight in strongest]
    if fitted.drift is not None:
        moved = fitted.drift
        drifted = ", it has drifted" if fitted.drifted else ""
        lines.append(
            f"the model before said {moved.predicted:.0%} wrong of {moved.n} reviews since, "
            f"{moved.observed:.0%} were (z {moved.z:+.1f}{drifted})"
        )
    return lines


@command.command(
    epilog="""\b
Examples:
  fidelity risk explain 4bf92f3577b34da6a3ce929d0e0e4736
"""
)
@click.argument("trace_id")
@_FORMAT
@_DATA
@_CONFIG
def explain(trace_id: str, *, style: str, data: str | None, config: Path | None) -> None:
    """Say what moves the risk of one stored trace, in log-odds, with the model in use."""
    import msgspec

    from fidelity_otel.processor.detect.features import features
    from fidelity_otel.processor.detect.risk import risk
    from fidelity_otel.processor.read import read_otlp
    from fidelity_otel.processor.risk_model import kept_model

    with _open(data, config) as store:
        stored = store.trace(trace_id.lower())
        model = kept_model(store)
    if stored is None or not stored.record.otlp:
        what = "is not stored" if stored is None else "has no body left to explain"
        raise NotFound(f"{trace_id} {what}. Mend: `fidelity trace` shows what there is of it.")
    trace = read_otlp(stored.record.otlp)
    reasons = model.reasons(features(trace, stored.record.findings))
    row: dict[str, Any] = {
        "trace_id": stored.record.trace_id,
        "decided_with": stored.record.decision.risk,
        "risk": round(risk(trace, stored.record.findings, model), 4),
        "fitted_on": model.n if model.weights else 0,
        "reasons": reasons,
    }
    if style == "json":
        click.echo(msgspec.json.encode(row).decode())
        return
    fitted = f"fitted on {model.n} reviews" if model.weights else "before any review"
    click.echo(f"risk {row['risk']:.2f} ({fitted}); decided with {row['decided_with']:.2f}")
    for reason in reasons:
        click.echo(f"  {reason.adds:+.2f}  {reason.feature} = {reason.value:.3g}")
    if not reasons:
        click.echo("  nothing about it moves the risk")


def _open(data: str | None, config: Path | None) -> Store:
    from fidelity_otel.processor.config import load
    from fidelity_otel.report.open import open_existing

    return open_existing(load(config, given={"data": ("--data", data)}).values)
