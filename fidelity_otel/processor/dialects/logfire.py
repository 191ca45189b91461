"""Logfire and PydanticAI: `logfire.*`, `request_data`, `response_data`, `pydantic_ai.*`.

Source: pydantic/logfire (`integrations/llm_providers`) and pydantic/pydantic-ai
(`models/instrumented.py`, `agent`). PydanticAI's model calls follow the GenAI conventions; version
1 of its format writes them as one `events` attribute, later ones as messages.
"""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel.model import Event, Message, Operation
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.genai import put_arguments, read_events
from fidelity_otel.processor.dialects.messages import flattened, messages
from fidelity_otel.processor.dialects.payload import put_input, put_output
from fidelity_otel.processor.dialects.values import text, unwrapped
from fidelity_otel.processor.rawspan import RawSpan

__all__ = ["NAME", "read"]

NAME: Final = "logfire"
_REQUESTED: Final[tuple[tuple[str, Operation], ...]] = (
    ("messages", "chat"),
    ("input", "embeddings"),
    ("prompt", "chat"),
)
_OWN: Final = ("logfire.", "code.", "gen_ai.")


def read(raw: RawSpan, draft: Draft) -> None:
    """Read what Logfire and PydanticAI say into the draft."""
    get = raw.attributes.get
    request = unwrapped(get("request_data"), 1)
    if isinstance(request, dict):
        _read_client(request, unwrapped(get("response_data"), 1), draft)
    elif "logfire.msg_template" in raw.attributes:
        _read_function(raw.attributes, draft)
    agent = get("agent_name", get("pydantic_ai.agent_name"))
    if isinstance(agent, str):
        _read_agent(raw, agent, draft)
    events = unwrapped(get("events"), 1)
    if isinstance(events, list):
        read_events(tuple(_event(e) for e in events if isinstance(e, dict)), draft)
    if "gen_ai.tool.name" in raw.attributes:
        draft.put("operation", "execute_tool")
        given = get("tool_arguments")
        if given is not None:
            put_arguments(given, draft)
        result = get("tool_response")
        if result is not None:
            draft.put_tool("result", flattened(draft.value(result)))
    if get("logfire.level_num") in (17, 21):
        draft.put("error_type", text(get("logfire.exception.fingerprint")) and "exception")


def _read_client(request: dict[str, Any], response: Any, draft: Draft) -> None:
    for name, operation in _REQUESTED:
        if name in request:
            draft.put("operation", operation)
            break
    put_input(request, draft)
    if isinstance(response, dict):
        put_output(response, draft)


def _read_function(attributes: dict[str, Any], draft: Draft) -> None:
    """A function that was instrumented: its arguments are attributes of their own names."""
    given = {
        name: unwrapped(value, 1)
        for name, value in attributes.items()
        if not name.startswith(_OWN) and name not in ("return", "events") and "." not in name
    }
    if given and "input" not in draft.fields:
        draft.put("input", given)
    if "return" in attributes:
        draft.put("output", unwrapped(attributes["return"], 1))


def _read_agent(raw: RawSpan, agent: str, draft: Draft) -> None:
    get = raw.attributes.get
    draft.put("agent", agent)
    if "gen_ai.tool.name" in raw.attributes or draft.fields.get("operation") == "chat":
        return
    draft.put("operation", "invoke_agent")
    every = unwrapped(get("pydantic_ai.all_messages", get("all_messages_events")), 1)
    if isinstance(every, list):
        found = _all_messages(every, draft)
        first = next((i for i, m in enumerate(found) if m.role == "assistant"), len(found))
        draft.put("input_messages", found[:first])
        if found and found[-1].role == "assistant":
            draft.put("output_messages", found[-1:])
    result = get("final_result")
    if result is not None:
        draft.put("output", draft.value(result))


def _all_messages(every: list[Any], draft: Draft) -> tuple[Message, ...]:
    """A run's messages; format 1 writes them as events."""
    if not any(isinstance(e, dict) and "event.name" in e for e in every):
        return messages(every, draft)
    inner = Draft()
    read_events(tuple(_event(e) for e in every if isinstance(e, dict)), inner)
    draft.unread += inner.unread
    given: tuple[Message, ...] = inner.fields.get("input_messages", ())
    said: tuple[Message, ...] = inner.fields.get("output_messages", ())
    return given + said


def _event(entry: dict[str, Any]) -> Event:
    name = entry.get("event.name")
    attributes = {str(k): v for k, v in entry.items()}
    return Event(name if isinstance(name, str) else "", 0, attributes)
