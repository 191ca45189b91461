"""Numbers as people read them, and the sentence at the top of the report."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from math import ceil

from msgspec import UNSET

from fidelity_otel.model import Estimate
from fidelity_otel.report.summary import Activity, ChangeLine, Summary

__all__ = [
    "duration",
    "interval",
    "mode_title",
    "notes_of",
    "of_level",
    "percent",
    "plus_minus",
    "points",
    "points_between",
    "requests",
    "sentence_of",
    "span_of_time",
    "watched",
    "when",
]

_FINE = 0.005
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


@lru_cache(1)
def _titles() -> dict[str, str]:
    """What detectors and the rubric call their modes."""
    from fidelity_otel.processor.detect.modes import MODES as DETECTED
    from fidelity_otel.review.rubric import MODES as NAMED

    return {m.name: m.title for m in NAMED} | {m.name: m.title for m in DETECTED}


def mode_title(mode: str) -> str:
    """A failure mode's name for people."""
    known = _titles().get(mode)
    return known or (mode[:1].upper() + mode[1:].replace("_", " "))


def percent(share: float | None, *, digits: int | None = None) -> str:
    """A share as a percentage: whole, but never 0% or 100% of what is neither."""
    if share is None:
        return "–"
    if digits is None:
        near_end = 0 < share <= _FINE or 1 - _FINE <= share < 1
        digits = 1 if near_end else 0
    text = f"{100 * share:.{digits}f}"
    if text in {"0.0", "-0.0"} and share > 0:
        return "<0.1%"
    if text == "100.0" and share < 1:
        return ">99.9%"
    return f"{text.removeprefix('-') if float(text) == 0 else text}%"


def points(share: float | None) -> str:
    """A difference of shares in percentage points: `11 points`, `−3 points`."""
    if share is None:
        return "–"
    rounded = round(100 * share)
    unit = "point" if abs(rounded) == 1 else "points"
    return f"{rounded} {unit}".replace("-", "−")


def plus_minus(estimate: Estimate) -> str:
    """`78% ± 4%`: the larger side of the interval, rounded up, so as to claim no more than it."""
    if estimate.estimate is None or estimate.low is None or estimate.high is None:
        return "insufficient data"
    half = max(estimate.high - estimate.estimate, estimate.estimate - estimate.low)
    if half == 0:
        return percent(estimate.estimate)
    return f"{percent(estimate.estimate)} ± {ceil(100 * half - 1e-9)}%"


def points_between(estimate: Estimate) -> str:
    """`8 to 19 points`."""
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{points(estimate.low).partition(' ')[0]} to {points(estimate.high)}"


def interval(estimate: Estimate) -> str:
    """`74–82%`, or a dash."""
    if estimate.low is None or estimate.high is None:
        return "–"
    low, high = percent(estimate.low), percent(estimate.high)
    return low if low == high else f"{low.removesuffix('%')}–{high}"


def of_level(level: float) -> str:
    """`95%` of .95, `99.5%` of .995."""
    return f"{100 * level:g}%"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `840 ms`, `2.3 s`, `4 min`, `6 h`, `3 days`."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} days"


def when(time_ns: int, *, clock: bool = False) -> str:
    """A date in UTC, `14 Nov 2026`, with the time of day where wanted."""
    moment = datetime.fromtimestamp(time_ns / 1e9, UTC)
    date = f"{moment.day} {moment:%b %Y}"
    return f"{date}, {moment:%H:%M} UTC" if clock else date


def span_of_time(first_ns: int | None, last_ns: int | None) -> str:
    """`7–14 Nov 2026`, `14 Nov 2026, 09:10–11:42 UTC`."""
    if first_ns is None or last_ns is None:
        return "no traffic"
    first, last = (datetime.fromtimestamp(t / 1e9, UTC) for t in (first_ns, last_ns))
    if first.date() == last.date():
        return f"{when(first_ns)}, {first:%H:%M}–{last:%H:%M} UTC"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{when(last_ns)}"
    if first.year == last.year:
        return f"{first.day} {first:%b} – {when(last_ns)}"
    return f"{when(first_ns)} – {when(last_ns)}"


def requests(traffic: Activity) -> str:
    """`1,204 requests`; `about 9,800 requests (1,204 kept)` where only some of them were kept."""
    if traffic.requests is UNSET:
        return f"{traffic.traces:,} requests"
    return f"about {traffic.asked:,} requests ({traffic.traces:,} kept)"


def watched(change: ChangeLine) -> str:
    """What was watched: `support.answer: reviews`, `all requests: late outcome “resolved”`."""
    kind, _, name = change.watch.partition(":")
    what = f"late outcome “{name}”" if kind == "outcome" else kind
    return f"{'all requests' if change.workflow is None else change.workflow}: {what}"


def sentence_of(made: Summary) -> str:
    """The report in one sentence, in plain words, claiming no more than the data supports."""
    traffic = made.activity
    if not traffic.traces:
        return "No traffic yet: there is nothing to say about."
    if traffic.reported_success == traffic.traces:
        start = (
            "The only request reported success"
            if traffic.traces == 1 and traffic.requests is UNSET
            else f"Every one of {requests(traffic)} reported success"
        )
    else:
        start = f"{percent(traffic.success_share)} of {requests(traffic)} reported success"
    if not made.fidelity.sufficient:
        judged = made.reviews.judged
        if not judged:
            return f"{start}; what share of the answers was right is not known: none is reviewed."
        return (
            f"{start}; what share of the answers was right is not known yet: {judged} reviewed, "
            f"at least {made.minimum_n} are needed."
        )
    text = f"{start}, and {plus_minus(made.fidelity)} of the answers did what the user needed"
    if made.silent_failure.sufficient:
        text += f"; {percent(made.silent_failure.estimate)} failed silently"
    return text + "."


def notes_of(made: Summary) -> list[str]:
    """What a reader has to know to read the numbers rightly, most important first."""
    level, reviews = of_level(made.level), made.reviews
    made_by = (
        f"Intervals are {level} intervals. An estimate speaks for all {made.fidelity.N:,} requests "
        f"whose sample was drawn, from {made.fidelity.n:,} reviewed ones; each review is weighted "
        f"by the inverse of the probability with which its request was chosen."
    )
    notes = [made_by]
    if made.activity.requests is not UNSET:
        asked, traces = made.activity.asked, made.activity.traces
        notes.append(
            f"Of about {asked:,} requests {percent(traces / asked)} were kept, by a head sampler "
            f"before the service or by sample.keep_share: each trace stands for 1/p requests, p "
            f"the probability with which it was kept. Shares and estimates are of requests. What "
            f"is said “sunk” by late outcomes, how two reviewers agree, and shadow pairs are of "
            f"the {traces:,} traces."
        )
    if made.fidelity.sufficient:
        notes.append(
            f"Method: {made.fidelity.method}; the reviews tell as much as "
            f"{made.fidelity.n_effective:.0f} drawn with equal probability."
        )
    notes.append(
        "An answer is wrong where the reviewer says so; “partly” counts one half. It failed "
        "silently where the system reported success and no failure mode stayed open."
    )
    if made.always is not None:
        notes.append(
            f"For people who look every day, {interval(made.always)} holds at every moment at "
            f"once; the interval above holds for one look. This one uses no predictions."
        )
    if made.corrected is not None:
        notes.append(
            f"Two people differ on whether an answer is right in some traces; if each errs as "
            f"often as that suggests, fidelity is {percent(made.corrected.estimate)} "
            f"({interval(made.corrected)})."
        )
    if made.outcomes and not made.wrong_by_outcome:
        notes.append("Late outcomes make the estimates sharper; the verdicts alone decide.")
    if made.wrong_by_outcome:
        notes.append(
            f"{made.wrong_by_outcome:,} answers are wrong because a late outcome says so "
            f"(report.outcomes); {made.silent_by_outcome:,} of them failed silently."
        )
    if reviews.undrawn:
        notes.append(
            f"{reviews.undrawn:,} of the latest requests wait for their sample to be drawn; "
            f"no estimate speaks for them yet."
        )
    if reviews.cannot_tell or reviews.waiting:
        notes.append(
            f"{reviews.waiting:,} chosen requests wait for a review and in {reviews.cannot_tell:,} "
            f"nobody could tell; those reviewed stand for them within their stratum."
        )
    if reviews.hand_picked:
        notes.append(f"{reviews.hand_picked:,} reviews of hand-picked requests are in no estimate.")
    return [*notes, *made.warnings]
