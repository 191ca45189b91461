"""What `init` was told, by argument, environment variable or default, in that order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fidelity_otel import settings
from fidelity_otel.errors import ConfigError
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.redact import KINDS

__all__ = ["Mask", "Options", "read_options"]

Mask = Callable[[str, str], "str | None"] | Callable[[str], "str | None"]
"""Called with an attribute's name and its text, or with the text alone; returns what may leave."""

BothMask = Callable[[str, str], "str | None"]


@dataclass(frozen=True, slots=True)
class Options:
    """The application side's settings, resolved.

    `endpoint` is "" where none was named to us; `explicit_privacy` whether mask or redact was.
    """

    enabled: bool = True
    service: str = ""
    release: str = ""
    endpoint: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    capture: bool = True
    max_value_bytes: int = 16_384
    max_span_bytes: int = 262_144
    redact: tuple[str, ...] = ("secrets",)
    mask: BothMask | None = None
    instrument: tuple[str, ...] = ("auto",)
    lean: bool = True
    explicit_privacy: bool = False


def read_options(
    given: Mapping[str, Any], environ: Mapping[str, str], *, mask: Mask | None = None
) -> Options:
    """Resolve the settings; what is wrong falls back to its default and is said once.

    Args:
        given: arguments of `init` by setting name without "sdk."; None means not given.
        environ: the environment.
        mask: the application's own masking.
    """
    table = {s.name.removeprefix("sdk."): s for s in settings.TABLE if s.name.startswith("sdk.")}
    values: dict[str, Any] = {}
    for name, row in table.items():
        value = given.get(name)
        if value is None and environ.get(row.variable, ""):
            try:
                value = settings.parse_value(row, environ[row.variable], where=row.variable)
            except ConfigError as error:
                guard.note("settings", "%s The default is used.", error)
        values[name] = row.default if value is None else value
    values["redact"] = _kinds(values["redact"])
    values["instrument"] = _names(values["instrument"])
    for name in ("max_value_bytes", "max_span_bytes"):
        values[name] = max(int(values[name]), int(table[name].minimum or 0))
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        values["enabled"] = False
    headers = given.get("headers") or {}
    return Options(
        **{k: v for k, v in values.items() if k in Options.__dataclass_fields__},
        headers=tuple((str(k), str(v)) for k, v in dict(headers).items()),
        mask=_both(mask),
        explicit_privacy=mask is not None or given.get("redact") is not None,
    )


def _both(mask: Any) -> BothMask | None:
    """The mask as one of two arguments, whichever way it was written."""
    if mask is None:
        return None
    try:
        inspect.signature(mask).bind("key", "text")
    except TypeError:
        return lambda _key, text: mask(text)
    except ValueError:  # a builtin without a signature
        pass
    return mask  # type: ignore[no-any-return]


def _names(value: object) -> tuple[str, ...]:
    if value is False:
        return ()
    if value is True:
        return ("auto",)
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(str(v) for v in value) if isinstance(value, Iterable) else ()


def _kinds(value: object) -> tuple[str, ...]:
    kinds = KINDS if value is True else _names(value)
    if "all" in kinds:
        return KINDS
    known = tuple(k for k in kinds if k in KINDS)
    for kind in set(kinds) - set(known):
        guard.note("settings", "redact: unknown kind %r; there are %s", kind, ", ".join(KINDS))
    return known
