"""Sending on what came in: every destination reads the journal with a durable cursor of its own.

Spans go on as they came, byte for byte, `tracestate` included: nothing is dropped, so no sampling
threshold may change. A destination that is down delays itself alone; the journal keeps what it has
not taken yet, and the disk budget of the journal is the only limit. Delivery is at least once: what
was sent and not yet noted when the service died is sent again.
"""

from __future__ import annotations

from fidelity_otel.processor.forward.cursor import Cursor
from fidelity_otel.processor.forward.destination import Answer, Destination
from fidelity_otel.processor.forward.findings import Findings
from fidelity_otel.processor.forward.forwarder import Forwarder, forwarders

__all__ = ["Answer", "Cursor", "Destination", "Findings", "Forwarder", "forwarders"]
