"""ollama ≥ 0.4: chat, generate, embed; sync, async, streams.

The server says neither an id nor how many tokens were cached, and the client never tries again.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel_integrations.methods import Asked, Methods, argument
from fidelity_otel_integrations.ollama_format import FORMATS

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "ollama"
_METHODS: Final = Methods(LIBRARY)


def _read(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    """`_request(type of the response, HTTP method, path, json=…)`."""
    body = kwargs.get("json")
    form = FORMATS.get(str(argument(args, kwargs, "url", 2)))
    if form is None or not isinstance(body, dict):
        return None
    address = str(getattr(getattr(client, "_client", None), "base_url", ""))
    return Asked(form, str(body.get("model", "")), "ollama", body, address)


def _install(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module.Client, "_request", _METHODS.sync(_read))
    patches.wrap(module.AsyncClient, "_request", _METHODS.asynchronous(_read))


_INTEGRATION: Final = Integration(
    LIBRARY, LIBRARY, _install, module="ollama._client", minimum=(0, 4)
)
_METHODS.active = lambda: _INTEGRATION.active
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
