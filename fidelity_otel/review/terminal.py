"""The review queue in a terminal: the same items, the same keys as on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

from fidelity_otel.errors import LeaseError
from fidelity_otel.review import screen
from fidelity_otel.review.client import Queue
from fidelity_otel.review.messages import LeaseView, VerdictRequest
from fidelity_otel.review.rubric import Choice, Rubric

__all__ = ["Terminal"]

_HELP = (
    "1 right · 2 wrong · 3 partly · 4 can’t tell · f what went wrong · n note · c correction · "
    "Enter send · s skip · r read again · q stop"
)
_ENTER = {"\r", "\n", ""}


@dataclass(frozen=True, slots=True)
class _Draft:
    verdict: str = ""
    mode: str = ""
    note: str = ""
    correction: str = ""


class Terminal:
    """One reviewer's session.

    Args:
        queue: where items come from and verdicts go.
        reviewer: who judges.
        console: where items are shown.
        key: waits for one key; raises EOFError when there are no more.
        line: asks for a line of text.
    """

    def __init__(
        self,
        queue: Queue,
        reviewer: str,
        *,
        console: Console,
        key: Callable[[], str],
        line: Callable[[str], str],
    ) -> None:
        self._queue = queue
        self._reviewer = reviewer
        self._console = console
        self._key = key
        self._line = line

    def run(self, limit: int | None = None) -> int:
        """Judge until the queue is empty, the reviewer stops, or `limit` verdicts are given.

        Returns:
            How many verdicts were given.
        """
        given = 0
        wanted: str | None = None
        draft = _Draft()
        while limit is None or given < limit:
            lease = self._queue.take(self._reviewer, wanted)
            if lease is None and wanted is not None:
                self._tell("The item is no longer open to you.", "yellow")
                wanted, draft = None, _Draft()
                continue
            if lease is None:
                self._nothing_left()
                break
            self._show(lease)
            try:
                draft = self._ask(lease, draft)
            except (EOFError, KeyboardInterrupt):
                self._give_back(lease)
                break
            if not draft.verdict:  # skipped
                wanted, draft = None, _Draft()
                continue
            try:
                self._queue.judge(lease.lease_id, _request(draft))
            except LeaseError as error:
                # The words are kept: the same item is taken again, if it is still to be had.
                self._tell(str(error).partition("Mend: ")[0], "red")
                wanted = lease.item.item_id
                continue
            given += 1
            wanted, draft = None, _Draft()
            self._tell("Recorded.", "green")
        return given

    def _ask(self, lease: LeaseView, draft: _Draft) -> _Draft:
        rubric = lease.item.rubric
        verdicts = {c.key: c for c in rubric.verdicts}
        self._tell(rubric.question, "bold")
        self._tell(_HELP, "dim")
        while True:
            self._state(draft, rubric)
            pressed = self._key()
            if pressed in verdicts:
                draft = replace(draft, verdict=verdicts[pressed].name)
            elif pressed == "f":
                draft = replace(draft, mode=self._mode(rubric.modes))
            elif pressed == "n":
                draft = replace(draft, note=self._line("Note"))
            elif pressed == "c":
                draft = replace(draft, correction=self._line("What it should have said"))
            elif pressed == "s":
                self._skip(lease)
                return _Draft()
            elif pressed == "r":
                self._show(lease)
            elif pressed in {"q", "\x03", "\x04"}:
                raise EOFError
            elif pressed in _ENTER and draft.verdict:
                return draft
            elif pressed in _ENTER:
                self._tell("Choose a verdict first: keys 1 to 4.", "yellow")
            else:
                self._tell(_HELP, "dim")

    def _mode(self, modes: tuple[Choice, ...]) -> str:
        for choice in modes:
            self._tell(f"  {choice.key}  {choice.title}: {choice.help}")
        self._tell("  0  None of these")
        pressed = self._key()
        return next((c.name for c in modes if c.key == pressed), "")

    def _skip(self, lease: LeaseView) -> None:
        reason = self._line("Why (Enter for no reason)")
        try:
            self._queue.skip(lease.lease_id, reason)
            self._tell("Skipped.", "yellow")
        except LeaseError as error:
            self._tell(str(error), "red")

    def _give_back(self, lease: LeaseView) -> None:
        try:
            self._queue.release(lease.lease_id)
            self._tell("Handed back.", "dim")
        except LeaseError:
            pass  # it ran out: it is back in the queue already

    def _show(self, lease: LeaseView) -> None:
        self._console.rule(style="dim")
        self._console.print(screen.item(lease.item))

    def _state(self, draft: _Draft, rubric: Rubric) -> None:
        if not draft.verdict and not draft.mode:
            return
        titles = {c.name: c.title for c in (*rubric.verdicts, *rubric.modes)}
        parts = [titles.get(name, name) for name in (draft.verdict, draft.mode) if name]
        parts += [f"note: {draft.note}"] if draft.note else []
        parts += [f"should have said: {draft.correction}"] if draft.correction else []
        self._console.print(Text("→ ", "cyan").append_text(screen.safe(" · ".join(parts))))

    def _nothing_left(self) -> None:
        progress = self._queue.progress(self._reviewer)
        mine = progress.reviewers[0].judged if progress.reviewers else 0
        if not progress.items:
            self._tell("Nothing was sampled for review yet.", "yellow")
            return
        self._tell(
            f"Nothing is left for you: you judged {mine}, and {progress.open} of "
            f"{progress.items} still wait for somebody else."
        )

    def _tell(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))


def _request(draft: _Draft) -> VerdictRequest:
    return VerdictRequest(
        draft.verdict,  # type: ignore[arg-type]
        draft.mode or None,
        draft.note,
        draft.correction,
    )
