"""The report's pictures as inline SVG: no script, no font, no address, readable in print.

Colours come from the page's CSS by class, so that they follow its light and dark theme.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import floor

from fidelity_otel.model import Estimate
from fidelity_otel.report.summary import ModeLine, Period, Summary
from fidelity_otel.report.words import interval, percent, plus_minus, when

__all__ = ["course_chart", "interval_bar", "overview_chart", "state_bar"]

_WIDTH = 1000
_LEFT = 190
_RIGHT = 970
_ROW = 46
_TENTH = 0.1


class _Scale:
    """Shares to x, over [first, 1]."""

    def __init__(self, first: float, left: float, right: float) -> None:
        self.first, self.left, self.right = first, left, right

    def __call__(self, share: float) -> float:
        inside = min(max(share, self.first), 1.0)
        return self.left + (inside - self.first) / (1 - self.first) * (self.right - self.left)

    def ticks(self) -> list[float]:
        step = _TENTH if self.first >= 0.45 else 2 * _TENTH  # noqa: PLR2004
        count = round((1 - self.first) / step)
        return [1 - step * k for k in range(count, -1, -1)]


def _svg(width: float, height: float, label: str, parts: Sequence[str], css: str = "") -> str:
    body = "".join(parts)
    return (
        f'<svg class="chart {css}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(label)}"><title>{escape(label)}</title>{body}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, css: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _dot(x: float, y: float, css: str, radius: float = 6) -> str:
    return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


def _box(x1: float, y: float, x2: float, height: float, css: str, *, radius: float = 3) -> str:
    width = max(x2 - x1, 0.0)
    return (
        f'<rect class="{css}" x="{x1:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:g}" '
        f'rx="{radius:g}"/>'
    )


def _diamond(x: float, y: float, css: str, size: float = 7) -> str:
    corners = ((x, y - size), (x + size, y), (x, y + size), (x - size, y))
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in corners)
    return f'<path class="{css}" d="M{path}Z"/>'


def overview_chart(made: Summary) -> str:
    """What runs, what the benchmark promised, and what users got, on one scale."""
    rows: list[tuple[str, str, float, Estimate | None, str]] = []
    if made.activity.success_share is not None:
        share = made.activity.success_share
        rows.append(("Reported success", "activity", share, None, percent(share)))
    if made.benchmark is not None:
        score = made.benchmark.score
        rows.append(("Benchmark score", "benchmark", score, None, percent(score)))
    if made.fidelity.estimate is not None:
        value = made.fidelity.estimate
        rows.append(("Outcome fidelity", "fidelity", value, made.fidelity, percent(value)))
    if made.truth is not None:
        truth = made.truth.fidelity
        rows.append(("Truth (answer key)", "truth", truth, None, percent(truth, digits=1)))
    if not rows:
        return ""
    lowest = min(r[3].low if r[3] and r[3].low is not None else r[2] for r in rows)
    scale = _Scale(max(0.0, floor(10 * (lowest - _TENTH)) / 10), _LEFT, _RIGHT)
    height = 22 + _ROW * len(rows) + 30
    bottom = height - 30
    parts = _axis(scale, 14, bottom)
    if made.objective is not None and made.objective >= scale.first:
        x = scale(made.objective)
        parts += [
            _line(x, 14, x, bottom, "objective"),
            _text(x, 10, f"objective {percent(made.objective)}", "small objective-text", "middle"),
        ]
    for k, (name, kind, value, estimate, said) in enumerate(rows):
        y = 14 + _ROW * k + _ROW / 2
        parts.append(_text(0, y + 5, name, "name strong" if kind == "fidelity" else "name"))
        parts += _mark(scale, y, kind=kind, value=value, estimate=estimate, said=said)
    label = "; ".join(f"{name} {said}" for name, _, _, _, said in rows)
    return _svg(_WIDTH, height, label, parts, "overview")


def _mark(
    scale: _Scale, y: float, *, kind: str, value: float, estimate: Estimate | None, said: str
) -> list[str]:
    x = scale(value)
    parts = []
    end = x
    if estimate is not None and estimate.low is not None and estimate.high is not None:
        parts.append(_box(scale(estimate.low), y - 9, scale(estimate.high), 18, "band"))
        end = scale(estimate.high)
        said = f"{said}  ({interval(estimate)})"
    else:
        parts.append(_line(scale.left, y, x, y, "lead"))
    parts.append(
        _diamond(x, y, "benchmark")
        if kind == "benchmark"
        else _dot(x, y, kind, 7 if estimate else 6)
    )
    room = end + 14 + 9 * len(said) < scale.right + 30
    css = "value halo strong" if kind == "fidelity" else "value halo"
    if room:
        parts.append(_text(end + 14, y + 5, said, css))
    else:
        start = scale(estimate.low) if estimate and estimate.low is not None else x
        parts.append(_text(start - 14, y + 5, said, css, "end"))
    return parts


def _axis(scale: _Scale, top: float, bottom: float) -> list[str]:
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts.append(_line(x, top, x, bottom, "grid"))
        parts.append(_text(x, bottom + 18, percent(tick), "small", "middle"))
    return parts


def course_chart(made: Summary) -> str:
    """Fidelity over time: a band for the interval, a point for the estimate, n under each."""
    periods = made.course
    known = [p for p in periods if p.fidelity.low is not None]
    if not known:
        return ""
    lowest = min(p.fidelity.low or 0.0 for p in known)
    if made.benchmark is not None:
        lowest = min(lowest, made.benchmark.score)
    first = max(0.0, floor(10 * (lowest - 0.05)) / 10)
    top, bottom, left, right = 18.0, 210.0, 46.0, 972.0

    def height(share: float) -> float:
        return bottom - (min(max(share, first), 1) - first) / (1 - first) * (bottom - top)

    start, end = periods[0].start_ns, periods[-1].end_ns

    def across(time_ns: float) -> float:
        return left + (time_ns - start) / (end - start) * (right - left)

    parts = []
    for tick in _Scale(first, 0, 1).ticks():
        parts.append(_line(left, height(tick), right, height(tick), "grid"))
        parts.append(_text(left - 8, height(tick) + 4, percent(tick), "small", "end"))
    lines = [(v, n) for v, n in _references(made) if v >= first]
    for place, (value, name) in enumerate(lines):
        below = place > 0 and abs(lines[0][0] - value) < _TENTH
        parts.append(_line(left, height(value), right, height(value), f"{name}-line"))
        said = f"{name} {percent(value)}"
        y = height(value) + (15 if below else -6)
        parts.append(_text(right, y, said, f"small {name}-text halo", "end"))
    for run in _runs(periods):
        points = [(across((p.start_ns + p.end_ns) / 2), p) for p in run]
        upper = [f"{x:.1f},{height(p.fidelity.high or 0):.1f}" for x, p in points]
        lower = [f"{x:.1f},{height(p.fidelity.low or 0):.1f}" for x, p in reversed(points)]
        parts.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
        middle = " ".join(f"{x:.1f},{height(p.fidelity.estimate or 0):.1f}" for x, p in points)
        parts.append(f'<polyline class="course" points="{middle}"/>')
    for period in periods:
        parts += _point(period, across((period.start_ns + period.end_ns) / 2), height, bottom)
    parts += _dates(periods, across, bottom)
    parts.append(_text(left - 8, bottom + 36, "n", "small", "end"))
    label = "Outcome fidelity over time: " + "; ".join(
        f"{when(p.start_ns)} {plus_minus(p.fidelity)} (n={p.fidelity.n})" for p in periods
    )
    return _svg(_WIDTH, bottom + 46, label, parts)


def _references(made: Summary) -> list[tuple[float, str]]:
    """What fidelity is held against, the highest first."""
    found = [(made.benchmark.score, "benchmark")] if made.benchmark is not None else []
    if made.objective is not None:
        found.append((made.objective, "objective"))
    return sorted(found, reverse=True)


def _runs(periods: Sequence[Period]) -> list[list[Period]]:
    """Neighbouring periods with an estimate: a band is not drawn across what is not known."""
    runs: list[list[Period]] = []
    before: Period | None = None
    for period in periods:
        if period.fidelity.sufficient:
            if before is None or before.end_ns != period.start_ns:
                runs.append([])
            runs[-1].append(period)
            before = period
        else:
            before = None
    return runs


def _point(period: Period, x: float, height: Callable[[float], float], bottom: float) -> list[str]:
    made = period.fidelity
    n = _text(x, bottom + 36, f"{made.n}", "small", "middle")
    if made.estimate is None or made.low is None or made.high is None:
        return [_dot(x, bottom, "unknown", 4), n]
    whisker = _line(x, height(made.low), x, height(made.high), "whisker")
    return [whisker, _dot(x, height(made.estimate), "fidelity", 5), n]


def _dates(periods: Sequence[Period], across: Callable[[float], float], bottom: float) -> list[str]:
    days = (periods[0].end_ns - periods[0].start_ns) / 86_400e9
    marks = []
    every = max(1, len(periods) // 7)
    for k, period in enumerate(periods):
        if k % every:
            continue
        middle = (period.start_ns + period.end_ns) / 2
        text = when(period.start_ns) if days >= 1 else when(period.start_ns, clock=True)
        short = text.rsplit(" ", 1)[0] if days >= 1 else text.split(", ")[1].removesuffix(" UTC")
        marks.append(_text(across(middle), bottom + 18, short, "small", "middle"))
    return marks


def interval_bar(
    estimate: Estimate, *, kind: str = "fidelity", reference: float | None = None
) -> str:
    """A small interval on a 0–100% scale, for a table's cell."""
    scale = _Scale(0.0, 2, 198)
    parts = [_line(2, 12, 198, 12, "track")]
    parts += [_line(scale(t), 8, scale(t), 16, "tick") for t in (0.0, 0.5, 1.0)]
    if reference is not None:
        parts.append(_line(scale(reference), 3, scale(reference), 21, "objective"))
    if estimate.estimate is None or estimate.low is None or estimate.high is None:
        return _svg(200, 24, f"insufficient data, n={estimate.n}", parts, "cell")
    low, high = scale(estimate.low), scale(estimate.high)
    parts.append(_box(low, 6, max(high, low + 2), 12, f"band {kind}-band"))
    parts.append(_dot(scale(estimate.estimate), 12, kind, 4.5))
    label = f"{percent(estimate.estimate)}, {interval(estimate)}"
    return _svg(200, 24, label, parts, "cell")


def state_bar(line: ModeLine, most: float) -> str:
    """How many requests had a mode, by what became of it; `most` fills the cell."""
    parts, x = [], 0.0
    asked = line.asked
    counts = tuple(map(round, (asked.recovered, asked.escalated, asked.unrecovered)))
    for name, count in zip(("recovered", "escalated", "unrecovered"), counts, strict=True):
        width = 200 * count / most if most else 0
        if count:
            width = max(width, 2.0)
            parts.append(_box(x, 5, x + width - 0.8, 14, name, radius=1.5))
            x += width
    label = "{} recovered, {} escalated, {} not".format(*counts)
    return _svg(max(200, x), 24, label, parts, "cell")
