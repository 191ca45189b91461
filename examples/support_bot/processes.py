"""Child processes that say where they listen and end when we do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent


class ChildFailedError(Exception):
    """A child process ended before it was ready; the text has the end of what it said."""


@contextlib.contextmanager
def running(
    script: str, *arguments: str, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a script of this folder for the length of a `with` block.

    Args:
        script: its file name.
        arguments: given to it.
        log: file for what it says on stderr.
        env: environment variables to add.

    Yields:
        The address from the line "listening ADDRESS" that it prints.

    Raises:
        ChildFailedError: it ended without printing one.
    """
    with log.open("w", encoding="utf-8") as errors:
        child = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,  # when we end, however we end, its stdin closes and it ends too
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(env or {})},
        )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        lines = (line for line in child.stdout if line.startswith("listening "))
        address = next(lines, None)
        if address is None:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise ChildFailedError(f"{script} ended with code {child.wait()}:\n{said}")
        yield address.split()[1]
    finally:
        child.stdin.close()
        try:
            child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
