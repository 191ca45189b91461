"""Whatever bytes arrive: a fitting status, nothing held, nothing broken for the next one."""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import zstandard
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp import calm, request, requests, span
from receiving import Receiving, ask

from fidelity_otel.processor.wire import to_json

GOOD = request(span(1, 1, parent=None))
ENCODE: dict[str, Any] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, str, str]:
    """A request that was good before something was done to it: body, type, encoding."""
    made: ExportTraceServiceRequest = draw(requests())
    body = made.SerializeToString()
    as_json = draw(st.booleans())
    if as_json:
        body = to_json(body)
    body = mutated(draw, body)
    encoding = draw(st.sampled_from(sorted(ENCODE)))
    return mutated(draw, ENCODE[encoding](body)), "json" if as_json else "x-protobuf", encoding


def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    at = draw(st.integers(0, max(0, len(body))))
    junk = draw(st.binary(max_size=12))
    how = draw(st.sampled_from(["keep", "keep", "cut", "insert", "replace", "double", "repeat"]))
    return {
        "keep": body,
        "cut": body[:at],
        "insert": body[:at] + junk + body[at:],
        "replace": body[:at] + junk + body[at + len(junk) :],
        "double": body + body,
        "repeat": body[:at] + body[at : at + 8] * 40 + body[at:],
    }[how]


@calm
@given(st.lists(damaged(), min_size=1, max_size=6), st.sampled_from(["/v1/traces", "/v1/logs"]))
def test_any_body_gets_a_fitting_answer(sent: list[tuple[bytes, str, str]], path: str) -> None:
    async def run(folder: Path) -> None:
        there = Receiving(folder, max_request_bytes=20_000)
        try:
            for body, kind, encoding in sent:
                headers = {"content-type": f"application/{kind}", "content-encoding": encoding}
                code, _, told = await ask(there.http, body, path=path, headers=headers)
                assert code in {200, 400, 413}
                if code != 200:
                    message = (
                        json.loads(told)["message"]
                        if kind == "json"
                        else Status.FromString(told).message
                    )
                    assert message
                assert there.admission.in_flight == 0
            assert (await ask(there.http, GOOD))[0] == 200
            assert there.spans()[-1] == (f"{1:032x}", f"{1:016x}")  # what was taken can be read
        finally:
            await there.close()

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(run(Path(name)))
