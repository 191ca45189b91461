"""Integrations by name: built-in ones first, then those that others publish by entry point.

    from fidelity_otel.integrations import openai
    openai.instrument()

A stranger's integration is a module with `instrument()`, `uninstrument()` and `LIBRARY` (the name
of the module that it patches), published under the entry point group `fidelity_otel.integrations`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

from fidelity_otel.errors import NotEnabled
from fidelity_otel.sdk import guard

__all__ = ["BUILTIN", "instrument", "names", "turn_on", "uninstrument"]

BUILTIN: Final[dict[str, str]] = {
    "anthropic": "fidelity_otel_integrations.anthropic",
    "bedrock": "fidelity_otel_integrations.bedrock",
    "cohere": "fidelity_otel_integrations.cohere",
    "google_genai": "fidelity_otel_integrations.google_genai",
    "langchain": "fidelity_otel_integrations.langchain",
    "litellm": "fidelity_otel_integrations.litellm",
    "llama_index": "fidelity_otel_integrations.llama_index",
    "mcp": "fidelity_otel_integrations.mcp",
    "mistralai": "fidelity_otel_integrations.mistralai",
    "ollama": "fidelity_otel_integrations.ollama",
    "openai": "fidelity_otel_integrations.openai",
    "openai_agents": "fidelity_otel_integrations.openai_agents",
    "pydantic_ai": "fidelity_otel_integrations.pydantic_ai",
    "threads": "fidelity_otel_integrations.threads",
    "transformers": "fidelity_otel_integrations.transformers",
}
GROUP: Final = "fidelity_otel.integrations"


def names() -> tuple[str, ...]:
    """All integrations there are, present library or not."""
    return tuple(sorted({*BUILTIN, *_published()}))


def _published() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def _module(name: str) -> ModuleType:
    if name in BUILTIN:
        return importlib.import_module(BUILTIN[name])
    point = _published().get(name)
    if point is None:
        raise NotEnabled(f"no integration is called {name!r}; there are {', '.join(names())}.")
    loaded = point.load()
    if not isinstance(loaded, ModuleType):
        raise NotEnabled(f"the entry point of {name!r} is not a module.")
    return loaded


def instrument(*wanted: str) -> tuple[str, ...]:
    """Turn integrations on: those named, or all whose library is installed.

    Returns:
        The names that are on now.

    Raises:
        NotEnabled: one asked for by name is unknown, or its library is absent or too old.
    """
    if wanted:
        for name in wanted:
            _module(name).instrument()
        return wanted
    on: list[str] = []
    for name in names():
        try:
            _module(name).instrument()
            on.append(name)
        except NotEnabled:
            continue
        except Exception as error:  # noqa: BLE001 - one integration must not stop the others
            guard.trip(f"instrument {name}", error)
    return tuple(on)


def uninstrument(*wanted: str) -> None:
    """Turn integrations off and put the original objects back: those named, or all."""
    for name in wanted or names():
        try:
            _module(name).uninstrument()
        except NotEnabled:
            continue
        except Exception as error:  # noqa: BLE001
            guard.trip(f"uninstrument {name}", error)


def turn_on(wanted: Iterable[str]) -> None:
    """What `init` does: "auto" turns on what is there; a name that fails is said, not raised."""
    chosen = tuple(wanted)
    if "auto" in chosen:
        instrument()
    for name in chosen:
        if name not in {"auto", "none"}:
            try:
                instrument(name)
            except NotEnabled as error:
                guard.note("instrument", "%s", error)


def __getattr__(name: str) -> Any:
    if name == "ZeroCodeInstrumentor":
        from fidelity_otel.sdk.zerocode import ZeroCodeInstrumentor

        return ZeroCodeInstrumentor
    if name in BUILTIN:
        return importlib.import_module(BUILTIN[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
