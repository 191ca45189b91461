"""`fidelity.span(...)`: the same record for a block of code, and a handle to write on it."""

from __future__ import annotations

import functools
from types import TracebackType
from typing import Any, Final, Self

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.reference import Handle
from fidelity_otel.sdk.spec import Spec
from fidelity_otel.sdk.state import STATE

__all__ = ["ActiveSpan", "span"]

_UNSET: Final = object()
_SHORT: Final = {"model": sc.GEN_AI_REQUEST_MODEL, "provider": sc.GEN_AI_PROVIDER_NAME}


class ActiveSpan:
    """An open span, as `with` and `async with` give it; every method returns the span itself.

    All methods are no-ops while the SDK is off or the trace is not sampled, and none raises.
    """

    __slots__ = ("_call", "_input", "_spec")

    def __init__(self, spec: Spec, given: Any) -> None:
        self._spec = spec
        self._input = given
        self._call: Any = None

    def __enter__(self) -> Self:
        recorder = STATE.recorder
        if recorder is not None and self._call is None:
            self._call = recorder.enter(self._spec, (), {})
            if self._input is not _UNSET:
                self.input(self._input)
                self._input = _UNSET
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        call = self._call
        if call is not None:
            call.leave()
            if error is not None:
                call.recording.fail(error)
            call.recording.end()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, stack)

    def input(self, value: Any) -> Self:
        """Record what went in; chat messages where the operation is chat."""
        if (recording := self._recording) is not None:
            recording.put_input(self._spec.operation, self._spec.input_key, value)
        return self

    def output(self, value: Any) -> Self:
        """Record what came out; documents where the operation is retrieval."""
        if (recording := self._recording) is not None:
            recording.put_output(self._spec.operation, self._spec.output_key, value)
        return self

    def documents(self, documents: Any) -> Self:
        """Record retrieved documents: dicts with id, score, content, source, indexed_at."""
        if (recording := self._recording) is not None:
            recording.put_output("retrieval", sc.GEN_AI_RETRIEVAL_DOCUMENTS, documents)
        return self

    def tool(self, name: str, arguments: Any = None, result: Any = None, error: Any = None) -> Self:
        """Record a tool's execution: on this span where it is a tool's, else as its child.

        Args:
            name: of the tool.
            arguments: what it was called with, by name.
            result: what it gave back.
            error: the exception or text with which it failed; None where it did not.
        """
        if self._recording is None:
            return self
        try:
            if self._spec.operation == "execute_tool":
                self._recording.put(sc.GEN_AI_TOOL_NAME, name)
                _write_tool(self._recording, arguments, result, error)
            elif (recorder := STATE.recorder) is not None:
                spec = Spec.of(name, "execute_tool")
                child = recorder.open(spec, parent=self._call.context).recording
                _write_tool(child, arguments, result, error)
                child.end()
        except Exception as own:  # noqa: BLE001
            guard.trip("tool", own)
        return self

    def set(self, key: str, value: Any) -> Self:
        """Set an attribute: a number, flag, short text or list of texts; else its JSON."""
        call = self._call
        if call is not None:
            call.recording.put(key, value)
        return self

    def error(self, error: BaseException | str) -> Self:
        """Say that the work failed, although no exception leaves the block."""
        if (recording := self._recording) is not None:
            _fail(recording, error)
        return self

    def handle(self) -> Handle:
        """A portable reference to this span; empty while the SDK is off."""
        return Handle() if self._call is None else self._call.recording.handle()

    @property
    def _recording(self) -> Any:
        return None if self._call is None else self._call.recording


def _spec(
    name: str, operation: str, capture: bool | None, attributes: dict[str, Any] | None = None
) -> Spec:
    return Spec.of(
        name, operation, attributes=attributes, capture_input=capture, capture_output=capture
    )


_plain_spec: Final = functools.lru_cache(maxsize=256)(_spec)


def _write_tool(recording: Any, arguments: Any, result: Any, error: Any) -> None:
    if arguments is not None:
        recording.put_json(sc.GEN_AI_TOOL_CALL_ARGUMENTS, arguments)
    if result is not None:
        recording.put_json(sc.GEN_AI_TOOL_CALL_RESULT, result)
    if error is not None:
        _fail(recording, error)


def _fail(recording: Any, error: Any) -> None:
    if isinstance(error, BaseException):
        recording.fail(error)
    else:
        recording.fail_text(str(error))


def span(
    name: str,
    operation: str = "",
    *,
    input: Any = _UNSET,  # noqa: A002 - the word for it
    capture: bool | None = None,
    **attributes: Any,
) -> ActiveSpan:
    """Record a block of code, `with` or `async with`.

    Args:
        name: of the workflow, agent, tool or data source that the operation is about, else of the
            span.
        operation: a GenAI operation, as for `observe`.
        input: what goes in.
        capture: whether to record input and output; as `init` says by default.
        **attributes: fixed attributes; `model` and `provider` stand for their GenAI names.
    """
    try:
        if attributes:
            fixed = {_SHORT.get(key, key): value for key, value in attributes.items()}
            spec = _spec(str(name), operation, capture, fixed)
        else:
            spec = _plain_spec(str(name), operation, capture)
    except Exception as error:  # noqa: BLE001
        guard.trip("span", error)
        spec = Spec(name=str(operation) or "span")
    return ActiveSpan(spec, input)
