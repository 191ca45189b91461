# Telling traces that hold no finding, made from `_sift.c` where a compiler was there at install.

from collections.abc import Iterable

def sift(
    otlp: bytes, loop_calls: int, stale_ns: int, most_ns: int, most_tokens: int
) -> tuple[bytes, int] | None: ...
def usual(words: Iterable[str]) -> None: ...
