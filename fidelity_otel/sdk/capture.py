"""Any value as bounded, valid JSON, without running or consuming what it describes.

`to_json` never raises and never returns more than it was allowed. What it had to leave out it says:
`truncated`, `circular`, `unserialisable`. The walk takes a copy of everything at once, so that what
the application changes afterwards does not show up in the span.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from fidelity_otel.sdk.describe import UNKNOWN, describe, type_name

__all__ = ["Captured", "to_json"]

_encode: Final = msgspec.json.Encoder().encode
_FAST: Final = frozenset({str, int, float, bool, type(None)})
_MORE: Final = "…"
_DEPTH: Final = 24
_SMALL_INT: Final = 1 << 63
_MARK_BYTES: Final = 3  # "…" in UTF-8
_TAIL_BYTES: Final = 24  # kept free for the note of what was left out

Captured = tuple[str, tuple[str, ...]]
"""JSON text, and the kinds of loss that it stands for."""


def to_json(value: Any, limit: int) -> Captured:
    """Serialise a value.

    Args:
        value: anything.
        limit: the most bytes of the JSON text in UTF-8; at least 64.

    Returns:
        The text and the losses.
    """
    kind = type(value)
    if kind is str and len(value) * 6 + 2 <= limit:
        try:
            return _encode(value).decode(), ()
        except UnicodeEncodeError:  # lone surrogates
            pass
    elif kind is dict and len(value) < 32:  # noqa: PLR2004 - the common case: few small arguments
        size = 2
        for key, item in value.items():
            if type(key) is not str or type(item) not in _FAST:
                break
            size += len(key) * 6 + (len(item) * 6 if type(item) is str else 24) + 6
        else:
            if size <= limit:
                try:
                    return _encode(value).decode(), ()
                except (UnicodeEncodeError, OverflowError):
                    pass
    return _walked(value, limit)


def _walked(value: Any, limit: int) -> Captured:
    allowance = limit
    losses: set[str] = set()
    for _ in range(6):
        walker = _Walker(allowance)
        try:
            text = _encode(walker.plain(value, 0))
        except RecursionError:
            return '"<too deep>"', ("unserialisable",)
        losses |= walker.losses
        if len(text) <= limit:
            return text.decode(), tuple(sorted(losses))
        # The walker's account is an estimate; take the excess off and walk again.
        losses.add("truncated")
        allowance = max(allowance * limit // len(text) - 16, 16)
    return f'"{_MORE}"', tuple(sorted(losses | {"truncated"}))


class _Walker:
    """One walk through one value, with what is left of its byte allowance."""

    __slots__ = ("left", "losses", "path")

    def __init__(self, left: int) -> None:
        self.left = left
        self.losses: set[str] = set()
        self.path: set[int] = set()

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if value is None or kind is bool:
            self.left -= 5
            return value
        if kind is int:
            return self.integer(value)
        if kind is float:
            self.left -= len(repr(value))
            return value if value - value == 0 else repr(value)  # NaN and ∞ are no JSON
        if depth > _DEPTH:
            self.losses.add("truncated")
            return self.text(_MORE)
        if id(value) in self.path:
            self.losses.add("circular")
            return self.text("<circular>")
        self.path.add(id(value))
        try:
            return self.compound(value, depth)
        finally:
            self.path.discard(id(value))

    def compound(self, value: Any, depth: int) -> Any:
        kind = type(value)  # isinstance would ask the object's own __class__
        if issubclass(kind, dict):
            return self.mapping(value, depth)
        if issubclass(kind, list):
            return self.sequence(list.__iter__(value), list.__len__(value), depth)
        if issubclass(kind, tuple) and not hasattr(kind, "_fields"):
            return self.sequence(tuple.__iter__(value), tuple.__len__(value), depth)
        if issubclass(kind, str):
            return self.text(str.__str__(value))
        try:
            described = describe(value, self.left)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - user-defined code was run: anything can come out
            self.losses.add("unserialisable")
            return self.text(f"<{type_name(value)}: cannot be read>")
        if described is UNKNOWN:
            self.losses.add("unserialisable")
            return self.text(f"<{type_name(value)}>")
        return self.plain(described, depth + 1)

    def text(self, value: str) -> str:
        room = self.left
        if len(value) + 2 <= room:
            value, cost = _clean(value)
            if cost <= room:
                self.left -= cost
                return value
        self.losses.add("truncated")
        value, cost = _clean(value[: max(room - 2 - _MARK_BYTES, 0)])
        while value and cost + _MARK_BYTES > room:
            value = value[: min(len(value) - 1, len(value) * max(room - 5, 0) // cost)]
            cost = len(_encode(value))
        self.left -= cost + _MARK_BYTES
        return value + _MORE

    def integer(self, value: int) -> Any:
        if -_SMALL_INT <= value < _SMALL_INT:
            self.left -= len(str(value))
            return value
        bits = value.bit_length()
        return self.text(str(value) if bits < 4096 else f"<integer of {bits} bits>")  # noqa: PLR2004

    def mapping(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        self.left -= 2
        count = dict.__len__(value)
        for done, key in enumerate(list(dict.__iter__(value))):
            if self.left < _TAIL_BYTES:
                self.losses.add("truncated")
                out[_MORE] = f"{count - done} more"
                break
            self.left -= 2
            name = self.key(key)
            out[name] = self.plain(dict.get(value, key), depth + 1)
        return out

    def key(self, key: Any) -> str:
        if isinstance(key, str):
            return self.text(str.__str__(key))
        if key is None or isinstance(key, bool | int | float):
            return self.text(repr(key)[:64])
        described = self.plain(key, _DEPTH - 1)
        return described if isinstance(described, str) else self.text(f"<{type_name(key)}>")

    def sequence(self, items: Any, count: int, depth: int) -> list[Any]:
        out: list[Any] = []
        self.left -= 2
        for done, item in enumerate(items):
            if self.left < _TAIL_BYTES:
                self.losses.add("truncated")
                out.append(f"{_MORE} {count - done} more")
                break
            self.left -= 1
            out.append(self.plain(item, depth + 1))
        return out


def _clean(value: str) -> tuple[str, int]:
    """The text without lone surrogates, and how many bytes it takes as JSON."""
    try:
        return value, len(_encode(value))
    except UnicodeEncodeError:
        value = value.encode("utf-8", "replace").decode()
        return value, len(_encode(value))
