"""`opentelemetry-instrument app`: recording without a line of code, by entry point."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

__all__ = ["ZeroCodeInstrumentor"]


class ZeroCodeInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Calls `init` with what the environment says, on the provider that the launcher has set."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing: each integration looks for its library itself."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        from fidelity_otel.sdk.setup import init

        init(tracer_provider=kwargs.get("tracer_provider"))

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002
        from fidelity_otel import integrations
        from fidelity_otel.sdk.setup import shutdown

        integrations.uninstrument()
        shutdown()
