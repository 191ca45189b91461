"""botocore ≥ 1.38: Bedrock's converse and invoke_model; sync, async, streams; its retries.

That is what boto3, aiobotocore and aioboto3 are made of. The service does not say which model
answered, except where a prompt router chose it. Bodies of `invoke_model` are read in the formats
of Anthropic, Nova, Titan, Llama, Mistral, Cohere and OpenAI, as the application reads them; tokens
that a body does not tell are taken from the headers.
"""

from __future__ import annotations

import importlib
import time
from types import ModuleType
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.describe import type_name
from fidelity_otel.sdk.modelcall import CURRENT_CALL, ModelCall
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel.sdk.watch import StreamWatch, watch_async, watch_sync
from fidelity_otel_integrations import converse_format
from fidelity_otel_integrations.converse_format import Converse
from fidelity_otel_integrations.invoke_body import Reading, Tee
from fidelity_otel_integrations.invoke_format import Body, asked
from fidelity_otel_integrations.methods import Asked, Methods, argument

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "botocore"
_HELD: Final = "_fidelity_bedrock"
_SERVICE: Final = "bedrock-runtime"


def _follow(call: ModelCall, watch: StreamWatch, response: Any) -> Any:
    """The stream is one field of the response, and an object whose iterator is watched."""
    invoked = watch.reader if isinstance(watch.reader, Body) else None
    stream = response.get("body" if invoked else "stream")
    if invoked:
        invoked.answered(response)
        if hasattr(stream, "read"):
            _listen(stream, call, invoked)
            return response
    if not hasattr(stream, "_event_generator"):
        return None
    converse_format.name(call, response)
    setattr(stream, _HELD, watch)
    watch.until_dropped(stream)
    return response


def _listen(stream: Any, call: ModelCall, body: Body) -> None:
    """A body that the application reads; then the call is over."""
    length = getattr(stream, "_content_length", None)
    reading = Reading(call, body, None if length is None else int(length))
    if hasattr(stream, "__aiter__"):  # its class is patched
        setattr(stream, _HELD, reading)
    else:
        stream._raw_stream = Tee(stream._raw_stream, reading)  # noqa: SLF001
    reading.until_dropped(stream)


_METHODS: Final = Methods("bedrock", _follow)
_OPERATIONS: Final = {
    "Converse",
    "ConverseStream",
    "InvokeModel",
    "InvokeModelWithResponseStream",
}


def _read(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    """`_make_api_call(operation, parameters)`, which every service's client goes through."""
    operation = argument(args, kwargs, "operation_name", 0)
    if operation not in _OPERATIONS:
        return None
    body = argument(args, kwargs, "api_params", 1)
    if client.meta.service_model.service_name != _SERVICE or not isinstance(body, dict):
        return None
    more = {sc.GEN_AI_REQUEST_STREAM: operation.endswith("Stream") or None}
    model, address = str(body.get("modelId", "")), str(client.meta.endpoint_url)
    form: Any = Converse if operation.startswith("Converse") else asked(body)
    return Asked(form, model, "aws.bedrock", body, address, more)


# --- attempts ------------------------------------------------------------------------------------


def _needs_retry(
    wrapped: Any, _endpoint: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The client asks itself whether to try again, and waits where it will."""
    since = time.monotonic()
    again = wrapped(*args, **kwargs)
    _tell(again, since, args, kwargs)
    return again


async def _needs_retry_async(
    wrapped: Any, _endpoint: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    since = time.monotonic()
    again = await wrapped(*args, **kwargs)
    _tell(again, since, args, kwargs)
    return again


def _tell(again: Any, since: float, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    call = CURRENT_CALL.get()
    if not again or call is None or not _SEATS[0].active:
        return
    response = argument(args, kwargs, "response", 3)
    error = argument(args, kwargs, "caught_exception", 4)
    _METHODS.safely(
        lambda: call.attempt_failed(
            status=None if response is None else response[0].status_code,
            error_type=None if error is None else type_name(error),
            delay=time.monotonic() - since,
        )
    )


# --- streams -------------------------------------------------------------------------------------


def _iterated(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    inner = wrapped(*args, **kwargs)
    watch = getattr(stream, _HELD, None)
    if watch is None:
        return inner
    follow: Any = watch_async if hasattr(inner, "__anext__") else watch_sync
    return follow(inner, watch)


def _closed(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    watch = getattr(stream, _HELD, None)
    if watch is not None:
        _METHODS.safely(watch.end)
    return wrapped(*args, **kwargs)


async def _read_body(
    wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """`read(amount)` of an async body."""
    reading = getattr(stream, _HELD, None)
    if not isinstance(reading, Reading):
        return await wrapped(*args, **kwargs)
    try:
        chunk = await wrapped(*args, **kwargs)
    except BaseException as error:
        reading.end(error)
        raise
    amount = argument(args, kwargs, "amt", 0)
    whole = amount is None or amount < 0 or (not chunk and amount != 0)
    _METHODS.safely(lambda: reading.saw(chunk, whole=whole))
    return chunk


def _install(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module.BaseClient, "_make_api_call", _METHODS.sync(_read))
    endpoint = importlib.import_module("botocore.endpoint")
    patches.wrap(endpoint.Endpoint, "_needs_retry", _needs_retry)
    streams = importlib.import_module("botocore.eventstream")
    patches.wrap(streams.EventStream, "__iter__", _iterated)
    patches.wrap(streams.EventStream, "close", _closed)


def _install_async(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module.AioBaseClient, "_make_api_call", _METHODS.asynchronous(_read))
    endpoint = importlib.import_module("aiobotocore.endpoint")
    patches.wrap(endpoint.AioEndpoint, "_needs_retry", _needs_retry_async)
    streams = importlib.import_module("aiobotocore.eventstream")
    patches.wrap(streams.AioEventStream, "__aiter__", _iterated)
    bodies = importlib.import_module("aiobotocore.response")
    for kind in vars(bodies).values():
        if isinstance(kind, type) and kind.__module__ == bodies.__name__ and "read" in vars(kind):
            patches.wrap(kind, "read", _read_body)


_SEATS: Final = [
    Integration("bedrock", LIBRARY, _install, module="botocore.client", minimum=(1, 38)),
    # Where there is no aiobotocore, nothing imports it, and this one has nothing to do.
    Integration("bedrock", LIBRARY, _install_async, module="aiobotocore.client", minimum=(1, 38)),
]
_METHODS.active = lambda: _SEATS[0].active


def instrument() -> None:
    """Turn it on; a second time does nothing.

    Raises:
        NotEnabled: the library is absent or too old.
    """
    for seat in _SEATS:
        seat.instrument()


def uninstrument() -> None:
    """Turn it off and put the original objects back."""
    for seat in _SEATS:
        seat.uninstrument()
