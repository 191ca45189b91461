"""The report in a terminal: the sentence, then tables; colours only where there is a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fidelity_otel.model import Estimate
from fidelity_otel.report import words
from fidelity_otel.report.requests import ModeRequests
from fidelity_otel.report.summary import Summary

__all__ = ["print_text", "render_text"]

MODES_SHOWN = 12
_BAR = 24
_INSUFFICIENT = "insufficient data"


def render_text(made: Summary, *, width: int = 100) -> str:
    """The report as plain text of a given width."""
    out = io.StringIO()
    print_text(made, out, width=width)
    return out.getvalue()


def print_text(made: Summary, file: IO[str], *, width: int | None = None) -> None:
    """Print the report; with colours where `file` is a terminal.

    Args:
        made: the numbers.
        file: a text stream.
        width: columns; the terminal's own where None, 100 without one.
    """
    terminal = file.isatty()
    console = Console(
        file=file,
        width=width or (None if terminal else 100),
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print()
    console.print(Text(made.sentence, style="bold"))
    console.print()
    console.print(_overview(made))
    if made.workflows:
        console.print(_workflows(made))
    if made.modes:
        console.print(_modes(made))
    if len(made.releases) > 1:
        console.print(_releases(made))
    if any(change.since_ns for change in made.changes):
        console.print(_changes(made))
    if made.pairs:
        console.print(_pairs(made))
    if made.ages:
        console.print(_ages(made))
    if made.outcomes:
        console.print(_outcomes(made))
    if made.reviewers:
        console.print(_reviewers(made))
    console.print(Text(_reviews(made)))
    console.print()
    for note in words.notes_of(made):
        console.print(Text(f"· {note}", style="dim"))


def _table(title: str, *columns: str, left: Sequence[int] = (0,)) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for k, name in enumerate(columns):
        table.add_column(
            name,
            justify="left" if k in left else "right",
            header_style="dim",
            no_wrap=k > 0,
            overflow="fold",
        )
    return table


def _name(text: str) -> Text:
    """A name from outside: no markup of ours, no control codes of the terminal's."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in text))


def _cells(estimate: Estimate, *, style: str = "") -> tuple[Text, Text, Text]:
    """Estimate, interval and n of a row."""
    n = Text(f"{estimate.n:,} of {estimate.N:,}")
    if not estimate.sufficient:
        return Text(_INSUFFICIENT, style="yellow"), Text("–"), n
    return Text(words.percent(estimate.estimate), style=style), Text(words.interval(estimate)), n


def _overview(made: Summary) -> Table:
    table = _table("", "", "", f"{words.of_level(made.level)} interval", "reviewed")
    table.title = None
    share = made.activity.success_share
    if share is not None:
        table.add_row(
            "Reported success", words.percent(share), "counted", f"{made.activity.asked:,}"
        )
    if made.benchmark is not None:
        table.add_row("Benchmark score", words.percent(made.benchmark.score), "", "")
    table.add_row("Outcome fidelity", *_cells(made.fidelity, style="bold green"))
    table.add_row("Silent failures", *_cells(made.silent_failure, style="bold red"))
    if made.benchmark is not None and made.benchmark.gap.sufficient:
        gap = made.benchmark.gap
        between = words.points_between(gap)
        table.add_row("Below the benchmark by", words.points(gap.estimate), between, "")
    if made.truth is not None:
        truth = made.truth
        table.add_row("Truth: fidelity", words.percent(truth.fidelity, digits=1), "answer key", "")
        if truth.silent_failure is not None:
            said = words.percent(truth.silent_failure, digits=1)
            table.add_row("Truth: silent failures", said, "answer key", "")
    if made.troubled:
        recovered = words.percent(made.recovered_share)
        trouble = f"{made.in_trouble:,} in trouble"
        table.add_row("Recovered by itself", recovered, "counted", trouble)
    return table


def _workflows(made: Summary) -> Table:
    table = _table(
        "\nWorkflows", "workflow", "fidelity", "interval", "n of N", "silent", "success", "p95"
    )
    known = sorted(
        made.workflows,
        key=lambda w: (w.fidelity.estimate is None, w.fidelity.estimate or 0.0, w.workflow),
    )
    for line in known:
        name = _name(line.workflow or "(unnamed)")
        if line.workflow == made.worst_workflow:
            name.append("  worst", style="red")
        table.add_row(
            name,
            *_cells(line.fidelity),
            words.percent(line.silent_failure.estimate),
            words.percent(line.success_share),
            words.duration(line.latency.p95),
        )
    return table


def _modes(made: Summary) -> Table:
    table = _table(
        "\nFailure modes (counted on all traffic)",
        "mode", "", "requests", "recovered", "among wrong", "interval", "named",
        left=(0, 1),
    )  # fmt: skip
    most = max(m.asked.total for m in made.modes)
    for line in made.modes[:MODES_SHOWN]:
        table.add_row(
            _name(words.mode_title(line.mode)),
            _bar(line.asked, most),
            f"{line.asked.total:,.0f}",
            words.percent(line.recovered_share),
            words.percent(line.among_wrong.estimate),
            words.interval(line.among_wrong),
            f"{line.named:,}",
        )
    return table


def _bar(asked: ModeRequests, most: float) -> Text:
    """A bar of three signs, readable without colours: = recovered, ~ escalated, ! not."""
    bar = Text()
    for count, sign, style in (
        (asked.recovered, "=", "green"),
        (asked.escalated, "~", "yellow"),
        (asked.unrecovered, "!", "red"),
    ):
        if count:
            bar.append(sign * max(1, round(_BAR * count / most)), style=style)
    return bar


def _releases(made: Summary) -> Table:
    table = _table(
        "\nReleases",
        "release", "fidelity", "interval", "n of N", "than the one before", "first seen",
    )  # fmt: skip
    for line in made.releases:
        change = "–" if line.difference is None else words.points_between(line.difference)
        first = words.when(line.first_ns)
        table.add_row(_name(line.release or "(none)"), *_cells(line.fidelity), change, first)
    return table


def _changes(made: Summary) -> Table:
    table = _table(
        "\nSunk (sequential tests: one false alarm in 1,000 at most)",
        "what", "since", "most likely between", "from", "to", "fell most",
        left=(0, 1, 2, 5),
    )  # fmt: skip
    for line in made.changes:
        if line.since_ns is not None:
            table.add_row(
                _name(words.watched(line)),
                words.when(line.since_ns),
                words.span_of_time(line.low_ns, line.high_ns),
                words.percent(line.before),
                words.percent(line.after),
                _name(", ".join(line.fell)),
            )
    return table


def _reviewers(made: Summary) -> Table:
    table = _table(
        "\nReviewers (inferred from what two people judged)",
        "reviewer", "right answers kept", "wrong answers seen", "judged with others",
    )  # fmt: skip
    for line in made.reviewers:
        kept, seen = words.percent(line.right_kept), words.percent(line.wrong_seen)
        table.add_row(_name(line.reviewer), kept, seen, f"{line.pairs:,}")
    return table


def _pairs(made: Summary) -> Table:
    table = _table(
        "\nShadow candidates (same requests, judged blind)",
        "candidate", "better by", "interval", "only it right", "only incumbent", "judged", "p",
        "p of order",
    )  # fmt: skip
    for line in made.pairs:
        known = line.difference.sufficient
        table.add_row(
            _name(line.candidate),
            words.points(line.difference.estimate) if known else Text(_INSUFFICIENT, "yellow"),
            words.points_between(line.difference),
            f"{line.candidate_only:,}",
            f"{line.incumbent_only:,}",
            f"{line.judged:,} of {line.pairs:,}",
            f"{line.p_value:.2g}" if known else "–",
            "–" if line.order_p is None else f"{line.order_p:.2g}",
        )
    return table


def _ages(made: Summary) -> Table:
    table = _table(
        "\nRight at first, looked at again", "after", "still right", "interval", "n of N"
    )
    for line in made.ages:
        days = f"{line.days} day" if line.days == 1 else f"{line.days} days"
        share, interval, n = _cells(line.still_right)
        if line.with_missed is not None:
            share.append(f" ({words.percent(line.with_missed)} with missed looks)", style="dim")
        table.add_row(days, share, interval, n)
    return table


def _outcomes(made: Summary) -> Table:
    table = _table(
        "\nLate outcomes (of the requests that have one)",
        "outcome", "requests", "coverage", "mean", "agrees with review",
    )  # fmt: skip
    for line in made.outcomes:
        both = f"{line.agrees} of {line.compared}" if line.compared else "–"
        table.add_row(
            _name(line.name),
            f"{line.traces:,}",
            words.percent(line.coverage),
            words.percent(line.mean),
            both,
        )
    return table


def _reviews(made: Summary) -> str:
    r = made.reviews
    text = (
        f"\nReviews: {r.selected:,} drawn, {r.judged:,} judged, {r.waiting:,} waiting, "
        f"{r.cannot_tell:,} nobody could tell"
    )
    text += "".join(f"; {a.arm} arm {a.judged:,} of {a.selected:,}" for a in r.arms)
    if made.agreement.pairs:
        text += f"; two people agree in {made.agreement.same} of {made.agreement.pairs}"
        if made.agreement.kappa is not None:
            text += f" (κ = {made.agreement.kappa:.2f})"
    return text + "."
