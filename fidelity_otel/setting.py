"""One setting: what a row of the table holds, and how its text becomes a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fidelity_otel.errors import ConfigError

__all__ = ["PARSERS", "Setting", "parse_value"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    `type` is one of the keys of `PARSERS`. `reloadable` settings take effect on a running service
    when its file changes.
    """

    name: str
    type: str
    default: Any
    help: str
    env: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    reloadable: bool = False

    @property
    def variable(self) -> str:
        """The environment variable: explicit, else FIDELITY_ and the dotted name in capitals."""
        return self.env or "FIDELITY_" + self.name.removeprefix("sdk.").replace(".", "_").upper()


_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_UNITS = {
    "": 1,
    "b": 1,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
}


def _bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("true or false is wanted")


def _bytes(text: str) -> int:
    stripped = text.strip().lower()
    digits = stripped.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = stripped[len(digits) :].strip()
    if unit not in _UNITS:
        raise ValueError("a number of bytes is wanted, with KiB, MiB or GiB behind it if you like")
    return int(float(digits) * _UNITS[unit])


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:  # noqa: PLR2004
        raise ValueError("a port from 0 to 65535 is wanted")
    return port


PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": _bool,
    "bytes": _bytes,
    "float": float,
    "int": int,
    "list": _list,
    "path": str,
    "port": _port,
    "secret": str,
    "secrets": _list,
    "str": str,
}


def parse_value(setting: Setting, text: str, *, where: str) -> Any:
    """Turn a setting's text into its value.

    Args:
        setting: the row that it belongs to.
        text: as written in the environment or a file.
        where: named in the error ("FIDELITY_HTTP_PORT", "fidelity.yaml:7").

    Raises:
        ConfigError: the text is not of the setting's type, or below its minimum.
    """
    try:
        value = PARSERS[setting.type](text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{where}: {setting.name} = {text!r} is not a valid {setting.type}: {error}. "
            f"{setting.help} Default: {setting.default!r}."
        ) from None
    if setting.minimum is not None and value < setting.minimum:
        raise ConfigError(
            f"{where}: {setting.name} = {text!r} is below its minimum {setting.minimum:g}."
        )
    if setting.choices and value not in setting.choices:
        raise ConfigError(
            f"{where}: {setting.name} = {text!r} is none of {', '.join(setting.choices)}."
        )
    return value
