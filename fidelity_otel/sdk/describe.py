"""What to write down for an object that JSON does not know, without running or consuming it.

Iterators, coroutines, files, lazy query sets and the like are named, never touched: looking into
them could run a query, read a socket or eat the application's data.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import hashlib
import pathlib
import sys
import types
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

__all__ = ["UNKNOWN", "describe", "type_name"]

UNKNOWN: Final = object()
"""There is nothing safe to say about this object but its type."""

_NUMBERS: Final = 64  # elements of an array that are written out
_ROWS: Final = 5  # rows of a table that are written out
_ITEMS: Final = 10_000
_TYPE_NAME_LENGTH: Final = 200


def type_name(value: Any) -> str:
    """Module and qualified name of a value's type; never the value's own say."""
    kind = type(value)
    module = getattr(kind, "__module__", "")
    name = getattr(kind, "__qualname__", "?")
    full = f"{module}.{name}" if isinstance(module, str) and module != "builtins" else str(name)
    return full[:_TYPE_NAME_LENGTH]


def describe(value: Any, room: int) -> Any:
    """A plainer thing that stands for the value, or UNKNOWN.

    Args:
        value: an object that is not a dict, list, text or number.
        room: about how many characters can be written at most.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes(value)
    if isinstance(value, enum.Enum):
        return value.value
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value)
    if isinstance(value, int | float):  # subclasses, such as numpy's float64
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType):
        return f"<{getattr(value, '__qualname__', value.__name__)}>"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {str(value)[:room]}"
    root = (type(value).__module__ or "").partition(".")[0]
    if (write_foreign := _FOREIGN.get(root)) is not None:
        found = write_foreign(value)
        if found is not UNKNOWN:
            return found
    if (fields := _fields(value)) is not None:
        return fields
    return _represented(value, room)


def _bytes(value: bytes | bytearray | memoryview) -> dict[str, Any]:
    data = value.tobytes() if isinstance(value, memoryview) else bytes(value)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _named_tuple(value: Any) -> dict[str, Any]:
    return dict(zip(type(value)._fields, tuple.__iter__(value), strict=False))


def _set(value: Any) -> list[Any]:
    items = list(islice(value, _ITEMS))
    try:
        return sorted(items)
    except TypeError:
        return items


_WRITERS: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    ((dt.datetime, dt.date, dt.time), lambda v: v.isoformat()),
    (dt.timedelta, lambda v: v.total_seconds()),
    ((uuid.UUID, decimal.Decimal, pathlib.PurePath, complex), str),
    ((set, frozenset), _set),
    (tuple, _named_tuple),
    (deque, lambda v: list(islice(v, _ITEMS))),
    (range, str),
    (types.MappingProxyType, lambda v: dict(islice(v.items(), _ITEMS))),
    (types.SimpleNamespace, lambda v: dict(vars(v))),
)


def _fields(value: Any) -> dict[str, Any] | None:
    """The declared fields of a record type, read from the instance without running its code."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return _stored(value, [f.name for f in dataclasses.fields(kind) if f.repr])
    if isinstance(names := getattr(kind, "__struct_fields__", None), tuple):  # msgspec
        return _stored(value, list(names))
    if isinstance(declared := getattr(kind, "__attrs_attrs__", None), tuple):  # attrs
        return _stored(value, [a.name for a in declared if a.repr])
    if isinstance(declared := getattr(kind, "__pydantic_fields__", None), Mapping):
        names = [n for n, f in declared.items() if getattr(f, "repr", True)]
        found = _stored(value, names)
        extra = getattr(value, "__pydantic_extra__", None)
        return {**found, **extra} if isinstance(extra, dict) else found
    return None


def _stored(value: Any, names: list[str]) -> dict[str, Any]:
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict):
        return {name: held[name] for name in names if name in held}
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _numpy(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    if type(value).__name__ != "ndarray":
        return UNKNOWN
    head = {"array": list(value.shape), "dtype": str(value.dtype)}
    if value.size <= _NUMBERS and value.dtype.kind in "biufU":
        return {**head, "values": value.tolist()}
    return head


def _pandas(value: Any) -> Any:
    name = type(value).__name__
    if name == "DataFrame":
        rows = value.head(_ROWS).to_dict("records")
        return {"table": list(value.shape), "columns": list(map(str, value.columns)), "rows": rows}
    if name == "Series":
        return {"series": int(value.shape[0]), "values": value.head(_NUMBERS).tolist()}
    if name == "Timestamp":
        return value.isoformat()
    return UNKNOWN


def _image(value: Any) -> Any:
    """Size and mode of a PIL image; its digest only where the pixels are already in memory."""
    if not hasattr(value, "getbands"):
        return UNKNOWN
    head: dict[str, Any] = {"image": list(value.size), "mode": value.mode}
    if "ImageFile" not in {k.__name__ for k in type(value).__mro__}:
        head["sha256"] = hashlib.sha256(value.tobytes()).hexdigest()
    return head


def _array(value: Any) -> Any:
    """Shape and kind of a tensor; its numbers may be on another device."""
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    return UNKNOWN if shape is None else {"array": [int(n) for n in shape], "dtype": str(kind)}


_FOREIGN: Final[dict[str, Callable[[Any], Any]]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "PIL": _image,
    "torch": _array,
    "jax": _array,
    "jaxlib": _array,
    "tensorflow": _array,
}

_LAZY: Final = ("__iter__", "__next__", "__aiter__", "__anext__", "__await__", "read", "__enter__")


def _represented(value: Any, room: int) -> Any:
    """The object's own repr, where it has one and does not look lazy."""
    kind = type(value)
    own_repr = getattr(kind, "__repr__", None)
    if own_repr is object.__repr__ or any(hasattr(kind, name) for name in _LAZY):
        return UNKNOWN
    if kind.__module__ in sys.builtin_module_names:
        return UNKNOWN
    text = repr(value)
    return text[: room + 1]
