"""The service's log: lines for a person, or one JSON object a line."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

import msgspec

__all__ = ["JsonLines", "set_up"]

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_NOISY: Final = ("asyncio", "uvicorn.error", "alembic", "sqlalchemy")
_PLAIN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """`time` (RFC 3339, UTC), `level`, `logger`, `message`, what `extra` gave, and `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; what JSON cannot hold is written as text."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in record.__dict__.items():
            if name not in _PLAIN:
                line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return msgspec.json.encode(line, enc_hook=str).decode()
        except (UnicodeEncodeError, ValueError, TypeError):
            shown = {k: str(v).encode("utf-8", "replace").decode() for k, v in line.items()}
            return msgspec.json.encode(shown).decode()


def set_up(form: str, *, verbose: bool, stream: TextIO | None = None) -> None:
    """Log to stderr.

    Args:
        form: `text` or `json` (the setting `log.format`).
        verbose: say more.
        stream: instead of stderr.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
