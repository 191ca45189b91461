"""The kit for frameworks that call models through a provider's client: tokens are counted once.

    class TestOurs(Framework):
        integration = our_integration_module
        ...

The provider is OpenAI's protocol on loopback, and the integration of its client is on at the same
time in every test: a second span for the same call fails all of them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from fidelity_otel.conformance.chat_wire import ChatWire
from fidelity_otel.conformance.safety import Safety
from fidelity_otel.conformance.streams import Streams
from fidelity_otel.testing import Recorded

__all__ = ["Framework"]


class Framework(ChatWire, Streams, Safety):
    """The kit: subclass it and say what `Provider` asks for, replies aside."""

    provider = "openai"

    lazy_streams = True

    def close_client(self, client: Any) -> None:
        """Frameworks keep their clients open."""

    async def close_async_client(self, client: Any) -> None:
        """The same, async."""

    async def aclose(self, stream: Any) -> None:
        """Close an async generator."""
        await stream.aclose()

    def check_only(self, recorded: Recorded) -> None:
        """One span of the model's call; others are the framework's own."""
        recorded.one(self.span_name)

    @pytest.fixture
    def recorded(
        self, originals: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> Generator[Recorded]:
        """Spans, with the integrations of the framework and of its provider's client on."""
        from fidelity_otel.integrations import openai
        from fidelity_otel.testing import record

        del originals
        monkeypatch.setenv("FIDELITY_STRICT", "1")
        with record() as recorded:
            openai.instrument()
            self.integration.instrument()
            try:
                yield recorded
            finally:
                self.integration.uninstrument()
                openai.uninstrument()
