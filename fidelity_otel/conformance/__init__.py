"""What every integration of a model provider must do, as tests: subclass, say how to call, run.

    class TestOurs(Conformance):
        integration = our_integration_module
        def make_client(self, url): ...
        def call(self, client, *, stream, tools): ...
        …

Each test talks to a loopback server that speaks the provider's own protocol; the subclass writes
its replies. Names of attributes and what they must hold are the kit's, so that all integrations say
the same things in the same words.
"""

from __future__ import annotations

from fidelity_otel.conformance.library import library
from fidelity_otel.conformance.provider import QUESTION, SECRET, TEXT, TOOL_CALLS
from fidelity_otel.conformance.safety import Safety
from fidelity_otel.conformance.streams import Streams

__all__ = ["QUESTION", "SECRET", "TEXT", "TOOL_CALLS", "Conformance", "library"]


class Conformance(Streams, Safety):
    """The kit: subclass it and say what `Provider` asks for."""
