"""What the span of one decorated thing looks like; worked out once, when it is decorated."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.capture import to_json

_FIXED_BYTES: Final = 4096

__all__ = ["CLIENT_OPERATIONS", "Arguments", "Spec", "plain_name", "span_name"]

CLIENT_OPERATIONS: Final = frozenset(
    {"chat", "embeddings", "generate_content", "rerank", "text_completion"}
)
NAME_KEYS: Final[dict[str, str]] = {
    "invoke_workflow": sc.GEN_AI_WORKFLOW_NAME,
    "invoke_agent": sc.GEN_AI_AGENT_NAME,
    "execute_tool": sc.GEN_AI_TOOL_NAME,
    "retrieval": sc.GEN_AI_DATA_SOURCE_ID,
}
INPUT_KEYS: Final[dict[str, str]] = {"execute_tool": sc.GEN_AI_TOOL_CALL_ARGUMENTS}
OUTPUT_KEYS: Final[dict[str, str]] = {"execute_tool": sc.GEN_AI_TOOL_CALL_RESULT}


class Arguments:
    """Names a call's arguments without the cost of `inspect.Signature.bind`."""

    __slots__ = ("_names", "_rest", "_skip")

    def __init__(self, target: Callable[..., Any], *, bound: bool = False) -> None:
        names: list[str] = []
        rest = "args"
        try:
            parameters = list(inspect.signature(target).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        for parameter in parameters:
            if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
                names.append(parameter.name)
            elif parameter.kind is parameter.VAR_POSITIONAL:
                rest = parameter.name
        method = "." in getattr(target, "__qualname__", "").rpartition("<locals>.")[2]
        self._skip = not bound and bool(names) and names[0] in {"self", "cls"} and method
        self._names = tuple(names)
        self._rest = rest

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name; `self` and `cls` left out, defaults not filled in."""
        names = self._names
        if len(args) == len(names) == 1 and not kwargs and not self._skip:
            return {names[0]: args[0]}
        named = dict(zip(names, args, strict=False))
        if len(args) > len(names):
            named[self._rest] = args[len(names) :]
        if self._skip and args:
            del named[names[0]]
        for key, value in kwargs.items():
            named[key if key not in named else f"**{key}"] = value
        return named


@dataclass(frozen=True, slots=True)
class Spec:
    """The fixed part of a span: its name, operation, attributes, and what is captured."""

    name: str
    operation: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    arguments: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]] | None = None
    capture_input: bool | None = None
    capture_output: bool | None = None
    input_key: str = sc.FIDELITY_INPUT
    output_key: str = sc.FIDELITY_OUTPUT
    tool: str = ""
    """Name of the tool, where it is one."""
    client: bool = False
    """Whether the operation calls out to a service."""
    captures: bool = True
    """Whether input or output may be captured."""
    forced: bool = False
    """Whether they are, although the default is not to."""
    plain: bool = True
    """Whether they are written as they are, in no terms of the operation."""

    @classmethod
    def of(
        cls,
        name: str,
        operation: str = "",
        *,
        named: bool = True,
        attributes: Mapping[str, Any] | None = None,
        capture_input: bool | None = None,
        capture_output: bool | None = None,
        arguments: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]] | None = None,
    ) -> Spec:
        """The spec of an operation.

        Args:
            name: of the workflow, agent, tool, data source, or of the span itself.
            operation: one of the GenAI conventions' operations, or "".
            named: whether a person chose the name (a function's own name is no data source).
            attributes: further fixed attributes.
            capture_input: whether the input is captured; None as `init` says.
            capture_output: the same for the output.
            arguments: names a call's arguments.
        """
        fixed: dict[str, Any] = {}
        if operation:
            fixed[sc.GEN_AI_OPERATION_NAME] = operation
        key = NAME_KEYS.get(operation)
        if key and (named or operation != "retrieval"):
            fixed[key] = name
        if operation == "execute_tool":
            fixed[sc.GEN_AI_TOOL_TYPE] = "function"
        fixed.update({k: _plain(v) for k, v in (attributes or {}).items() if v is not None})
        return cls(
            name=span_name(name, operation, fixed),
            operation=operation,
            attributes=fixed,
            tool=name if operation == "execute_tool" else "",
            client=operation in CLIENT_OPERATIONS,
            input_key=INPUT_KEYS.get(operation, sc.FIDELITY_INPUT),
            output_key=OUTPUT_KEYS.get(operation, sc.FIDELITY_OUTPUT),
            capture_input=capture_input,
            capture_output=capture_output,
            captures=capture_input is not False or capture_output is not False,
            forced=bool(capture_input or capture_output),
            plain=operation not in {"retrieval", "chat"},
            arguments=arguments,
        )


def _plain(value: Any) -> Any:
    """A fixed attribute as OpenTelemetry takes it: a scalar, a tuple of texts, else JSON."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple) and all(type(v) is str for v in value):
        return tuple(value)
    return to_json(value, _FIXED_BYTES)[0]


def span_name(name: str, operation: str, attributes: Mapping[str, Any]) -> str:
    """`{operation} {name}`, as the GenAI conventions have it; for chat the model, where known."""
    if not operation:
        return name
    subject = (
        attributes.get(sc.GEN_AI_REQUEST_MODEL, name) if operation in CLIENT_OPERATIONS else name
    )
    return f"{operation} {subject}".strip()


def plain_name(target: Any) -> str:
    """A function's qualified name without `<locals>`, or what a callable object is called."""
    while isinstance(target, functools.partial):
        target = target.func
    name = getattr(target, "__qualname__", None) or getattr(target, "__name__", None)
    if not isinstance(name, str):
        name = type(target).__qualname__
    return name.rpartition("<locals>.")[2] or "call"
