"""The decorators: one closure a kind of function, chosen once, when it is decorated."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypedDict, TypeVar, Unpack, cast, overload

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.follow import follow_async, follow_result, follow_sync, mark
from fidelity_otel.sdk.shadow_gate import gated
from fidelity_otel.sdk.spec import Arguments, Spec, plain_name
from fidelity_otel.sdk.state import STATE

__all__ = [
    "Decorator",
    "agent",
    "chat",
    "embeddings",
    "guardrail",
    "is_observed",
    "observe",
    "rerank",
    "retrieval",
    "tool",
    "workflow",
    "workflow_of",
]

F = TypeVar("F")
_OBSERVED = "__fidelity_observed__"


class Settings(TypedDict, total=False):
    """The options of the decorators; see `observe`."""

    workflow: str | None
    capture: bool | None
    capture_input: bool | None
    capture_output: bool | None
    model: str | None
    provider: str | None
    prompt: str | tuple[str, str] | None
    attributes: Mapping[str, Any] | None


class Decorator(Protocol):
    """Gives back what it is given, with the same type."""

    def __call__(self, target: F, /) -> F:
        """Observe a function, method, class, partial or callable object."""
        ...


@overload
def observe(
    name: str | None = None, /, *, operation: str = "", **settings: Unpack[Settings]
) -> Decorator: ...
@overload
def observe(target: F, /, *, operation: str = "", **settings: Unpack[Settings]) -> F: ...
def observe(
    target: object = None, /, *, operation: str = "", **settings: Unpack[Settings]
) -> object:
    """Record every call as a span; bare (`@observe`) or called (`@observe("name")`).

    Works on functions, coroutine functions, generators, async generators, methods, class and
    static methods (above or below), partials, callable objects and classes (their public methods).
    What is decorated behaves as before; nothing of ours is ever raised into it.

    Args:
        target: what to observe, or the name to give it.
        operation: a GenAI operation: invoke_workflow, invoke_agent, execute_tool, retrieval, chat,
            embeddings, rerank, guardrail.
        **settings: `workflow`: name of the workflow that the call serves. `capture`: whether to
            record input and output (as `init` says by default); `capture_input` and
            `capture_output` the same for one of them. `model` and `provider` asked. `prompt`: name,
            or name and version, of the prompt in use. `attributes`: further fixed attributes.
    """
    prompt = settings.get("prompt")
    prompt_name, prompt_version = prompt if isinstance(prompt, tuple) else (prompt, None)
    said = {
        sc.FIDELITY_WORKFLOW: settings.get("workflow"),
        sc.GEN_AI_REQUEST_MODEL: settings.get("model"),
        sc.GEN_AI_PROVIDER_NAME: settings.get("provider"),
        sc.GEN_AI_PROMPT_NAME: prompt_name,
        sc.GEN_AI_PROMPT_VERSION: prompt_version,
        **(settings.get("attributes") or {}),
    }
    capture = settings.get("capture")
    capture_input = settings.get("capture_input")
    capture_output = settings.get("capture_output")
    fixed: dict[str, Any] = {
        "operation": operation,
        "attributes": said,
        "capture_input": capture if capture_input is None else capture_input,
        "capture_output": capture if capture_output is None else capture_output,
    }
    if target is None or isinstance(target, str):
        return lambda found: _decorate(found, target, fixed)
    return _decorate(target, None, fixed)


class OperationDecorator(Protocol):
    """`observe` with the operation already said."""

    @overload
    def __call__(self, name: str | None = None, /, **settings: Unpack[Settings]) -> Decorator: ...
    @overload
    def __call__(self, target: F, /, **settings: Unpack[Settings]) -> F: ...


def _operation(name: str, operation: str, doc: str) -> OperationDecorator:
    def decorator(target: Any = None, /, **settings: Unpack[Settings]) -> Any:
        return observe(target, operation=operation, **settings)

    decorator.__name__ = decorator.__qualname__ = name
    decorator.__doc__ = f"{doc} `observe` with operation `{operation}`."
    return cast("OperationDecorator", decorator)


workflow = _operation(
    "workflow", "invoke_workflow", "Observe what a user asked for: the root of a trace."
)
agent = _operation("agent", "invoke_agent", "Observe one run of an agent.")
tool = _operation("tool", "execute_tool", "Observe a tool: its arguments and its result.")
retrieval = _operation("retrieval", "retrieval", "Observe a retriever: query and documents.")
chat = _operation("chat", "chat", "Observe a call of a chat model.")
embeddings = _operation("embeddings", "embeddings", "Observe a call of an embedding model.")
rerank = _operation("rerank", "rerank", "Observe a reranker.")
guardrail = _operation("guardrail", "guardrail", "Observe a check of what goes in or out.")


def _decorate(target: Any, name: str | None, settings: dict[str, Any]) -> Any:
    try:
        return _wrap(target, name, settings)
    except Exception as error:  # noqa: BLE001 - a decorator must never break an import
        guard.trip("decorate", error)
        return target


def _wrap(target: Any, name: str | None, settings: dict[str, Any]) -> Any:
    if isinstance(target, classmethod | staticmethod):
        kind: Any = type(target)
        return kind(_wrap(target.__func__, name, settings))
    if isinstance(target, property):
        getter = None if target.fget is None else _wrap(target.fget, name, settings)
        return property(getter, target.fset, target.fdel, target.__doc__)
    if inspect.isclass(target):
        return _observe_class(target, name, settings)
    if isinstance(target, functools.partial):
        spec = _spec(target.func, name, settings)
        return type(target)(_closure(target.func, spec), *target.args, **target.keywords)
    if not callable(target):
        guard.note(
            "decorate", "observe: %s is not callable and stays as it is", type(target).__name__
        )
        return target
    spec = _spec(target, name, settings)
    if spec.operation == "execute_tool" and inspect.isfunction(target):
        return _closure(gated(target, spec.tool), spec)
    return _closure(target, spec)


def _spec(target: Any, name: str | None, settings: dict[str, Any]) -> Spec:
    own = plain_name(target)
    if settings["operation"] == "execute_tool":  # models call tools by their plain name
        own = own.rpartition(".")[2]
    return Spec.of(name or own, named=name is not None, arguments=Arguments(target), **settings)


def _observe_class(target: type, name: str | None, settings: dict[str, Any]) -> type:
    """The same class, with each public method of its own observed; properties stay as they are."""
    for attribute, member in list(vars(target).items()):
        public = not attribute.startswith("_") or attribute == "__call__"
        inner = getattr(member, "__func__", member)
        if not public or not inspect.isfunction(inner) or hasattr(inner, _OBSERVED):
            continue
        method = f"{name or target.__name__}.{attribute}"
        setattr(target, attribute, _decorate(member, method, settings))
    return target


def is_observed(target: Any) -> bool:
    """Whether a function records its calls already."""
    return hasattr(target, _OBSERVED)


def workflow_of(target: Any) -> str:
    """The workflow that an observed function is, else the name of its span."""
    spec: Spec = getattr(target, _OBSERVED)
    return str(spec.attributes.get(sc.GEN_AI_WORKFLOW_NAME, spec.name))


def _closure(target: Any, spec: Spec) -> Any:
    """The closure that fits the kind of function."""
    run = target if inspect.isroutine(target) else getattr(type(target), "__call__", target)  # noqa: B004
    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(run):
        wrapper: Any = _coroutine(target, spec)
    elif inspect.isasyncgenfunction(target) or inspect.isasyncgenfunction(run):
        wrapper = mark(_async_generator(target, spec), inspect.CO_ASYNC_GENERATOR)
    elif inspect.isgeneratorfunction(target) or inspect.isgeneratorfunction(run):
        wrapper = mark(_generator(target, spec), inspect.CO_GENERATOR)
    else:
        wrapper = _function(target, spec)
    functools.update_wrapper(wrapper, target)
    if not hasattr(target, "__name__"):
        wrapper.__name__ = wrapper.__qualname__ = plain_name(target)
    if not inspect.isfunction(target):
        _lend(target, wrapper)
    setattr(wrapper, _OBSERVED, spec)
    return wrapper


def _lend(target: Any, wrapper: Any) -> None:
    """Give the closure the public methods of a callable object (`cache_clear`, `delay`, …)."""
    for name in dir(target):
        if not name.startswith("_") and not hasattr(wrapper, name):
            try:
                value = inspect.getattr_static(target, name)
                if callable(value) or hasattr(value, "__get__"):
                    setattr(wrapper, name, getattr(target, name))
            except Exception:  # noqa: BLE001, S112 - a property that raises is not ours to judge
                continue


def _function(target: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    def observed(*args: Any, **kwargs: Any) -> Any:
        recorder = STATE.recorder
        if recorder is None:  # what an SDK that is off costs: as direct a call as there can be
            if kwargs:
                return target(*args, **kwargs)
            return target(args[0]) if len(args) == 1 else target(*args)
        call = recorder.enter(spec, args, kwargs)
        if call is None:
            return target(*args, **kwargs)
        try:
            result = target(*args, **kwargs)
        except BaseException as error:
            call.raised(error)
            raise
        return follow_result(call, result)

    return observed


def _coroutine(target: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    async def observed(*args: Any, **kwargs: Any) -> Any:
        recorder = STATE.recorder
        if recorder is None:
            return await target(*args, **kwargs)
        call = recorder.enter(spec, args, kwargs)
        if call is None:
            return await target(*args, **kwargs)
        try:
            result = await target(*args, **kwargs)
        except BaseException as error:
            call.raised(error)
            raise
        call.returned(result)
        return result

    return observed


def _generator(target: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    def observed(*args: Any, **kwargs: Any) -> Any:
        recorder = STATE.recorder
        inner = target(*args, **kwargs)
        return inner if recorder is None else follow_sync(recorder, spec, inner, args, kwargs)

    return observed


def _async_generator(target: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    def observed(*args: Any, **kwargs: Any) -> Any:
        recorder = STATE.recorder
        inner = target(*args, **kwargs)
        return inner if recorder is None else follow_async(recorder, spec, inner, args, kwargs)

    return observed
