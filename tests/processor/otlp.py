"""OTLP requests for tests, made with the published schema rather than with our own code."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

# Making whole requests is slow by hypothesis' measure, above all on a busy machine.
calm = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def any_value(value: Any) -> AnyValue:
    """A plain value as OTLP's AnyValue."""
    out = AnyValue()
    if value is None:
        return out
    if isinstance(value, bool):
        out.bool_value = value
    elif isinstance(value, str):
        out.string_value = value
    elif isinstance(value, int):
        out.int_value = value
    elif isinstance(value, float):
        out.double_value = value
    elif isinstance(value, bytes):
        out.bytes_value = value
    elif isinstance(value, list):
        out.array_value.SetInParent()
        out.array_value.values.extend(any_value(v) for v in value)
    else:
        out.kvlist_value.SetInParent()
        for key, inner in value.items():
            out.kvlist_value.values.add(key=key, value=any_value(inner))
    return out


def add_attributes(target: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        target.add(key=key, value=any_value(value))


def span(
    trace: int,
    number: int,
    *,
    parent: int | None = 0,
    name: str = "step",
    end: int = 2_000,
    **attributes: Any,
) -> dict[str, Any]:
    """What `request` needs to make one span; `parent=None` makes it the root."""
    return {
        "trace_id": trace.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "parent_span_id": b"" if parent is None else (parent or 1).to_bytes(8, "big"),
        "name": name,
        "start_time_unix_nano": 1_000,
        "end_time_unix_nano": end,
        "attributes": attributes,
    }


def request(*spans: dict[str, Any], service: str = "shop", scope: str = "test") -> bytes:
    """An ExportTraceServiceRequest of one resource and one scope."""
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    add_attributes(resource.resource.attributes, {"service.name": service})
    under = resource.scope_spans.add()
    under.scope.name = scope
    for given in spans:
        fields = dict(given)
        attributes = fields.pop("attributes", {})
        add_attributes(under.spans.add(**fields).attributes, attributes)
    return made.SerializeToString()


texts = st.text(max_size=12)
scalars = (
    st.none()
    | texts
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
attributes = st.dictionaries(texts, values, max_size=4)


@st.composite
def requests(draw: st.DrawFn, traces: int = 4) -> ExportTraceServiceRequest:
    """Any well-formed request: several resources, scopes, traces, in any mixture."""
    made = ExportTraceServiceRequest()
    number = 0
    for _ in range(draw(st.integers(0, 3))):
        resource = made.resource_spans.add(schema_url=draw(texts))
        add_attributes(resource.resource.attributes, draw(attributes))
        for _ in range(draw(st.integers(0, 3))):
            scope = resource.scope_spans.add(schema_url=draw(texts))
            scope.scope.name = draw(texts)
            for _ in range(draw(st.integers(0, 4))):
                number += 1
                span = scope.spans.add(
                    trace_id=draw(st.integers(1, traces)).to_bytes(16, "big"),
                    span_id=number.to_bytes(8, "big"),
                    parent_span_id=draw(st.sampled_from([b"", bytes(8), b"parent!!"])),
                    name=draw(texts),
                    kind=draw(st.integers(0, 5)),
                    start_time_unix_nano=draw(st.integers(0, 2**64 - 1)),
                    end_time_unix_nano=draw(st.integers(0, 2**64 - 1)),
                    trace_state=draw(texts),
                    flags=draw(st.integers(0, 2**32 - 1)),
                )
                add_attributes(span.attributes, draw(attributes))
                for _ in range(draw(st.integers(0, 2))):
                    event = span.events.add(
                        name=draw(texts), time_unix_nano=draw(st.integers(0, 9))
                    )
                    add_attributes(event.attributes, draw(attributes))
                if draw(st.booleans()):
                    span.links.add(trace_id=b"t" * 16, span_id=b"s" * 8)
                if draw(st.booleans()):
                    span.status.code = draw(st.integers(0, 2))
    return made
