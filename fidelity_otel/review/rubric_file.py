"""Rubrics per workflow, from a YAML file.

    support.answer:
      question: Does the customer know what to do next?
      hints:
        - Prices and dates must be those of the day of the question.
      modes:
        - {name: wrong_price, title: Wrong price, help: Not the price of that day.}
    "*":
      question: Did the user get what they needed?

What a workflow leaves out it takes from "*", and that from the built-in rubric. Its own failure
modes come first; `only: true` leaves the built-in ones out.
"""

from __future__ import annotations

import logging
import string
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import yaml

from fidelity_otel.errors import ConfigError
from fidelity_otel.review.rubric import DEFAULT_RUBRIC, Choice, Rubric

__all__ = ["RubricBook", "Rubrics", "read_rubrics"]

_log = logging.getLogger(__name__)
_KEYS = string.ascii_lowercase


class _Mode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: str
    help: str = ""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    question: str | None = None
    hints: tuple[str, ...] | None = None
    modes: tuple[_Mode, ...] = ()
    only: bool = False


class Rubrics(msgspec.Struct, frozen=True):
    """Rubrics by workflow, and the one for all others."""

    by_workflow: dict[str, Rubric] = {}
    other: Rubric = DEFAULT_RUBRIC

    def of(self, workflow: str) -> Rubric:
        """The rubric of a workflow."""
        return self.by_workflow.get(workflow, self.other)


def read_rubrics(text: str, *, where: str) -> Rubrics:
    """Read a file of rubrics.

    Args:
        text: YAML.
        where: the file's name, for errors.

    Raises:
        ConfigError: it is not YAML, or not rubrics; names the line or the place.
    """
    try:
        loaded: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{where}{line}: not YAML: {getattr(error, 'problem', None) or error}."
        ) from None
    try:
        entries = msgspec.convert(loaded or {}, type=dict[str, _Entry])
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{where}: {error}. Mend: give each workflow question, hints, modes and only."
        ) from None
    other = _rubric(entries.get("*", _Entry()), DEFAULT_RUBRIC, f"{where}: *")
    return Rubrics(
        {w: _rubric(e, other, f"{where}: {w}") for w, e in entries.items() if w != "*"}, other
    )


def _rubric(entry: _Entry, base: Rubric, where: str) -> Rubric:
    own = [(m.name, m.title, m.help) for m in entry.modes]
    names = {name for name, _, _ in own}
    if len(names) < len(own):
        raise ConfigError(f"{where}: a failure mode is named twice. Mend: name each once.")
    inherited = [] if entry.only else [(m.name, m.title, m.help) for m in base.modes]
    modes = [*own, *(m for m in inherited if m[0] not in names)]
    if len(modes) > len(_KEYS):
        raise ConfigError(
            f"{where}: {len(modes)} failure modes are more than there are letters to choose by. "
            "Mend: set only: true, or name fewer."
        )
    return Rubric(
        question=entry.question or base.question,
        hints=entry.hints if entry.hints is not None else base.hints,
        verdicts=base.verdicts,
        modes=tuple(
            Choice(name, key, title, help)
            for key, (name, title, help) in zip(_KEYS, modes, strict=False)  # noqa: A001
        ),
    )


class RubricBook:
    """The rubrics of a file, read anew when it changes. A faulty change is logged, and the last
    good one stays, so that a slip of the pen does not stop the reviewers.
    """  # noqa: D205

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: tuple[str, int] | None = None
        self._told = ""
        self._rubrics = Rubrics()

    def read(self, path: str) -> Rubrics:
        """The rubrics of the file; the built-in one where the path is empty.

        Raises:
            ConfigError: it was never read without fault.
        """
        if not path:
            return Rubrics()
        with self._lock:
            try:
                stamp = (path, Path(path).stat().st_mtime_ns)
                if stamp != self._seen:
                    self._rubrics = read_rubrics(Path(path).read_text(encoding="utf-8"), where=path)
                    self._seen = stamp
            except (OSError, UnicodeDecodeError, ConfigError) as error:
                fault = (
                    error
                    if isinstance(error, ConfigError)
                    else ConfigError(f"review.rubric {path}: cannot be read: {error}.")
                )
                if self._seen is None:
                    raise fault from None
                if str(fault) != self._told:
                    self._told = str(fault)
                    _log.error("%s The rubrics read before stay.", fault)
            return self._rubrics
