"""google-genai ≥ 1.40: generate_content, chats, embed_content; sync, async, streams; its retries.

Each request is a span, so that automatic function calling shows every turn. Gemini API and Vertex.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel_integrations.gemini_format import FORMATS
from fidelity_otel_integrations.methods import Asked, Methods, argument

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "google.genai"
_METHODS: Final = Methods("google")


def _read(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    """`request(HTTP method, path, body, …)`, the path being `models/NAME:METHOD?alt=sse`."""
    path = str(argument(args, kwargs, "path", 1))
    body = argument(args, kwargs, "request_dict", 2)
    model, _, method = path.partition("?")[0].rpartition(":")
    form = FORMATS.get(method)
    if form is None or not isinstance(body, dict):
        return None
    options = getattr(client, "_http_options", None)
    held = options.get("base_url") if isinstance(options, dict) else None
    address = str(held or getattr(options, "base_url", "") or "")
    provider = "gcp.vertex_ai" if getattr(client, "vertexai", None) else "gcp.gemini"
    more = {sc.GEN_AI_REQUEST_STREAM: method.startswith("stream") or None}
    return Asked(form, model.rpartition("/")[2], provider, dict(body), address, more)


def _install(patches: Patches, module: ModuleType) -> None:
    client = module.BaseApiClient
    patches.wrap(client, "request", _METHODS.sync(_read))
    patches.wrap(client, "async_request", _METHODS.asynchronous(_read))
    patches.wrap(client, "request_streamed", _METHODS.sync(_read))
    patches.wrap(client, "async_request_streamed", _METHODS.asynchronous(_read))
    patches.wrap(client, "_request_once", _METHODS.attempt)
    patches.wrap(client, "_async_request_once", _METHODS.attempt_async)


_INTEGRATION: Final = Integration(
    "google_genai",
    LIBRARY,
    _install,
    module="google.genai._api_client",
    distribution="google-genai",
    minimum=(1, 40),
)
_METHODS.active = lambda: _INTEGRATION.active
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
