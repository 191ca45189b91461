"""Turning what callers hand over into checked arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fidelity_otel.errors import DesignError

__all__ = ["Bools", "Floats", "Ints", "check_level", "codes", "floats", "shares"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


def floats(values: ArrayLike, name: str, *, length: int | None = None) -> Floats:
    """Values as a float array of shape (n,); None becomes NaN.

    Args:
        values: numbers, NaN or None where absent.
        name: named in errors.
        length: the length it must have.

    Raises:
        DesignError: not one-dimensional, not numbers, or of another length.
    """
    try:
        made = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DesignError(f"{name}: numbers are wanted: {error}") from None
    if made.ndim != 1:
        raise DesignError(f"{name}: one dimension is wanted, not {made.ndim}")
    if length is not None and made.shape[0] != length:
        raise DesignError(f"{name}: {made.shape[0]} values for {length} rows")
    return made


def shares(values: Floats, name: str, *, open_at_zero: bool = False) -> Floats:
    """Check that values are within 0–1 where they are not NaN.

    Args:
        values: shape (n,).
        name: named in errors.
        open_at_zero: whether 0 itself is refused, as for probabilities of inclusion.

    Raises:
        DesignError: names the first offending row, counted from 0.
    """
    bad = (values < 0.0) | (values > 1.0) | ((values == 0.0) & open_at_zero)
    if bad.any():
        row = int(np.argmax(bad))
        span = "(0, 1]" if open_at_zero else "0 to 1"
        raise DesignError(f"row {row}: {name} = {values[row]:g} is outside {span}")
    return values


def codes(values: Any, length: int, name: str) -> tuple[Ints, list[Any]]:
    """Integer codes of group names, and the names.

    Args:
        values: group of each row, shape (n,), any sortable type, or None for a single group.
        length: n.
        name: named in errors.

    Returns:
        Codes in [0, groups), shape (n,), and the groups' names in order.
    """
    if values is None:
        return np.zeros(length, dtype=np.intp), [""]
    array = np.asarray(values)
    if array.shape != (length,):
        raise DesignError(f"{name}: {array.shape} values for {length} rows")
    if array.dtype == object:
        array = array.astype(str)
    names, inverse = np.unique(array, return_inverse=True)
    return inverse.astype(np.intp, copy=False), names.tolist()


def check_level(level: float) -> float:
    """The level, if it is one.

    Raises:
        DesignError: not within 0.5–0.9999.
    """
    if not 0.5 <= level <= 0.9999:
        raise DesignError(f"level = {level:g}: a confidence level from 0.5 to 0.9999 is wanted")
    return level
