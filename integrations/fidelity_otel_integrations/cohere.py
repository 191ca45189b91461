"""cohere ≥ 5.16: chat, chat_stream, embed, rerank of version 2; sync, async; its retries.

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
    patches.wrap(sync, "chat", _METHODS.sync(_reader(Chat)))
    patches.wrap(later, "chat", _METHODS.asynchronous(_reader(Chat)))
    # An async generator function is called like any other.
    patches.wrap(sync, "chat_stream", _METHODS.sync(_reader(Chat, stream=True)))
    patches.wrap(later, "chat_stream", _METHODS.sync(_reader(Chat, stream=True)))
    for name, form in (("embed", Embed), ("rerank", Rerank)):
        patches.wrap(sync, name, _METHODS.sync(_reader(form)))
        patches.wrap(later, name, _METHODS.asynchronous(_reader(form)))
    http = importlib.import_module("cohere.core.http_client")
    patches.wrap(http, "_retry_timeout", _retry)
    if hasattr(http, "_retry_timeout_from_retries"):  # it came late
        patches.wrap(http, "_retry_timeout_from_retries", _retry)


_INTEGRATION: Final = Integration(
    LIBRARY, LIBRARY, _install, module="cohere.v2.client", minimum=(5, 16)
)
_METHODS.active = lambda: _INTEGRATION.active
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
