"""Conversations and traces on a terminal.

What users and models wrote may hold escape sequences that move the cursor, rename the window or
paste into the shell; every control character is shown as a sign instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fidelity_otel.review.conversation import Conversation, Entry, Paper, show
from fidelity_otel.review.messages import ItemView, TraceView
from fidelity_otel.review.shapes import moment, paper_age, rows, short, took

__all__ = ["conversation", "item", "safe", "trace"]

_LONGEST = 4000


def safe(text: str) -> Text:
    """Text with every control character as a sign (␛ for escape), newlines and tabs kept."""
    return Text("".join(_sign(c) for c in text))


def _sign(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or (code >= 32 and not 127 <= code < 160):  # noqa: PLR2004
        # Marks that turn the direction of writing can make a text read as another one.
        return "�" if 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 else character  # noqa: PLR2004
    return chr(0x2400 + code) if code < 32 else "�"  # noqa: PLR2004


def _long(text: str) -> Text:
    if len(text) <= _LONGEST:
        return safe(text)
    return safe(text[:_LONGEST]).append(f"\n… {len(text) - _LONGEST} more characters", "dim")


def item(view: ItemView) -> Group:
    """A blind item."""
    head = Text.assemble(
        (view.workflow or "no workflow named", "bold cyan"),
        ("  " + view.asked_at[:16].replace("T", " ") + " UTC", "dim"),
    )
    talk = Conversation(
        view.request, view.answer, view.conversation, view.tools, view.documents, view.losses
    )
    parts: list[RenderableType] = [head]
    if view.purpose == "again":
        parts.append(Text("Asked some time ago. Judge the answer as of today.", "yellow"))
    parts.append(conversation(talk, view.asked_at))
    if view.opinions:
        parts.append(Text("Two people disagree; your verdict counts instead of theirs:", "yellow"))
    for opinion in view.opinions:
        said = ", ".join(filter(None, (opinion.verdict, opinion.mode, opinion.note)))
        meant = f"; should have said: {opinion.correction}" if opinion.correction else ""
        parts.append(safe(f"  {said}{meant}"))
    return Group(*parts)


def conversation(talk: Conversation, asked_at: str) -> Group:
    """The steps, and the answer last."""
    parts: list[RenderableType] = [_step(e, asked_at) for e in talk.entries]
    answer = _long(talk.answer) if talk.answer else Text("The user got no words back.", "dim")
    parts.append(Panel(answer, title="Answer the user got", title_align="left", style="bold"))
    if talk.losses:
        parts.append(Text("Not everything was recorded: " + ", ".join(talk.losses), "dim"))
    return Group(*parts)


def _step(entry: Entry, asked_at: str) -> RenderableType:
    if entry.kind == "user":
        return Panel(_long(entry.text), title="User", title_align="left", border_style="cyan")
    if entry.kind == "assistant":
        return Panel(_long(entry.text), title="Assistant", title_align="left", border_style="dim")
    if entry.kind == "instructions":
        return Text(f"Instructions to the assistant: {short(entry.text, 200)}", "dim")
    if entry.kind == "prompt":
        return Text(f"Sent to the model: {short(safe(entry.text).plain, 200)}", "dim")
    if entry.kind == "tool":
        return _tool(entry)
    if entry.kind == "retrieval":
        return _retrieval(entry, asked_at)
    return Text(entry.text, "dim")


def _tool(entry: Entry) -> RenderableType:
    parts: list[RenderableType] = []
    for label, value in (("asked", entry.arguments), ("answered", entry.result)):
        if value is not None:
            parts += [Text(label, "dim"), Padding(_value(value), (0, 0, 0, 2))]
    if entry.error:
        parts.append(Text("failed: ", "red").append_text(safe(entry.error)))
    if entry.result is None and not entry.error:
        parts.append(Text("No answer was recorded.", "dim"))
    title = safe(f"Tool {entry.name}")
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim")


def _value(value: object) -> RenderableType:
    table = rows(value)
    if table is None:
        return _long(show(value))
    grid = Table.grid(padding=(0, 2))
    for name, text in table:
        grid.add_row(safe(name), safe(text))
    return grid


def _retrieval(entry: Entry, asked_at: str) -> RenderableType:
    parts: list[RenderableType] = [_paper(d, asked_at) for d in entry.documents]
    if entry.error:
        parts.append(safe(entry.error))
    if not parts:
        parts.append(Text("Nothing was found.", "yellow"))
    title = safe(f"Looked up “{short(entry.text, 80)}”")
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim")


def _paper(document: Paper, asked_at: str) -> RenderableType:
    dates: list[str] = []
    if document.updated_at:
        age = paper_age(document.updated_at, asked_at)
        dates.append(f"updated {document.updated_at}" + (f", {age}" if age else ""))
    if document.indexed_at:
        dates.append(f"indexed {document.indexed_at}")
    if document.source:
        dates.append(document.source)
    if document.superseded_by:
        dates.append(f"replaced by {document.superseded_by}")
    title = safe(document.title or "Document without a title")
    title.stylize("bold")
    return Group(title, safe(" · ".join(dates) or "no date"), _long(document.text), Text())


def trace(view: TraceView) -> Group:
    """A trace with all that is known of it."""
    record, decision = view.record, view.record.decision
    state = "reported success" if record.reported_success else "reported an error"
    length = took(record.end_ns - record.start_ns)
    parts: list[RenderableType] = [
        Text(record.trace_id, "bold"),
        safe(f"{record.workflow}  {record.service}  {record.release}"),
        Text(f"{moment(record.start_ns)} UTC, took {length}, {record.span_count} spans, {state}"),
    ]
    if not view.retained:
        parts.append(Text("The body is no longer kept.", "yellow"))
    parts += [Text(), conversation(view.conversation, moment(record.start_ns)), Text()]
    parts += _section("Findings", (f"{f.mode} ({f.state}): {f.evidence}" for f in record.findings))
    drawn = [
        f"{a.arm}: {'chosen' if a.selected else 'not chosen'}, π = {a.probability:.4g}"
        for a in decision.arms
    ]
    parts += _section(
        "Sampling",
        [
            f"stratum {decision.stratum}, window {decision.window}"
            + ("" if view.drawn else " (open)"),
            f"risk {decision.risk:.3f}, size {decision.size:.3f}",
            *drawn,
        ],
    )
    parts += _section(
        "Outcomes",
        (
            f"{o.name} = {'' if o.value is None else format(o.value, 'g')} {o.label or ''} "
            f"({o.source or 'no source'}, {moment(o.observed_ns)})"
            for o in view.outcomes
        ),
    )
    parts += _section(
        "Reviews",
        (
            f"{r.verdict} by {r.reviewer}, {moment(r.finished_ns)}"
            + (f", {r.mode}" if r.mode else "")
            + (", picked by hand" if r.hand_picked else "")
            + (f"\n  {r.note}" if r.note else "")
            + (f"\n  should have said: {r.correction}" if r.correction else "")
            for r in view.reviews
        ),
    )
    return Group(*parts)


def _section(title: str, lines: Iterable[str]) -> list[RenderableType]:
    found = [safe("  " + line) for line in lines]
    return [Text(title, "bold"), *(found or [Text("  none", "dim")])]
