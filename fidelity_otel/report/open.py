"""Opens a store that must be there already: a report of a folder mistyped is not an empty one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fidelity_otel.errors import InputError
from fidelity_otel.store import Store, open_store

__all__ = ["open_existing"]


def open_existing(settings: Mapping[str, Any]) -> Store:
    """The store that the settings name.

    Args:
        settings: effective settings by dotted name: `data`, `store.url`.

    Raises:
        InputError: there is none.
        StoreError: it cannot be read.
    """
    url = settings["store.url"]
    folder = Path(settings["data"])
    if not url and not (folder / "store.db").is_file():
        raise InputError(
            f"{folder}: no store here (no store.db). Mend: name the folder that `fidelity serve` "
            "or `fidelity ingest` wrote, with --data or FIDELITY_DATA."
        )
    return open_store(folder, url)
