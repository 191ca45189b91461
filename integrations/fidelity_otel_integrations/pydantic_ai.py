"""pydantic-ai-slim ≥ 2.0: its own spans, turned on; attempts and recovery of the client on them.

The library records agents, model calls and tools itself once it is told to, which this does where
the application has not. What an application has set by `Agent.instrument_all` stays as it is. The
provider's client, called within, makes no span of its own but adds its attempts.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from opentelemetry import trace

from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel.sdk.state import STATE

__all__ = ["LIBRARY", "instrument", "uninstrument"]

LIBRARY: Final = "pydantic_ai"


class CurrentTracer(trace.Tracer):
    """Opens spans wherever this SDK records at that time."""

    def __init__(self, name: str, version: str | None) -> None:
        self._name = name
        self._version = version

    @property
    def _tracer(self) -> trace.Tracer:
        pipeline = STATE.pipeline
        provider = trace.get_tracer_provider() if pipeline is None else pipeline.provider
        return provider.get_tracer(self._name, self._version)

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        """Open a span."""
        return self._tracer.start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """Open a span and make it current."""
        return self._tracer.start_as_current_span(*args, **kwargs)


class CurrentProvider(trace.TracerProvider):
    """Gives such tracers."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        *_: Any,
        **__: Any,
    ) -> trace.Tracer:
        """A tracer that follows this SDK."""
        return CurrentTracer(instrumenting_module_name, instrumenting_library_version)


def _captures(_settings: Any) -> bool:
    return STATE.recorder is None or STATE.recorder.options.capture


def _install(patches: Patches, module: ModuleType) -> None:
    from pydantic_ai.models.instrumented import InstrumentationSettings

    agent: Any = module.Agent
    before = agent._instrument_default  # noqa: SLF001 - it can be set but not asked
    if before:
        return
    content = property(_captures, lambda _settings, _value: None)
    kind: Any = type("FidelitySettings", (InstrumentationSettings,), {"include_content": content})
    ours = kind(tracer_provider=CurrentProvider())
    agent.instrument_all(ours)

    def restore() -> None:
        if agent._instrument_default is ours:  # noqa: SLF001
            agent.instrument_all(before)

    patches.on_undo(restore)


_INTEGRATION: Final = Integration(
    "pydantic_ai",
    LIBRARY,
    _install,
    module="pydantic_ai.agent",
    distribution="pydantic-ai-slim",
    minimum=(2, 0),
)
instrument = _INTEGRATION.instrument
uninstrument = _INTEGRATION.uninstrument
