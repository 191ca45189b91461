"""langchain-core ≥ 1.0: chains, agents, chat models, tools, retrievers; and langgraph's graphs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

from fidelity_otel.sdk import guard
from fidelity_otel.sdk.modelcall import CURRENT_CALL
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel_integrations.langchain_handler import RUNS, STARTED, Handler, Started
from fidelity_otel_integrations.runs import Run

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "langchain_core"


# --- where the work itself is done ---------------------------------------------------------------


def _within(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """LangChain prepares the context (a copy) in which a run's own code will run."""
    found = wrapped(*args, **kwargs)
    config = kwargs.get("config", args[0] if args else None)
    try:
        if _INTEGRATION.active and isinstance(config, Mapping):
            run = RUNS.get(getattr(config.get("callbacks"), "parent_run_id", None))
            if run is not None and run.model is None:
                run.enter()
    except Exception as error:  # noqa: BLE001
        guard.trip("langchain", error)
    return found


def _run_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run | None:
    managers = kwargs.get("run_manager", args[2] if len(args) > 2 else None)  # noqa: PLR2004
    managers = kwargs.get("run_managers", managers)
    first = managers[0] if isinstance(managers, list) and managers else managers
    return RUNS.get(getattr(first, "run_id", None))


def _generate(wrapped: Any, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    run = _run_of(args, kwargs)
    if run is None or run.model is None or run.model is CURRENT_CALL.get():
        return wrapped(*args, **kwargs)
    with run.model:
        return wrapped(*args, **kwargs)


async def _agenerate(
    wrapped: Any, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    run = _run_of(args, kwargs)
    if run is None or run.model is None or run.model is CURRENT_CALL.get():
        return await wrapped(*args, **kwargs)
    try:
        with run.model:
            return await wrapped(*args, **kwargs)
    except asyncio.CancelledError as error:  # LangChain does not tell its handlers
        RUNS.finish(run.key, error=error)
        raise


async def _acall(wrapped: Any, _tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    started = Started(stream=False)
    token = STARTED.set(started)
    try:
        return await wrapped(*args, **kwargs)
    except asyncio.CancelledError as error:
        for key in started.keys:
            RUNS.finish(key, error=error)
        raise
    finally:
        STARTED.reset(token)


def _stream(wrapped: Any, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    inner = wrapped(*args, **kwargs)
    return _steps(inner) if _INTEGRATION.active and hasattr(inner, "close") else inner


def _astream(wrapped: Any, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    inner = wrapped(*args, **kwargs)
    return _asteps(inner) if _INTEGRATION.active and hasattr(inner, "aclose") else inner


class _Step:
    """One step of a model's stream: its run is current within, and not between two steps."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self._token: Any = None

    def __enter__(self) -> None:
        if self._started.model is not None:
            self._started.model.enter()
        self._token = STARTED.set(self._started)

    def __exit__(self, *_: object) -> None:
        try:
            STARTED.reset(self._token)
        except ValueError:  # closed in another context than it ran in
            STARTED.set(None)
        if self._started.model is not None:
            self._started.model.leave()


def _steps(inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    step = _Step(Started(stream=True))
    try:
        while True:
            with step:
                try:
                    item = next(inner)
                except StopIteration as end:
                    return end.value
            yield item
    finally:
        with step:
            inner.close()


async def _asteps(inner: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    step = _Step(Started(stream=True))
    try:
        while True:
            with step:
                try:
                    item = await anext(inner)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        with step:
            await inner.aclose()


# --- on and off ----------------------------------------------------------------------------------


def _callbacks(patches: Patches, _module: ModuleType) -> None:
    from langchain_core.callbacks.base import BaseCallbackHandler
    from langchain_core.tracers import context

    handler = type("FidelityHandler", (Handler, BaseCallbackHandler), {})()
    hook = (ContextVar("fidelity_langchain_handler", default=handler), True, None, None)
    # What its public function appends to, which cannot take back.
    hooks: Any = context._configure_hooks  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    hooks.append(hook)
    patches.on_undo(lambda: hooks.remove(hook))
    patches.on_undo(RUNS.stop_all)


def _config(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module, "_set_config_context", _within)


def _model(patches: Patches, owner: Any, generate: str) -> None:
    patches.wrap(owner, f"_{generate}", _generate)
    patches.wrap(owner, f"_a{generate}", _agenerate)
    patches.wrap(owner, "stream", _stream)
    patches.wrap(owner, "astream", _astream)


def _retriever(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module.BaseRetriever, "ainvoke", _acall)


def _tool(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module.BaseTool, "arun", _acall)


_INTEGRATION: Final = Integration(
    "langchain",
    LIBRARY,
    _callbacks,
    module="langchain_core.callbacks.manager",
    distribution="langchain-core",
    minimum=(1, 0),
    more={
        "langchain_core.language_models.chat_models": lambda patches, module: _model(
            patches, module.BaseChatModel, "generate_with_cache"
        ),
        "langchain_core.language_models.llms": lambda patches, module: _model(
            patches, module.BaseLLM, "generate_helper"
        ),
        "langchain_core.retrievers": _retriever,
        "langchain_core.runnables.config": _config,
        "langchain_core.tools.base": _tool,
        # Langgraph's own, by where its releases have it.
        "langgraph._internal._runnable": _config,
        "langgraph.utils.runnable": _config,
    },
)
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
