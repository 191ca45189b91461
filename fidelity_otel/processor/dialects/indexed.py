"""Lists and objects that were flattened into dotted attribute names, put together again.

`llm.input_messages.0.message.role` is how OpenInference and OpenLLMetry write what the conventions
write as one JSON text.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["listed"]

_MOST: Final = 20_000
_DEEPEST: Final = 12


def listed(attributes: dict[str, Any], *prefixes: str) -> dict[str, list[Any]]:
    """The lists below some prefixes, each element as nested plain values.

    Args:
        attributes: a span's attributes.
        prefixes: names that end before the index ("llm.input_messages").

    Returns:
        By prefix, the elements in order of their index; prefixes without any are left out.
    """
    heads = {prefix + ".": prefix for prefix in prefixes}
    trees: dict[str, dict[str, Any]] = {}
    for name, value in attributes.items():
        for head, prefix in heads.items():
            if name.startswith(head):
                _plant(trees.setdefault(prefix, {}), name[len(head) :].split(".", _DEEPEST), value)
                break
    return {prefix: _ordered(tree) for prefix, tree in trees.items()}


def _plant(tree: dict[str, Any], way: list[str], value: Any) -> None:
    for word in way[:-1]:
        below = tree.get(word)
        if not isinstance(below, dict):
            below = tree[word] = {}
        tree = below
    tree.setdefault(way[-1], value)


def _ordered(tree: dict[str, Any]) -> list[Any]:
    numbered = sorted(
        ((int(k), v) for k, v in tree.items() if _is_index(k)), key=lambda pair: pair[0]
    )[:_MOST]
    return [_grown(value) for _, value in numbered]


def _grown(value: Any) -> Any:
    """A tree whose nodes with only indices for names are lists."""
    if not isinstance(value, dict):
        return value
    if value and all(_is_index(k) for k in value):
        return _ordered(value)
    return {k: _grown(v) for k, v in value.items()}


def _is_index(word: str) -> bool:
    return len(word) <= 6 and word.isascii() and word.isdigit()  # noqa: PLR2004
