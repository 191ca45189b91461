"""The data folder: one service at a time, and where it says its ports."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from fidelity_otel.errors import ConfigError

__all__ = ["hold_folder", "write_ports"]


@contextlib.contextmanager
def hold_folder(data: Path) -> Generator[None]:
    """Make the folder, and keep every other service out of it.

    Raises:
        ConfigError: it cannot be made or written, or another service uses it.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the data folder {data} cannot be used: {error.strerror}. Mend: make it writable, or "
            "choose another with --data (FIDELITY_DATA)."
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"another `fidelity serve` uses the data folder {data}. Mend: stop it, or choose "
                "another folder with --data (FIDELITY_DATA)."
            ) from None
        yield
    finally:
        os.close(handle)


def write_ports(data: Path, ports: Mapping[str, int]) -> Callable[[], None]:
    """Write `ports.json`, whole or not at all; what is returned removes it again."""
    path = data / "ports.json"
    path.with_suffix(".new").write_text(json.dumps(dict(ports)) + "\n")
    path.with_suffix(".new").replace(path)
    return lambda: path.unlink(missing_ok=True)
