"""anthropic ≥ 0.40: messages; sync, async, streams, raw; attempts of its retry loop.

From 2.12 on the client records its calls itself, once there is a TracerProvider. Then its span is
enriched (messages, finish reasons, attempts, recovery) and no other one is made; where its own
tracing is off or absent, we make the span.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from fidelity_otel.sdk.modelcall import CURRENT_CALL, ModelCall
from fidelity_otel.sdk.patch import Patches
from fidelity_otel_integrations.anthropic_format import Messages
from fidelity_otel_integrations.stainless import Stainless

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "anthropic"


def _traces_itself(client: Any) -> bool:
    return getattr(client, "_tracer", None) is not None


def _native(patches: Patches, module: ModuleType) -> None:
    if hasattr(module, "finish_api_call_span"):
        patches.wrap(module.SyncAPIClient, "_request", _inside)
        patches.wrap(module.AsyncAPIClient, "_request", _inside_async)
        patches.wrap(module, "finish_api_call_span", _finishing)


_CLIENT: Final = Stainless(
    LIBRARY,
    {"/v1/messages": Messages},
    lambda _host: "anthropic",
    (0, 40),
    own_spans=_traces_itself,
    more=_native,
)
instrument = _CLIENT.integration.instrument
uninstrument = _CLIENT.integration.uninstrument


# --- the client's own span -----------------------------------------------------------------------


def _adopt(args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelCall | None:
    """The client's span of this call, opened as ours to write on; None where there is none."""
    span = getattr(kwargs.get("call"), "span", None)
    form, body = _CLIENT.read(kwargs.get("options", args[1] if len(args) > 1 else None))
    if not _CLIENT.active or span is None or form is None:
        return None
    call = ModelCall.adopt(span)
    if call is not None and call.wants_content:
        _CLIENT.safely(lambda: form.write_input(call, body))
    return call


def _inside(wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = _adopt(args, kwargs)
    if call is None:
        return wrapped(*args, **kwargs)
    try:
        with call:
            return wrapped(*args, **kwargs)
    except BaseException as error:
        call.fail(error)
        call.end()
        raise


async def _inside_async(
    wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    call = _adopt(args, kwargs)
    if call is None:
        return await wrapped(*args, **kwargs)
    try:
        with call:
            return await wrapped(*args, **kwargs)
    except BaseException as error:
        call.fail(error)
        call.end()
        raise


def _finishing(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The client is about to write its result and end its span: ours must come before."""
    call = CURRENT_CALL.get()
    result = kwargs.get("result", args[2] if len(args) > 2 else None)  # noqa: PLR2004
    data = getattr(result, "data", None)
    if call is None or result is None or getattr(result, "error", None) is not None:
        return wrapped(*args, **kwargs)
    if hasattr(data, "_iterator"):
        answer = wrapped(*args, **kwargs)
        _CLIENT.safely(lambda: _listen(call, data))
        return answer
    if hasattr(data, "content"):
        _CLIENT.safely(lambda: Messages.write_output(call, data))
    _CLIENT.safely(call.end)
    return wrapped(*args, **kwargs)


def _listen(call: ModelCall, stream: Any) -> None:
    """Hear what the client's own observer of the stream hears, and write before it ends."""
    observer = getattr(stream, "_observer", None)
    theirs = getattr(observer, "inner", None)
    if theirs is None:
        call.end()
        return
    reader = Messages.chunks()
    item, end = theirs.item, theirs.end

    def on_item(event: Any) -> None:
        _CLIENT.safely(call.chunk)
        _CLIENT.safely(lambda: reader.add(event))
        item(event)

    def on_end(how: str, error: BaseException | None = None) -> None:
        _CLIENT.safely(lambda: reader.write(call))
        if error is not None:
            call.fail(error)
        _CLIENT.safely(lambda: call.end(stream=True, complete=how == "read"))
        end(how, error)

    theirs.item, theirs.end = on_item, on_end
