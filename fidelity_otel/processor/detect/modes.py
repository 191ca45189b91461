"""The table of failure modes that are detected: what, why, on what evidence, and what is missed."""

from __future__ import annotations

from typing import Final

from fidelity_otel.processor.detect import modes_answer, modes_source, modes_tool
from fidelity_otel.processor.detect.mode import Mode

__all__ = ["BY_NAME", "MODES"]

MODES: Final[tuple[Mode, ...]] = (*modes_tool.MODES, *modes_source.MODES, *modes_answer.MODES)

BY_NAME: Final[dict[str, Mode]] = {mode.name: mode for mode in MODES}
