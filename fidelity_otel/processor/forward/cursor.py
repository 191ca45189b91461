"""How far a destination has read the journal, on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fidelity_otel.errors import JournalError

__all__ = ["Cursor"]


class Cursor:
    """A position in a file of its own, replaced whole, so that it is the old one or the new one.

    Args:
        path: of the file; its folder is made.
        start: the position where there is no file yet; it is written down at once.

    Raises:
        JournalError: the file cannot be read or written.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.position = int(json.loads(path.read_text())["position"])
        except FileNotFoundError:
            self.position = start
            self.move(start)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JournalError(
                f"{path}: how far was sent on cannot be read ({error}). Mend: remove the file; "
                "sending on then begins with what comes in next."
            ) from None

    def move(self, position: int) -> None:
        """Keep a position; when this returns it is on disk.

        Raises:
            JournalError: it cannot be written; the one before stays.
        """
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("w") as file:
                json.dump({"position": position}, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise JournalError(
                f"{self._path}: how far was sent on cannot be kept ({error.strerror}). "
                "Mend: check the disk; until then more is sent again after a restart."
            ) from None
        self.position = position
