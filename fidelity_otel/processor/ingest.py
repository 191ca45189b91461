"""Files into the store, as if they had been received; everything is decided at the end of input."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from fidelity_otel.errors import WireError
from fidelity_otel.processor import wire
from fidelity_otel.processor.decide import Decider
from fidelity_otel.processor.pipeline import Input
from fidelity_otel.processor.read_files import requests_in

__all__ = ["Ingested", "ingest"]

_BATCH = 256


class Ingested(msgspec.Struct):
    """What became of the input."""

    requests: int = 0
    spans: int = 0
    traces: int = 0
    refused: int = 0


def ingest(
    sources: Iterable[tuple[str, bytes]],
    decider: Decider,
    *,
    report: Callable[[str, str], None],
    progress: Callable[[int], None] = lambda _: None,
) -> Ingested:
    """Read files and store their traces.

    Args:
        sources: (name, content) pairs; a trace may be spread over several.
        decider: decides and stores.
        report: told of every line or span that cannot be read: place, what is wrong.
        progress: told the number of traces done after each batch.

    Raises:
        StoreError: the store can't be used; what was stored before stays.
    """
    done = Ingested()
    parts: dict[bytes, list[bytes]] = {}
    rooted: set[bytes] = set()
    for name, data in sources:
        for place, request in requests_in(name, data, report):
            try:
                batch = wire.split(request)
            except WireError as error:
                report(place, str(error))
                continue
            done.requests += 1
            done.spans += batch.spans
            done.refused += batch.rejected
            if batch.rejected:
                report(place, batch.reason)
            for part in batch.parts:
                parts.setdefault(part.trace_id, []).append(part.otlp)
                if part.root or part.complete or part.carrier:
                    rooted.add(part.trace_id)
    waiting = [
        Input(trace_id.hex(), bodies, "root" if trace_id in rooted else "input_end")
        for trace_id, bodies in parts.items()
    ]
    for start in range(0, len(waiting), _BATCH):
        some = waiting[start : start + _BATCH]
        decider.run(some)
        done.traces += len(some)
        progress(done.traces)
    return done
