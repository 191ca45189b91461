"""litellm ≥ 1.60: chat and text completions, responses, embeddings, Router; streams; its retries.

The provider's own client underneath is not recorded again: tokens count once. What was imported by
`from litellm import completion` before the integration was turned on is not seen.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, Final

from fidelity_otel.sdk.modelcall import CURRENT_CALL, ModelCall, suppressed
from fidelity_otel.sdk.patch import Integration, Patches, Wrapper
from fidelity_otel.sdk.watch import Reader, StreamWatch
from fidelity_otel_integrations.chat_format import Chat, Chunks
from fidelity_otel_integrations.completions_format import Completions, Texts
from fidelity_otel_integrations.embeddings_format import Embeddings
from fidelity_otel_integrations.methods import Asked, Methods, Read, argument
from fidelity_otel_integrations.responses_format import Responses

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "litellm"
_HELD: Final = "_fidelity_litellm"
_READING: Final = "_fidelity_litellm_reading"  # a stream that was read out closes itself
_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_text": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "cohere_chat": "cohere",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "text-completion-openai": "openai",
    "vertex_ai": "gcp.vertex_ai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}


class Completion(Chat):
    """Chat, but for the model of a stream: the library puts there the one that was asked."""

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's chunks."""
        return _Chunks()


class _Chunks(Chunks):
    def write(self, call: ModelCall) -> None:
        self._model = None
        super().write(call)


class TextCompletion(Completions):
    """Completions, with the same exception."""

    @staticmethod
    def chunks() -> Reader:
        """A reader of a stream's chunks."""
        return _Texts()


class _Texts(Texts):
    def write(self, call: ModelCall) -> None:
        self._model = None
        super().write(call)


_FUNCTIONS: Final[dict[str, tuple[Any, str, int]]] = {
    "completion": (Completion, "messages", 1),
    "text_completion": (TextCompletion, "prompt", 0),
    "responses": (Responses, "input", 0),
    "embedding": (Embeddings, "input", 1),
}
"""Function → how it is read, what holds its content, and the place of that among the arguments."""


def _follow(_call: ModelCall, watch: StreamWatch, response: Any) -> Any:
    """Streams are objects that are their own iterator: its class is patched."""
    if not hasattr(type(response), "__next__") and not hasattr(type(response), "__anext__"):
        return None
    setattr(response, _HELD, watch)
    watch.until_dropped(response)
    return response


_METHODS: Final = Methods(LIBRARY, _follow, covers=True)


def _reader(form: Any, content: str, place: int) -> Read:
    def read(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
        body = {**kwargs, "model": argument(args, kwargs, "model", 1 - place)}
        body[content] = argument(args, kwargs, content, place)
        address = kwargs.get("api_base") or kwargs.get("base_url") or ""
        model, provider = str(body["model"] or ""), str(kwargs.get("custom_llm_provider") or "")
        try:
            model, provider, _, found = sys.modules[LIBRARY].get_llm_provider(
                model=model, custom_llm_provider=provider or None, api_base=address or None
            )
        except Exception:  # noqa: BLE001 - the call itself will say so
            found = None
        named = _PROVIDERS.get(provider, provider) or LIBRARY
        return Asked(form, model, named, body, str(address or found or ""))

    return read


# --- attempts ------------------------------------------------------------------------------------


def _within(around: Wrapper, attempt: Wrapper) -> Wrapper:
    """A call inside of a call is the library trying again, or its async function's sync half."""

    def call(wrapped: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        chosen = around if CURRENT_CALL.get() is None else _nested(around, attempt)
        return chosen(wrapped, module, args, kwargs)

    return call


def _nested(around: Wrapper, attempt: Wrapper) -> Wrapper:
    """An attempt of ours; a new call where it is another client's call that is running."""
    return attempt if suppressed() else around


def _retrying(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The first attempt failed; the library's retry loop begins."""
    error = sys.exc_info()[1]
    if error is not None and _INTEGRATION.active:
        _METHODS.safely(lambda: _METHODS.fell(error))
    return wrapped(*args, **kwargs)


# --- streams -------------------------------------------------------------------------------------


@contextmanager
def _asking(watch: StreamWatch) -> Generator[None, None, None]:
    """Some streams ask the provider only when their first chunk is read."""
    if watch.call.chunks:
        yield
        return
    with watch.call, _METHODS.alone():
        yield


def _next(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    watch = getattr(stream, _HELD, None)
    if watch is None:
        return wrapped(*args, **kwargs)
    setattr(stream, _READING, True)
    try:
        with _asking(watch):
            chunk = wrapped(*args, **kwargs)
    except StopIteration:
        watch.end(complete=True)
        raise
    except BaseException as error:
        watch.end(error)
        raise
    finally:
        setattr(stream, _READING, False)
    watch.item(chunk)
    return chunk


async def _next_async(
    wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    watch = getattr(stream, _HELD, None)
    if watch is None:
        return await wrapped(*args, **kwargs)
    setattr(stream, _READING, True)
    try:
        with _asking(watch):
            chunk = await wrapped(*args, **kwargs)
    except StopAsyncIteration:
        watch.end(complete=True)
        raise
    except BaseException as error:
        watch.end(error)
        raise
    finally:
        setattr(stream, _READING, False)
    watch.item(chunk)
    return chunk


def _closed(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    watch = getattr(stream, _HELD, None)
    if watch is not None and not getattr(stream, _READING, False):
        _METHODS.safely(watch.end)
    return wrapped(*args, **kwargs)


_STREAM: Final[dict[str, Wrapper]] = {
    "__next__": _next,
    "__anext__": _next_async,
    "close": _closed,
    "aclose": _closed,
}


def _install(patches: Patches, module: ModuleType) -> None:
    main = importlib.import_module("litellm.main")
    owners = [module, main]  # the same functions under several names
    for place in ("litellm.responses.main", "litellm.responses.dispatch"):
        with suppress(ModuleNotFoundError):  # they came late
            owners.append(importlib.import_module(place))
    for name, how in _FUNCTIONS.items():
        read = _reader(*how)
        functions: dict[str, Wrapper] = {
            name: _within(_METHODS.sync(read), _METHODS.attempt),
            f"a{name}": _within(_METHODS.asynchronous(read), _METHODS.attempt_async),
            f"{name}_with_retries": _retrying,
            f"a{name}_with_retries": _retrying,
        }
        for owner in owners:
            for function, wrapper in functions.items():
                expected = owner is module and function == name != "responses"  # which came late
                if expected or function in vars(owner):
                    patches.wrap(owner, function, wrapper)
    for kind in _streams(main):
        for method, wrapper in _STREAM.items():
            if method in vars(kind):  # each has some of them
                patches.wrap(kind, method, wrapper)


def _streams(main: ModuleType) -> Iterator[Any]:
    """The classes of its streams."""
    handler = importlib.import_module("litellm.litellm_core_utils.streaming_handler")
    yield handler.CustomStreamWrapper
    yield main.TextCompletionStreamWrapper
    for place in (
        "litellm.responses.streaming_iterator",
        "litellm.responses.litellm_completion_transformation.streaming_iterator",
    ):
        with suppress(ModuleNotFoundError):  # they came late
            for name, kind in vars(importlib.import_module(place)).items():
                if name.endswith("StreamingIterator") and kind.__module__ == place:
                    yield kind


_INTEGRATION: Final = Integration(LIBRARY, LIBRARY, _install, minimum=(1, 60))
_METHODS.active = lambda: _INTEGRATION.active
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
