"""How values look on a page: texts, tables of small values, times and ages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fidelity_otel.review.conversation import show
from fidelity_otel.review.times import to_text

__all__ = ["moment", "paper_age", "rows", "short", "shown", "took"]

_MOST_ROWS = 12
_LONGEST_CELL = 400
_DAYS_A_MONTH, _DAYS_A_YEAR = 30.44, 365.25


def shown(value: Any) -> str:
    """A value as text."""
    return show(value)


def rows(value: Any) -> list[tuple[str, str]] | None:
    """A flat object as name and value, for a small table; None where it is anything else."""
    if not isinstance(value, dict) or not 0 < len(value) <= _MOST_ROWS:
        return None
    if any(isinstance(v, dict | list) for v in value.values()):
        return None
    pairs = [(str(k), _cell(v)) for k, v in value.items()]
    return None if any(len(v) > _LONGEST_CELL for _, v in pairs) else pairs


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def short(text: str, length: int = 120) -> str:
    """The head of a text in one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def moment(time_ns: int) -> str:
    """A time to the second, UTC."""
    text = to_text(time_ns)
    return f"{text[:10]} {text[11:19]}" if text else "–"


def took(span_ns: int) -> str:
    """A span of time in the unit that fits."""
    seconds = span_ns / 1e9
    if seconds < 0:
        return "–"
    for limit, size, unit in (
        (1, 1e-3, "ms"),
        (120, 1, "s"),
        (7200, 60, "min"),
        (172_800, 3600, "h"),
    ):
        if seconds < limit:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"  # noqa: PLR2004
    return f"{seconds / 86_400:.0f} days"


def paper_age(date: str, asked_at: str) -> str:
    """How old a document's date was when the user asked, in words; "" where it can't be told."""
    then, asked = _date(date), _date(asked_at)
    if then is None or asked is None:
        return ""
    days = (asked - then).total_seconds() / 86_400
    if days < 0:
        return "after the question"
    for limit, size, unit in (
        (2, 1, "day"),
        (60, 1, "days"),
        (730, _DAYS_A_MONTH, "months"),
        (float("inf"), _DAYS_A_YEAR, "years"),
    ):
        if days < limit:
            if days < 1:
                return "of the same day"
            number = f"{days / size:.1f}" if unit == "years" else f"{days / size:.0f}"
            return f"{number} {unit} old then"
    return ""


def _date(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
