"""The direct way gives what OpenTelemetry's own gives, byte for byte where it counts."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import attributes as otel_attributes
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

import fidelity_otel as fidelity
from fidelity_otel.sdk.export_encode import encode_request
from fidelity_otel.sdk.lean import LateReadable, LeanSpan, LeanTracer
from fidelity_otel.sdk.state import STATE
from fidelity_otel.testing import counting_ids, record

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=8)
VALUES = st.recursive(
    st.one_of(
        TEXT,
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.binary(max_size=20),
        st.none(),
        st.text(min_size=110, max_size=400).filter(lambda t: t.isprintable()),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=6)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(0), TraceFlags(1), TraceFlags(3)]),
    st.sampled_from([TraceState(), TraceState([("a", "1"), ("ot", "th:8")])]),
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("set_attribute"), st.tuples(KEYS, VALUES)),
        st.tuples(st.just("set_attributes"), st.tuples(ATTRIBUTES)),
        st.tuples(st.just("add_event"), st.tuples(TEXT, ATTRIBUTES, st.integers(0, 2**63))),
        st.tuples(st.just("add_link"), st.tuples(CONTEXTS, ATTRIBUTES)),
        st.tuples(st.just("update_name"), st.tuples(TEXT)),
        st.tuples(
            st.just("set_status"),
            st.tuples(
                st.one_of(
                    st.builds(Status, st.just(StatusCode.ERROR), TEXT),
                    st.sampled_from([*StatusCode, Status(StatusCode.OK)]),
                )
            ),
        ),
    ),
    max_size=12,
)


def provider() -> tuple[TracerProvider, InMemorySpanExporter]:
    made = TracerProvider(
        id_generator=counting_ids(),
        resource=Resource({"service.name": "s", "list": ("a", "b")}, "https://schema/1"),
        shutdown_on_exit=False,
    )
    memory = InMemorySpanExporter()
    made.add_span_processor(SimpleSpanProcessor(memory))
    return made, memory


def lean(made: TracerProvider, out: list[LeanSpan]) -> LeanTracer:
    found = LeanTracer.of(made, made.get_tracer("fidelity_otel"), out.append, "")
    assert found is not None
    return found


def play(span: Any, actions: list[tuple[str, tuple[Any, ...]]], start: int, end: int) -> None:
    for name, arguments in actions:
        getattr(span, name)(*copy.deepcopy(arguments))
    if isinstance(span, LeanSpan):
        span.start_time = start
    else:
        span._start_time = start
    span.end(end)


@given(
    TEXT,
    st.sampled_from(list(SpanKind)),
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]), st.one_of(TEXT, st.integers(0, 9)), max_size=3
    ),
    st.one_of(st.none(), CONTEXTS),
    st.lists(st.builds(Link, CONTEXTS.filter(lambda c: c.is_valid), ATTRIBUTES), max_size=2),
    ACTIONS,
    st.integers(0, 2**63),
)
@settings(max_examples=150, deadline=None)
def test_every_field_is_the_same(  # noqa: PLR0917
    name: str,
    kind: SpanKind,
    attributes: dict[str, Any],
    parent: SpanContext | None,
    links: list[Link],
    actions: list[tuple[str, tuple[Any, ...]]],
    start: int,
) -> None:
    context = (
        set_span_in_context(NonRecordingSpan(parent)) if parent else trace.context_api.Context()
    )
    stock_provider, memory = provider()
    stock = stock_provider.get_tracer("fidelity_otel").start_span(
        name, context, kind, attributes, copy.deepcopy(links)
    )
    lean_provider, _ = provider()
    out: list[LeanSpan] = []
    ours = lean(lean_provider, out).start(name, kind, attributes, context, links)
    if ours is None:
        assert not stock.is_recording()
        return
    assert stock.is_recording()
    assert ours.get_span_context() == stock.get_span_context()
    play(stock, actions, start, start + 5)
    play(ours, actions, start, start + 5)
    (theirs,) = memory.get_finished_spans()
    wanted = encode_spans([theirs])
    direct = ExportTraceServiceRequest.FromString(encode_request(out))
    assert same(direct, wanted)
    assert same(encode_spans([out[0].readable()]), wanted)
    assert same(encode_spans([LateReadable(out[0])]), wanted)
    assert same(ExportTraceServiceRequest.FromString(encode_request([theirs])), wanted)
    readable = out[0].readable()
    for field in ("name", "kind", "parent", "start_time", "end_time", "context", "resource"):
        assert getattr(readable, field) == getattr(theirs, field), field
    assert dict(readable.attributes or {}).keys() == dict(theirs.attributes or {}).keys()


def same(ours: Any, theirs: Any) -> bool:
    """Equal messages; NaN compares by its bytes."""
    return bool(
        ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)
    )


def test_limits_drop_and_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel_attributes._logger, "disabled", True)  # it says so 50,000 times
    stock_provider, memory = provider()
    stock = stock_provider.get_tracer("fidelity_otel").start_span("n")
    lean_provider, _ = provider()
    out: list[LeanSpan] = []
    ours = lean(lean_provider, out).start("n", SpanKind.INTERNAL, {}, None, ())
    assert ours is not None
    target = SpanContext(1, 2, is_remote=True)
    for span in (stock, ours):
        for i in range(200):
            span.set_attribute(f"k{i}", i)
            span.add_event(f"e{i}", {f"a{j}": j for j in range(200)}, i)
            span.add_link(target, {"n": i})
    play(stock, [], 1, 2)
    play(ours, [], 1, 2)
    direct = ExportTraceServiceRequest.FromString(encode_request(out))
    assert same(direct, encode_spans(memory.get_finished_spans()))
    span = direct.resource_spans[0].scope_spans[0].spans[0]
    assert span.dropped_attributes_count == span.dropped_events_count == span.dropped_links_count
    assert span.dropped_links_count == 72


def test_many_spans_of_many_scopes_are_grouped_the_same() -> None:
    made, memory = provider()
    for scope in ("a", "b", "a", "c"):
        for name in ("x", "y"):
            with made.get_tracer(
                scope, "1.0", "https://schema/2", {"k": "v"}
            ).start_as_current_span(name):
                pass
    spans: list[ReadableSpan | LeanSpan] = list(memory.get_finished_spans())
    ours = ExportTraceServiceRequest.FromString(encode_request(spans))
    assert same(ours, encode_spans(memory.get_finished_spans()))


def test_an_ended_span_takes_nothing_more() -> None:
    out: list[LeanSpan] = []
    span = lean(provider()[0], out).start("n", SpanKind.INTERNAL, {}, None, ())
    assert span is not None
    span.end()
    span.end()
    span.set_attribute("a", 1)
    span.add_event("e")
    span.add_link(SpanContext(1, 2, is_remote=True))
    span.set_status(StatusCode.ERROR)
    span.update_name("other")
    assert len(out) == 1
    assert not out[0].is_recording()
    assert (out[0].held, out[0].event_list, out[0].status, out[0].name) == ({}, None, None, "n")


def test_the_sdks_own_object_is_made_when_someone_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    out: list[LeanSpan] = []
    span = lean(provider()[0], out).start("n", SpanKind.CLIENT, {"a": "b"}, None, ())
    assert span is not None
    span.end()
    made: list[LeanSpan] = []
    readable = LeanSpan.readable
    monkeypatch.setattr(LeanSpan, "readable", lambda s: made.append(s) or readable(s))
    late = LateReadable(span)
    copied = copy.copy(late)
    assert made == []
    assert late.to_json() == readable(span).to_json()
    assert late.attributes == {"a": "b"}
    assert made == [span]
    assert copied.name == "n"
    assert not hasattr(late, "nothing_like_this")


@pytest.mark.parametrize(
    "made",
    [
        TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False),
        TracerProvider(sampler=TraceIdRatioBased(0.5), shutdown_on_exit=False),
        TracerProvider(span_limits=SpanLimits(max_attributes=3), shutdown_on_exit=False),
        TracerProvider(span_limits=SpanLimits(max_attribute_length=3), shutdown_on_exit=False),
        trace.NoOpTracerProvider(),
    ],
)
def test_it_is_left_alone_where_it_would_not_be_the_same(made: Any) -> None:
    assert LeanTracer.of(made, made.get_tracer("x"), print, "") is None


def test_foreign_spans_nest_in_ours_and_ours_in_theirs() -> None:
    with record(lean=True) as recorded:
        assert STATE.pipeline is not None
        other = STATE.pipeline.provider.get_tracer("other")
        with fidelity.span("a"), other.start_as_current_span("b"), fidelity.span("c"):
            current = trace.get_current_span()
            assert isinstance(current, LeanSpan)
            current.record_exception(ValueError("seen"))
            assert current.attributes == {}
        assert recorded.tree() == "a\n  b\n    c"
        assert recorded.one("c").events("exception")[0]["exception.message"] == "seen"


def test_ours_are_stock_again_once_someone_else_listens() -> None:
    with record(lean=True) as recorded:
        assert STATE.pipeline is not None
        memory = InMemorySpanExporter()
        with fidelity.span("before"):
            assert isinstance(trace.get_current_span(), LeanSpan)
            STATE.pipeline.provider.add_span_processor(SimpleSpanProcessor(memory))
            with fidelity.span("after", input="sk-abcdefghij0123456789"):
                assert isinstance(trace.get_current_span(), ReadableSpan)
        (seen,) = memory.get_finished_spans()
        assert seen.name == "after"
        assert "sk-abc" not in str(seen.attributes), "clean before others see it"
        assert recorded.tree() == "before\n  after"


def test_set_writes_what_the_sdks_own_span_would_hold() -> None:
    """The same attributes in the same order, whatever way they were set."""
    seen: list[list[tuple[str, Any]]] = []
    for way in (True, False):
        with record(lean=way) as recorded, fidelity.span("a") as span:
            span.set("twice", 1).set("b", "text").set("", 1).set("twice", 2.5).set("list", ["x"])
            for number in range(140):
                span.set(f"k{number}", number)
            span.set("twice", True)
            trace.get_current_span().end()
            span.set("late", 1)
            seen.append(list(recorded.one("a").attributes.items()))
    assert seen[0] == seen[1]
    assert len(seen[0]) == 128
    assert seen[0][-1] == ("twice", True)


def test_children_of_unsampled_parents_are_not_recorded() -> None:
    unsampled = NonRecordingSpan(SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(0)))
    with record(lean=True) as recorded:
        with trace.use_span(unsampled), fidelity.span("child"):
            assert fidelity.handle().trace_id.endswith("5")
        assert recorded.spans == []
