# The native reader of common attributes, made from `_read.c` where a compiler was there at install.

from collections.abc import Callable
from typing import Any

from fidelity_otel.model import Document, Message, Part
from fidelity_otel.processor.dialects.draft import Rule

def messages(
    text: str,
    message: type[Message],
    part: type[Part],
    arguments: Callable[[Any], Any],
    flattened: Callable[[Any], Any],
    finish_reason: Callable[[Any], str | None],
    decode: Callable[[bytes], Any],
    /,
) -> tuple[Message, ...] | None: ...
def documents(text: str, document: type[Document], /) -> tuple[Document, ...] | None: ...
def fill(
    into: dict[str, Any],
    rules: tuple[Rule, ...],
    attributes: dict[str, Any],
    text: Callable[[Any], str | None],
    /,
) -> None: ...
