"""The lead's page: one HTML file that needs nothing but itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fidelity_otel.report import charts, words
from fidelity_otel.report.summary import ModeLine, Summary

__all__ = ["render_html"]

MODES_SHOWN = 12


@lru_cache(1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fidelity_otel.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent,
        interval=words.interval,
        plus_minus=words.plus_minus,
        seconds=words.duration,
        when=words.when,
        watched=words.watched,
        mode_title=words.mode_title,
        level=words.of_level,
        points=words.points,
        between=words.points_between,
        count=lambda n: f"{n:,.0f}",
        requests=words.requests,
    )
    return environment


def render_html(made: Summary, *, title: str = "") -> str:
    """The summary as a self-contained page.

    Args:
        made: the numbers.
        title: the heading above the sentence; the workflows' names are not known to fit there.
    """
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            s=made,
            title=title or "Outcome fidelity",
            period=words.span_of_time(made.activity.first_ns, made.activity.last_ns),
            overview=Markup(charts.overview_chart(made)),  # noqa: S704 - made here, texts escaped
            course=Markup(charts.course_chart(made)),  # noqa: S704
            workflows=sorted(made.workflows, key=_worst_first),
            modes=_mode_rows(made),
            sunk=[change for change in made.changes if change.since_ns is not None],
            period_of=words.span_of_time,
            bar=lambda e, **k: Markup(charts.interval_bar(e, **k)),  # noqa: S704
            others=max(0, len(made.modes) - MODES_SHOWN),
            notes=words.notes_of(made),
        )
    )


def _worst_first(line: Any) -> tuple[bool, float, str]:
    estimate = line.fidelity.estimate
    return (estimate is None, estimate if estimate is not None else -line.traces, line.workflow)


def _mode_rows(made: Summary) -> list[tuple[ModeLine, Markup]]:
    most = max((m.asked.total for m in made.modes), default=0)
    return [
        (m, Markup(charts.state_bar(m, most)))  # noqa: S704
        for m in made.modes[:MODES_SHOWN]
    ]
