"""Building blocks of the dashboard: a number, a course, a band, bars; and the queries they need."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
NOTHING = "insufficient data"
GOOD, BAD, GREY, BLUE, AMBER = "#1f8a80", "#c4501f", "#8d949e", "#4a7fb5", "#d0a030"
THESE = 'workflow="$workflow", window="$window"'

SUCCESS = (
    'sum(increase(fidelity_traces_total{status="success"}[1d]))'
    " / sum(increase(fidelity_traces_total[1d]))"
)

Panel = Any


def rate(counter: str, *by: str) -> str:
    """Events per second of a counter, by some labels."""
    return f"sum by ({', '.join(by)}) (rate({counter}[$__rate_interval]))"


def quantile(q: float, histogram: str, *by: str, span: str = "") -> str:
    """A quantile of a histogram, over the panel's interval or a fixed span."""
    rated = (
        f"increase({histogram}_bucket[{span}])"
        if span
        else f"rate({histogram}_bucket[$__rate_interval])"
    )
    return f"histogram_quantile({q}, sum by ({', '.join((*by, 'le'))}) ({rated}))"


def query(
    expr: str, legend: str = "", ref: str = "A", *, instant: bool = False, exemplars: bool = False
) -> prometheus.Dataquery:
    """One PromQL query of a panel."""
    made = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(ref).datasource(SOURCE)
    if exemplars:
        made = made.exemplar(exemplar=True)
    if instant:
        return made.instant().format(prometheus_models.PromQueryFormat.TABLE)
    return made.range()


def queries(panel: Panel, *exprs: tuple[str, str], instant: bool = False) -> Panel:
    """Add (expression, legend) pairs as queries A, B, C and so on."""
    for ref, (expr, legend) in zip("ABCDEFGHIJ", exprs, strict=False):
        panel.with_target(query(expr, legend, ref, instant=instant))
    return panel


def frame(panel: Panel, title: str, text: str, unit: str, *, wide: int, high: int) -> Panel:
    """Title, description, data source, unit and size (in grid units) of any panel."""
    panel.title(title).description(text).datasource(SOURCE).unit(unit).span(wide).height(high)
    return panel.no_value(NOTHING)


def number(title: str, text: str, unit: str, *exprs: tuple[str, str], wide: int = 4) -> Panel:
    """A large number, or a few beside each other."""
    panel = frame(stat.Panel(), title, text, unit, wide=wide, high=4)
    panel.graph_mode(common_models.BigValueGraphMode.NONE)
    panel.color_mode(common_models.BigValueColorMode.NONE)
    return queries(panel, *exprs)


def course(
    title: str,
    text: str,
    unit: str,
    *exprs: tuple[str, str],
    wide: int = 12,
    stacked: bool = False,
    exemplars: bool = False,
) -> Panel:
    """Lines over time."""
    panel = frame(timeseries.Panel(), title, text, unit, wide=wide, high=8)
    panel.line_width(1.5).fill_opacity(35 if stacked else 0).span_nulls(True)
    panel.show_points(common_models.VisibilityMode.AUTO)
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
    )
    panel.tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    if unit == "percentunit":
        panel.axis_soft_max(1).max(1)
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if exemplars:
        for ref, (expr, legend) in zip("ABCDEFGHIJ", exprs, strict=False):
            panel.with_target(query(expr, legend, ref, exemplars=True))
        return panel
    return queries(panel, *exprs)


def prop(name: str, value: Any) -> models.DynamicConfigValue:
    """One property of an override."""
    return models.DynamicConfigValue(id_val=name, value=value)


def band(panel: Panel, color: str) -> Panel:
    """Draw the series `low` and `high` as one band and `estimate` as the line in it."""
    fixed = prop("color", {"mode": "fixed", "fixedColor": color})
    faint = [prop("custom.lineWidth", 0), prop("custom.showPoints", "never"), fixed]
    panel.override_by_name(
        "high",
        [*faint, prop("custom.fillBelowTo", "low"), prop("custom.fillOpacity", 20)],
    )
    panel.override_by_name("low", faint)
    panel.override_by_name("estimate", [fixed, prop("custom.lineWidth", 2)])
    dashed = {"fill": "dash", "dash": [8, 6]}
    for name, shade in (("objective", AMBER), ("benchmark", GREY), ("reported success", BLUE)):
        panel.override_by_name(
            name,
            [
                prop("color", {"mode": "fixed", "fixedColor": shade}),
                prop("custom.lineStyle", dashed),
            ],
        )
    return panel


def bounds(name: str, labels: str) -> list[tuple[str, str]]:
    """The three series of an estimate."""
    return [
        (f'max({name}{{{labels}, bound="{bound}"}})', bound)
        for bound in ("low", "estimate", "high")
    ]


def bars(title: str, text: str, unit: str, expr: str, legend: str, *, wide: int = 12) -> Panel:
    """Horizontal bars of the latest values."""
    panel = frame(bargauge.Panel(), title, text, unit, wide=wide, high=8)
    panel.orientation(common_models.VizOrientation.HORIZONTAL)
    panel.display_mode(common_models.BarGaugeDisplayMode.BASIC)
    panel.min(0)
    if unit == "percentunit":
        panel.max(1)
    panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(BLUE))
    return queries(panel, (expr, legend))
