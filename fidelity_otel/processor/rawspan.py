"""A span as decoded from OTLP, before any dialect has been read into it."""

from __future__ import annotations

from typing import Any

import msgspec

from fidelity_otel.model import Event, Link

__all__ = ["RawSpan"]


class RawSpan(msgspec.Struct, frozen=True):
    """One OTLP span as plain Python values; no protobuf object leaves `wire`.

    Ids are lower-case hex; `parent_id` is None for a root. `kind` and `status_code` are OTLP's
    integers (status 0 unset, 1 ok, 2 error). Array and map attributes are lists and dicts, bytes
    stay bytes. `resource` is shared between the spans of one resource: don't change it.
    """

    trace_id: str
    span_id: str
    name: str
    parent_id: str | None = None
    kind: int = 0
    start_ns: int = 0
    end_ns: int = 0
    status_code: int = 0
    status_message: str = ""
    attributes: dict[str, Any] = {}
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    resource: dict[str, Any] = {}
    scope_name: str = ""
    scope_version: str = ""
    trace_state: str = ""
    flags: int = 0
