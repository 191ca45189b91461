"""cohere ≥ 5.16: chat, chat_stream, embed, rerank of versions 1 and 2; sync, async; its retries.

The service does not say which model answered.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final

from fidelity_otel.sdk.describe import type_name
from fidelity_otel.sdk.modelcall import CURRENT_CALL
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel_integrations.cohere_first_format import FirstChat
from fidelity_otel_integrations.cohere_format import Chat, Embed, Rerank
from fidelity_otel_integrations.methods import Asked, Methods, Read, argument

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "cohere"
_METHODS: Final = Methods(LIBRARY)


def _reader(form: Any, *, stream: bool = False) -> Read:
    def read(client: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
        body = {k: v for k, v in kwargs.items() if v is not ...}  # what stands for "not given"
        body["stream"] = stream
        address = str(client._client_wrapper.get_base_url())  # noqa: SLF001
        return Asked(form, str(body.get("model", "")), "cohere", body, address)

    return read


def _retry(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The client asks itself how long to wait: an attempt failed, and another one comes."""
    delay = wrapped(*args, **kwargs)
    call = CURRENT_CALL.get()
    if call is not None and _INTEGRATION.active:
        status = getattr(argument(args, kwargs, "response", 0), "status_code", None)
        error = sys.exc_info()[1] if status is None else None
        _METHODS.safely(
            lambda: call.attempt_failed(
                status=status,
                error_type=None if error is None else type_name(error),
                delay=float(delay),
            )
        )
    return delay


def _install(patches: Patches, module: ModuleType) -> None:
    sync, later = module.V2Client, module.AsyncV2Client
    _chat(patches, sync, later, Chat)
    _simple(patches, sync, later, {"embed": Embed, "rerank": Rerank})
    http = importlib.import_module("cohere.core.http_client")
    patches.wrap(http, "_retry_timeout", _retry)
    if hasattr(http, "_retry_timeout_from_retries"):  # it came late
        patches.wrap(http, "_retry_timeout_from_retries", _retry)


def _install_base(patches: Patches, module: ModuleType) -> None:
    sync, later = module.BaseCohere, module.AsyncBaseCohere
    _chat(patches, sync, later, FirstChat)
    _simple(patches, sync, later, {"rerank": Rerank})


def _install_first(patches: Patches, module: ModuleType) -> None:
    # It asks in batches, by the method beneath: those are one call.
    _simple(patches, module.Client, module.AsyncClient, {"embed": Embed})


def _chat(patches: Patches, sync: Any, later: Any, form: Any) -> None:
    patches.wrap(sync, "chat", _METHODS.sync(_reader(form)))
    patches.wrap(later, "chat", _METHODS.asynchronous(_reader(form)))
    # An async generator function is called like any other.
    patches.wrap(sync, "chat_stream", _METHODS.sync(_reader(form, stream=True)))
    patches.wrap(later, "chat_stream", _METHODS.sync(_reader(form, stream=True)))


def _simple(patches: Patches, sync: Any, later: Any, methods: dict[str, Any]) -> None:
    for name, form in methods.items():
        patches.wrap(sync, name, _METHODS.sync(_reader(form)))
        patches.wrap(later, name, _METHODS.asynchronous(_reader(form)))


_INTEGRATION: Final = Integration(
    LIBRARY,
    LIBRARY,
    _install,
    module="cohere.v2.client",
    minimum=(5, 16),
    more={"cohere.base_client": _install_base, "cohere.client": _install_first},
)
_METHODS.active = lambda: _INTEGRATION.active
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
