# The native scanner, made from `_scan.c` where a compiler was there at install.

from fidelity_otel.model import Event, Link
from fidelity_otel.processor.rawspan import RawSpan

def split(
    body: bytes, limit: int, marker: bytes, carrier: bytes
) -> list[tuple[bytes, bytes, bytes, bool, bool, bool]] | None: ...
def decode(
    otlp: bytes, span: type[RawSpan], event: type[Event], link: type[Link]
) -> list[RawSpan] | None: ...
