"""For tests, ours and yours: spans in memory, a stepping clock, a loopback provider.

    from fidelity_otel.testing import assert_trace, record

    def test_answer():
        with record() as recorded:
            answer("can I bring it back?")
        assert_trace(recorded, '''
            invoke_workflow support.answer
              retrieval search
              chat small-model
        ''')
        assert recorded.one("retrieval search").value("gen_ai.retrieval.documents")

The kit that every integration passes is `fidelity_otel.conformance`.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from fidelity_otel.loopback import Loopback, Reply

__all__ = [
    "Loopback",
    "Recorded",
    "Reply",
    "SeenSpan",
    "StepClock",
    "assert_trace",
    "counting_ids",
    "record",
]


class StepClock:
    """A clock that moves only when told, in nanoseconds; call it for the time.

    Args:
        start: the first time it tells, nanoseconds since the epoch.
        step: how far it moves by itself each time that it is asked.
    """

    def __init__(self, start: int = 1_700_000_000_000_000_000, step: int = 0) -> None:
        self.now = start
        self.step = step

    def __call__(self) -> int:
        """The time; then a step."""
        now, self.now = self.now, self.now + self.step
        return now

    def advance(self, seconds: float) -> None:
        """Move it by so many seconds."""
        self.now += int(seconds * 1e9)


def counting_ids(first: int = 1) -> Any:
    """An OpenTelemetry id generator that counts: the same ids in every run."""
    from itertools import count

    from opentelemetry.sdk.trace.id_generator import IdGenerator

    traces, spans = count(first), count(first)

    class Counting(IdGenerator):
        def generate_trace_id(self) -> int:
            return next(traces)

        def generate_span_id(self) -> int:
            return next(spans)

    return Counting()


class SeenSpan:
    """A finished span, easy to ask."""

    def __init__(self, span: Any) -> None:
        self.span = span
        self.name: str = span.name
        self.attributes: dict[str, Any] = dict(span.attributes or {})
        self.id: int = span.context.span_id
        self.trace_id: int = span.context.trace_id
        self.parent_id: int | None = span.parent.span_id if span.parent else None
        self.start: int = span.start_time
        self.error: bool = span.status.status_code.name == "ERROR"
        self.kind: str = span.kind.name

    def __repr__(self) -> str:
        return f"<SeenSpan {self.name!r}>"

    def __getitem__(self, key: str) -> Any:
        return self.attributes[key]

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute as it was written."""
        return self.attributes.get(key, default)

    def value(self, key: str) -> Any:
        """An attribute that holds JSON, read; None where it is not there."""
        text = self.attributes.get(key)
        return None if text is None else json.loads(text)

    @property
    def losses(self) -> set[str]:
        """What the span says it could not keep."""
        return set(self.attributes.get("fidelity.losses", ()))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The attributes of each event of this name."""
        return [dict(e.attributes or {}) for e in self.span.events if e.name == name]


class Recorded:
    """The spans that have ended so far, in order of their start."""

    def __init__(self, exporter: Any, flush: Callable[[], object]) -> None:
        self._exporter = exporter
        self._flush = flush

    @property
    def spans(self) -> list[SeenSpan]:
        """All spans."""
        self._flush()
        found = [SeenSpan(s) for s in self._exporter.get_finished_spans()]
        return sorted(found, key=lambda s: (s.start, s.id))

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [s.name for s in self.spans]

    def one(self, name: str) -> SeenSpan:
        """The one span of this name.

        Raises:
            AssertionError: there is none, or more than one.
        """
        found = [s for s in self.spans if s.name == name]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} spans are called {name!r}; there are {self.names}")
        return found[0]

    def all(self, name: str) -> list[SeenSpan]:
        """All spans of this name."""
        return [s for s in self.spans if s.name == name]

    def tree(self) -> str:
        """The spans' names, each indented by two spaces under its parent."""
        spans = self.spans
        known = {s.id for s in spans}
        lines: list[str] = []

        def add(parent: int | None, depth: int) -> None:
            for s in spans:
                top = s.parent_id is None or s.parent_id not in known
                if (top and parent is None) or (not top and s.parent_id == parent):
                    lines.append("  " * depth + s.name)
                    add(s.id, depth + 1)

        add(None, 0)
        return "\n".join(lines)

    def clear(self) -> None:
        """Forget all spans."""
        self._exporter.clear()


@contextmanager
def record(
    *, sampler: Any = None, ids: Any = None, lean: bool = False, **options: Any
) -> Generator[Recorded]:
    """Record what the block does in memory, beside whatever `init` has set up.

    Args:
        sampler: an OpenTelemetry sampler; everything is sampled by default.
        ids: an OpenTelemetry id generator, such as `counting_ids()`.
        lean: record our own spans the direct way, as `init` does where it may.
        **options: of `init`: capture, mask, redact, max_value_bytes, max_span_bytes, release.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from fidelity_otel.sdk.lean import LeanSpan, LeanTracer
    from fidelity_otel.sdk.options import read_options
    from fidelity_otel.sdk.pipeline import SCOPE, OwnProvider, Pipeline
    from fidelity_otel.sdk.private import Privacy
    from fidelity_otel.sdk.processors import ContextProcessor, PrivateExporter
    from fidelity_otel.sdk.recorder import Recorder
    from fidelity_otel.sdk.state import STATE

    mask = options.pop("mask", None)
    if options.get("redact") is False:
        options["redact"] = ()
    settings = read_options(options, {}, mask=mask)
    memory = InMemorySpanExporter()
    provider = OwnProvider(
        sampler=sampler,
        id_generator=ids,
        resource=Resource.create({"service.name": settings.service or "test"}),
        shutdown_on_exit=False,
    )
    provider.add_own(ContextProcessor(settings.release))
    privacy = Privacy(settings.mask, settings.redact)
    provider.add_own(SimpleSpanProcessor(PrivateExporter(memory, privacy)))
    tracer = provider.get_tracer(SCOPE)

    def keep(span: LeanSpan) -> None:
        memory.export([privacy.out(span).readable()])  # type: ignore[union-attr]

    direct = LeanTracer.of(provider, tracer, keep, settings.release) if lean else None
    pipeline = Pipeline(provider, [], owned=True, lean=direct)
    before = STATE.recorder, STATE.pipeline
    STATE.pipeline = pipeline
    STATE.recorder = Recorder(pipeline, tracer, settings)
    try:
        yield Recorded(memory, provider.force_flush)
    finally:
        STATE.recorder, STATE.pipeline = before
        provider.shutdown()


def assert_trace(recorded: Recorded, expected: str) -> None:
    """Check names and nesting of all spans recorded.

    Args:
        recorded: what `record` gave.
        expected: one span's name a line, indented by two spaces under its parent, in order of
            start.

    Raises:
        AssertionError: with both trees in its text.
    """
    wanted = textwrap.dedent(expected).strip("\n ")
    found = recorded.tree()
    if found != wanted:
        raise AssertionError(f"expected spans:\n{wanted}\n\nrecorded spans:\n{found}")
