"""What the demo shows while it runs: progress bars on a terminal, a line a step elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Screen:
    """Talk goes to stderr (`console`); stdout (`page`) is for the report."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        width = None if sys.stdout.isatty() else 100  # a log has no width of its own
        self.page = Console(highlight=False, width=width)

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text)

    @contextlib.contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """A step of the demo; what it gives is to be called after each of `total` parts."""
        started, parts = time.monotonic(), 0
        columns = (
            TextColumn("{task.description:<44}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        shown = Progress(*columns, console=self.console, transient=True)
        task = shown.add_task(title, total=total)

        def advance() -> None:
            nonlocal parts
            parts += 1
            shown.advance(task)

        with shown if self.console.is_terminal else contextlib.nullcontext():
            yield advance
        counted = f" {parts}" if parts else ""
        self.say(f"[dim]{title:<44}{counted:>5}  {time.monotonic() - started:6.1f} s[/dim]")
