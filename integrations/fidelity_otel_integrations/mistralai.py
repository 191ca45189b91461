"""mistralai ≥ 1.5: chat, agents, fim, embeddings; sync, async, streams, parse; its retries.

Some releases trace themselves wherever there is a global provider, others once told to. Where that
goes where ours goes, the client's span of the same call is left out, so that tokens count once;
what it sends elsewhere stays.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any, Final

from opentelemetry.propagate import inject

from fidelity_otel.sdk.modelcall import CURRENT_CALL, ModelCall
from fidelity_otel.sdk.patch import Integration, Patches, Wrapper
from fidelity_otel.sdk.state import STATE
from fidelity_otel.sdk.watch import StreamWatch, watch_async, watch_sync
from fidelity_otel_integrations.methods import Asked, Methods, Read, argument
from fidelity_otel_integrations.mistral_format import Chat, Embeddings, Fim

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "mistralai"
_HELD: Final = "_fidelity_mistralai"
_CLASSES: Final[dict[str, tuple[str, Any]]] = {
    "chat": ("Chat", Chat),
    "agents": ("Agents", Chat),
    "fim": ("Fim", Fim),
    "embeddings": ("Embeddings", Embeddings),
}


def _follow(_call: ModelCall, watch: StreamWatch, response: Any) -> Any:
    """Streams are objects around a generator: it is replaced, the object stays."""
    inner = getattr(response, "generator", None)
    if inner is None:
        return None
    follow: Any = watch_async if hasattr(inner, "__anext__") else watch_sync
    response.generator = follow(inner, watch)
    setattr(response, _HELD, watch)
    watch.until_dropped(response)
    return response


_METHODS: Final = Methods(LIBRARY, _follow)


def _reader(form: Any, *, stream: bool) -> Read:
    def read(client: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
        body = {k: v for k, v in kwargs.items() if type(v).__name__ != "Unset"}
        body["stream"] = stream
        address = str(kwargs.get("server_url") or client.sdk_configuration.get_server_details()[0])
        return Asked(form, str(body.get("model", "")), "mistral_ai", body, address)

    return read


def _retry(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`retry(function, …)`: each run of the function is an attempt."""
    made, *rest = args
    return wrapped(lambda: _METHODS.attempt(made, None, (), {}), *rest, **kwargs)


def _retry_async(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    made, *rest = args
    return wrapped(lambda: _METHODS.attempt_async(made, None, (), {}), *rest, **kwargs)


def _own_span(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The client opens a span of its own for a request; not where ours is there already."""
    call, pipeline = CURRENT_CALL.get(), STATE.pipeline
    tracer = argument(args, kwargs, "tracer", 1)
    request = argument(args, kwargs, "request", 4)
    if call is None or pipeline is None or not _METHODS.active() or not pipeline.sees(tracer):
        return wrapped(*args, **kwargs)
    if argument(args, kwargs, "tracing_enabled", 0):  # then the trace goes along
        _METHODS.safely(lambda: inject(request.headers))
    return request, None


def _closing(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`close` or the end of `with`: the application is done with the stream."""
    watch = getattr(stream, _HELD, None)
    if watch is not None:
        _METHODS.safely(watch.end)
    return wrapped(*args, **kwargs)


def _install(patches: Patches, module: ModuleType) -> None:
    root = module.__name__.rpartition(".")[0]  # mistralai, or mistralai.client from release 2 on
    for name, (owner, form) in _CLASSES.items():
        kind = getattr(importlib.import_module(f"{root}.{name}"), owner)
        whole, streamed = _reader(form, stream=False), _reader(form, stream=True)
        method = "create" if form is Embeddings else "complete"
        patches.wrap(kind, method, _METHODS.sync(whole))
        patches.wrap(kind, f"{method}_async", _METHODS.asynchronous(whole))
        if form is not Embeddings:
            patches.wrap(kind, "stream", _METHODS.sync(streamed))
            patches.wrap(kind, "stream_async", _METHODS.asynchronous(streamed))
    utils = importlib.import_module(f"{root}.utils")
    retries = importlib.import_module(f"{root}.utils.retries")
    wrappers: dict[str, Wrapper] = {"retry": _retry, "retry_async": _retry_async}
    for function, wrapper in wrappers.items():
        patches.wrap(retries, function, wrapper)
        if function in vars(utils):  # else it looks there when it is first used
            patches.wrap(utils, function, wrapper)
    if importlib.util.find_spec(f"{root}._hooks.tracing") is not None:  # it came late
        tracing = importlib.import_module(f"{root}._hooks.tracing")
        patches.wrap(tracing, "get_traced_request_and_span", _own_span)
    streams = importlib.import_module(f"{root}.utils.eventstreaming")
    for owner, ends in (
        (streams.EventStream, ("close", "__exit__")),
        (streams.EventStreamAsync, ("close", "__aexit__")),
    ):
        for end in ends:
            if end in vars(owner):  # `close` came late
                patches.wrap(owner, end, _closing)


_SEATS: Final = [
    Integration(LIBRARY, LIBRARY, _install, module=module, minimum=(1, 5))
    for module in ("mistralai.client.chat", "mistralai.chat")  # since release 2, before
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
