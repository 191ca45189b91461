"""The failure-mode document in a terminal and in Markdown: the same facts, line by line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Final

from rich.console import Console
from rich.text import Text

from fidelity_otel.model import Estimate
from fidelity_otel.report import words
from fidelity_otel.report.failures_lines import Candidate, FailureLine, Failures

__all__ = [
    "candidate_facts",
    "facts_of",
    "print_failures",
    "render_failures",
    "render_markdown",
    "summary_of",
]

_ARROW: Final = {"rising": "↑ rising", "falling": "↓ falling", "steady": "→ steady"}
_NONE_FOUND: Final = "No failure mode was found, and reviewers named none."
_MARKUP: Final = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|!"})


def summary_of(made: Failures) -> str:
    """One sentence at the top: how much was looked at, and how much of it has a finding."""
    if not made.traces:
        return "No traffic yet: there is nothing to say about."
    share = words.percent(made.with_findings / made.traces)
    said = (
        f"{made.with_findings:,} of {made.traces:,} requests ({share}) have a finding; "
        f"{made.reviewed:,} were reviewed."
    )
    if made.seen == made.traces:
        return said
    return (
        f"About {said} They are told from {made.seen:,} traces that were kept (head sampling, "
        "sample.keep_share); each counts for the requests that it stands for."
    )


def facts_of(line: FailureLine) -> Iterator[tuple[str, str]]:
    """(what, said) pairs about one mode in one workflow."""
    yield (
        "found in",
        (
            f"{words.percent(line.rate.estimate)} of requests ({words.interval(line.rate)}), "
            f"{line.traces:,} of {line.of:,}"
            + (f"; seen in {line.seen:,} of {line.seen_of:,} traces" if _sampled(line) else "")
        ),
    )
    yield "reviewers put down to it", _weighted(line.put_down, "requests")
    yield "wrong where it was found", _weighted(line.wrong, "its requests")
    if line.trend is not None:
        t = line.trend
        yield (
            "trend",
            (
                f"{_ARROW[t.direction]}: {words.percent(t.earlier)} before {words.when(t.at_ns)}, "
                f"{words.percent(t.later)} since ({_points(t.low)} to {_points(t.high)} points)"
            ),
        )
    by = ", ".join(f"{n:,} by {name.replace('_', ' ')}" for name, n in line.recovered_by.items())
    counts = [f"{line.recovered:,} recovered" + (f": {by}" if by else "")]
    counts += [f"{line.escalated:,} escalated", f"{line.unrecovered:,} neither"]
    yield "recovered by itself", f"{words.percent(line.recovered_share)} ({'; '.join(counts)})"
    known = line.noticed_share
    yield (
        "noticed by the system",
        ("not known" if known is None else f"{words.percent(known)} of {line.notice_known:,}"),
    )
    if line.median_recovery_seconds is not None:
        tokens = f", {line.extra_tokens:,} tokens" if line.extra_tokens else ""
        dear = f"; {line.dear:,} at ten times the usual cost or more" if line.dear else ""
        yield (
            "cost of recovering",
            (
                f"median {words.duration(line.median_recovery_seconds)}, in all "
                f"{words.duration(line.extra_seconds)}{tokens}{dear}"
            ),
        )
    yield "seen", f"first {words.when(line.first_ns)}, last {words.when(line.last_ns)}"
    if line.called:
        called = ", ".join(f"{words.mode_title(m)} ({n:,})" for m, n in line.called.items())
        yield "reviewers called it", called


def _sampled(line: FailureLine) -> bool:
    """Whether only some of the requests were kept."""
    return line.seen_of != line.of


def _points(change: float) -> str:
    return f"{100 * change:+.1f}".replace("-", "−")


def _weighted(made: Estimate, what: str) -> str:
    if not made.sufficient:
        return f"insufficient data ({made.n:,} reviewed)"
    return (
        f"{words.percent(made.estimate)} of {what} ({words.interval(made)}), "
        f"weighted, from {made.n:,} reviewed"
    )


def candidate_facts(candidate: Candidate) -> Iterator[tuple[str, str]]:
    """(what, said) pairs about a mode that only reviewers named."""
    yield (
        "named",
        f"in {candidate.named:,} reviewed requests, first {words.when(candidate.first_ns)}",
    )
    yield "detector", "has one, which missed them" if candidate.detected else "none knows this mode"
    yield "share", _weighted(candidate.rate, "requests")
    for note in candidate.notes:
        yield "note", f"“{_clean(note)}”"


def _clean(text: str) -> str:
    """A text from outside on one line, without control codes of a terminal's."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def render_failures(made: Failures, *, width: int = 100) -> str:
    """The document as plain text."""
    out = io.StringIO()
    print_failures(made, out, width=width)
    return out.getvalue()


def print_failures(made: Failures, file: IO[str], *, width: int | None = None) -> None:
    """Print the document; with colours where `file` is a terminal."""
    terminal = file.isatty()
    console = Console(
        file=file, width=width or (None if terminal else 100), highlight=False, emoji=False
    )

    def fact(what: str, said: str) -> None:
        text = Text(f"  {what:<26}", style="dim")
        console.print(text.append(said, style="not dim"), soft_wrap=True)

    console.print(Text(summary_of(made), style="bold"))
    if made.traces and not made.lines and not made.candidates:
        console.print(Text(_NONE_FOUND))
    for line in made.lines:
        console.print()
        head = Text(f"{_clean(line.workflow) or '(unnamed)'} · ", style="bold")
        console.print(head.append(words.mode_title(line.mode)).append(f"  {line.mode}", "dim"))
        for what, said in facts_of(line):
            fact(what, said)
        for one in line.exemplars:
            fact("for example", f"{one.path}  {one.state}: {_clean(one.evidence)}")
    if made.candidates:
        console.print()
        console.print(Text("Named by reviewers, found by no detector", style="bold"))
    for candidate in made.candidates:
        console.print()
        console.print(
            Text(f"{_clean(candidate.workflow)} · {_clean(words.mode_title(candidate.mode))}")
        )
        for what, said in candidate_facts(candidate):
            fact(what, said)
        for one in candidate.exemplars:
            fact("for example", one.path)


def render_markdown(made: Failures, *, base_url: str = "", title: str = "") -> str:
    """The document as Markdown.

    Args:
        made: the values.
        base_url: of the review site, put before the exemplars' paths.
        title: the heading.
    """

    def link(path: str, trace_id: str) -> str:
        return f"[`{trace_id[:16]}`]({base_url.rstrip('/')}{path})"

    out = [f"# {_escaped(title or 'How it fails')}", "", summary_of(made)]
    if made.traces and not made.lines and not made.candidates:
        out += ["", _NONE_FOUND]
    for line in made.lines:
        out += [
            "",
            f"## {_escaped(line.workflow or '(unnamed)')}: {words.mode_title(line.mode)}",
            "",
        ]
        out += ["| | |", "| --- | --- |"]
        out += [f"| {what} | {_escaped(said)} |" for what, said in facts_of(line)]
        out += [""]
        out += [
            f"- {link(e.path, e.trace_id)} {e.state}: {_escaped(_clean(e.evidence))}"
            for e in line.exemplars
        ]
    if made.candidates:
        out += ["", "## Named by reviewers, found by no detector"]
    for candidate in made.candidates:
        name = f"{candidate.workflow}: {words.mode_title(candidate.mode)}"
        out += ["", f"### {_escaped(_clean(name))}", "", "| | |", "| --- | --- |"]
        out += [f"| {what} | {_escaped(said)} |" for what, said in candidate_facts(candidate)]
        out += ["", *(f"- {link(e.path, e.trace_id)}" for e in candidate.exemplars)]
    return "\n".join(out) + "\n"


def _escaped(text: str) -> str:
    return text.translate(_MARKUP)
