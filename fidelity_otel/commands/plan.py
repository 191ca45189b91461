"""`fidelity plan`: how many reviews a day answer a question, before anyone starts reviewing."""

from __future__ import annotations

import json
import math
from typing import Any

import click

__all__ = ["command"]


@click.command(
    epilog="""\b
Examples:
  fidelity plan
  fidelity plan --share 0.8 --width 0.03 --days 7
  fidelity plan --share 0.9 --drop 0.05 --days 7
  fidelity plan --per-day 50 --gain 1.3 --format json
"""
)
@click.option(
    "--share", type=float, default=0.9, show_default=True, help="Fidelity that you expect, 0–1."
)
@click.option(
    "--width",
    type=float,
    default=0.03,
    show_default=True,
    help="Half-width wanted, 0–1.",
)
@click.option(
    "--drop", type=float, default=0.05, show_default=True, help="A fall that you must not miss."
)
@click.option("--days", type=float, default=7.0, show_default=True, help="Time that you give it.")
@click.option("--per-day", type=float, help="Reviews that you have a day: says what they buy.")
@click.option("--level", type=float, default=0.95, show_default=True, help="Confidence level.")
@click.option(
    "--power", type=float, default=0.8, show_default=True, help="Chance to see the drop, 0–1."
)
@click.option(
    "--gain",
    type=float,
    default=1.0,
    show_default=True,
    help="Effective reviews a review, as the report shows (n_effective / n).",
)
@click.option("--traces", type=click.IntRange(min=1), help="Traces in that time, if few.")
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def command(style: str, **options: Any) -> None:
    """Say how many reviews a day show fidelity to ± WIDTH, or a fall by DROP, within DAYS."""
    found = planned(**options)
    click.echo(json.dumps(found) if style == "json" else _text(found))


def planned(
    *,
    share: float,
    width: float,
    drop: float,
    days: float,
    per_day: float | None,
    level: float,
    power: float,
    gain: float,
    traces: int | None,
) -> dict[str, Any]:
    """The plan as plain values.

    Args:
        share: fidelity expected.
        width: half-width wanted.
        drop: fall to see.
        days: time given.
        per_day: reviews at hand a day.
        level: confidence level.
        power: chance to see the drop.
        gain: effective reviews a review.
        traces: traces in the time, for the finite-population correction.

    Raises:
        DesignError: a share, width or drop outside (0, 1).
        InputError: a number of days or reviews that is not positive, or power outside (0, 1).
    """
    from fidelity_otel.errors import InputError
    from fidelity_otel.stats.arrays import check_level
    from fidelity_otel.stats.plan import (
        cusum_delay,
        reviews_for_drop,
        reviews_for_width,
        width_of,
    )

    check_level(level)
    for name, value in (("--days", days), ("--per-day", per_day)):
        if value is not None and not value > 0.0:
            raise InputError(f"{name} = {value:g}: a number above 0 is wanted")
    if not 0.0 < power < 1.0:
        raise InputError(f"--power = {power:g}: a number between 0 and 1 is wanted")
    for_width = reviews_for_width(share, width, level, gain=gain, frame=traces)
    for_drop = reviews_for_drop(share, drop, level, power, gain=gain)
    delay = cusum_delay(share, drop)
    found: dict[str, Any] = {
        "share": share,
        "width": width,
        "drop": drop,
        "days": days,
        "level": level,
        "power": power,
        "gain": gain,
        "reviews_for_width": for_width,
        "reviews_a_day_for_width": math.ceil(for_width / days),
        "reviews_for_drop": for_drop,
        "reviews_a_day_for_drop": math.ceil(for_drop / days),
        "alarm_after_reviews": round(delay.to_alarm, 1),
        "reviews_between_false_alarms": round(delay.between_false_alarms),
    }
    if per_day is not None:
        found["per_day"] = per_day
        found["width_after_days"] = round(width_of(share, per_day * days * gain, level), 4)
        found["alarm_after_days"] = round(delay.to_alarm / per_day, 1)
    return found


def _text(f: dict[str, Any]) -> str:
    lines = [
        f"Fidelity near {f['share']:.1%} to ±{f['width']:.1%} ({f['level']:.0%} interval):",
        (
            f"  {f['reviews_for_width']} reviews, {f['reviews_a_day_for_width']} a day"
            f" for {f['days']:g} days"
        ),
        f"A fall of {f['drop']:.1%} between two periods, seen with {f['power']:.0%} chance:",
        (
            f"  {f['reviews_for_drop']} reviews in each, {f['reviews_a_day_for_drop']} a day"
            f" for {f['days']:g} days"
        ),
        "The same fall by the running detector (CUSUM on reviews in order):",
        (
            f"  an alarm after {f['alarm_after_reviews']:g} reviews on average,"
            f" a false one every {f['reviews_between_false_alarms']:,}"
        ),
    ]
    if "per_day" in f:
        lines += [
            f"With {f['per_day']:g} reviews a day:",
            (
                f"  ±{f['width_after_days']:.1%} after {f['days']:g} days,"
                f" that alarm after {f['alarm_after_days']:g} days"
            ),
        ]
    return "\n".join(lines)
