"""Opens a desk over the store of a folder, for commands."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fidelity_otel.errors import InputError
from fidelity_otel.review.desk import Desk
from fidelity_otel.store import open_store

__all__ = ["open_desk"]


@contextmanager
def open_desk(config: Path | None, data: str | None) -> Generator[Desk]:
    """The desk of the store that the settings name.

    Args:
        config: the service's YAML file, if there is one.
        data: the folder, where given on the command line.

    Raises:
        InputError: there is no store.
        ConfigError: a setting is wrong.
        StoreError: the store cannot be opened.
    """
    from fidelity_otel.processor.config import load
    from fidelity_otel.processor.read import read_otlp

    settings = load(config, given={"data": ("--data", data)}).values
    folder, url = Path(settings["data"]), settings["store.url"]
    if not url and not (folder / "store.db").is_file():
        raise InputError(
            f"{folder}: no store here (no store.db). Mend: name the folder that `fidelity serve` "
            "or `fidelity ingest` wrote, with --data or FIDELITY_DATA."
        )
    with open_store(folder, url) as store:
        yield Desk(store, read_otlp, settings=settings, now=time.time_ns)
