"""mcp ≥ 1.22: tool calls of client sessions, with arguments and results; the trace goes along.

From 2.0 on the library traces its requests itself: a tool call's request has one span, which holds
what either knows. Before that, we send the trace along. Within a framework's span of the same tool
no second one is made.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

from opentelemetry.propagate import inject
from opentelemetry.trace import get_current_span

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.messages import blob
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel.sdk.recorder import Call
from fidelity_otel.sdk.recording import Recording
from fidelity_otel.sdk.spec import Spec
from fidelity_otel.sdk.state import STATE

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "mcp"
_METHOD: Final = "mcp.method.name"
_CURRENT: Final[ContextVar[Call | None]] = ContextVar("fidelity_mcp", default=None)


async def _call_tool(
    wrapped: Any, _session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    name = str(kwargs.get("name", args[0] if args else ""))
    call = _open(name)
    if call is None:
        return await wrapped(*args, **_carrying(kwargs))
    arguments = kwargs.get("arguments", args[1] if len(args) > 1 else None)
    call.recording.put_json(sc.GEN_AI_TOOL_CALL_ARGUMENTS, arguments or {})
    call.enter()
    token = _CURRENT.set(call)
    try:
        result = await wrapped(*args, **_carrying(kwargs))
    except BaseException as error:
        call.recording.fail(error)
        raise
    else:
        _write(call.recording, result)
        return result
    finally:
        _CURRENT.reset(token)
        call.leave()
        call.recording.end()


def _carrying(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same arguments; where the library does not do so itself, the trace goes along."""
    if not _INTEGRATION.active or importlib.util.find_spec("mcp.shared._otel") is not None:
        return kwargs
    meta = dict(kwargs.get("meta") or {})
    try:
        inject(meta)
    except Exception as error:  # noqa: BLE001
        guard.trip("mcp", error)
    return {**kwargs, "meta": meta} if meta else kwargs


def _open(name: str) -> Call | None:
    recorder = STATE.recorder
    if recorder is None or not _INTEGRATION.active:
        return None
    try:
        held: Mapping[str, Any] = getattr(get_current_span(), "attributes", None) or {}
        same = held.get(sc.GEN_AI_TOOL_NAME) == name
        if same and held.get(sc.GEN_AI_OPERATION_NAME) == "execute_tool":
            return None
        return recorder.open(Spec.of(name, "execute_tool", attributes={_METHOD: "tools/call"}))
    except Exception as error:  # noqa: BLE001
        guard.trip("mcp", error)
        return None


def _write(recording: Recording, result: Any) -> None:
    try:
        structured = _field(result, "structured_content", "structuredContent")
        parts = [_part(item) for item in _field(result, "content") or ()]
        recording.put_json(sc.GEN_AI_TOOL_CALL_RESULT, parts if structured is None else structured)
        if _field(result, "is_error", "isError"):
            texts = (str(p["content"]) for p in parts if p.get("type") == "text")
            recording.fail_text(" ".join(texts) or "the tool failed", "tool_error")
    except Exception as error:  # noqa: BLE001
        guard.trip("mcp", error)


def _field(result: Any, *names: str) -> Any:
    return next((v for n in names if (v := getattr(result, n, None)) is not None), None)


def _part(item: Any) -> dict[str, Any]:
    kind = str(getattr(item, "type", ""))
    if kind == "text":
        return {"type": "text", "content": item.text}
    if kind in {"image", "audio"}:
        mime_type = _field(item, "mime_type", "mimeType")
        return blob(str(item.data), kind, str(mime_type or ""))
    uri = getattr(getattr(item, "resource", item), "uri", None)
    return {"type": "uri", "modality": "document", "uri": str(uri)}


# --- the request itself --------------------------------------------------------------------------


def _own_span(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The library opens the span of a request; a tool call's is there already."""
    call = _CURRENT.get()
    attributes = kwargs.get("attributes") or {}
    if call is None or attributes.get(_METHOD) != "tools/call":
        return wrapped(*args, **kwargs)
    return _ours(call, attributes)


@contextmanager
def _ours(call: Call, attributes: Mapping[str, Any]) -> Generator[Any]:
    for key, value in attributes.items():
        call.recording.put(key, value)
    yield call.recording.span


def _install(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module.ClientSession, "call_tool", _call_tool)


def _new(patches: Patches, module: ModuleType) -> None:
    patches.wrap(module, "otel_span", _own_span)


_INTEGRATION: Final = Integration(
    "mcp",
    LIBRARY,
    _install,
    module="mcp.client.session",
    minimum=(1, 22),
    more={"mcp.shared.jsonrpc_dispatcher": _new},
)
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
