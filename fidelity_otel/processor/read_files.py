"""Traces from files: OTLP JSON lines, OTLP JSON, protobuf, each also gzipped.

What cannot be read is reported with its file and line; the rest is still read.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from fidelity_otel.errors import WireError
from fidelity_otel.processor.wire import from_json, join, split

__all__ = ["contents_of", "requests_in", "traces_in"]

Report = Callable[[str, str], None]
"""Called with a place ("traces.jsonl:7") and what is wrong there."""

_GZIP: Final = b"\x1f\x8b"
_LARGEST: Final = 4 << 30
_PREFIX: Final = 4
_TRACES: Final = (b"resourceSpans",)
_OTHERS: Final = (b"resourceLogs", b"resourceMetrics")


def contents_of(names: Iterable[str], report: Report) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file; `-` is standard input.

    Args:
        names: paths.
        report: told of every file that cannot be read.
    """
    for name in names:
        try:
            if name == "-":
                yield "standard input", sys.stdin.buffer.read()
            else:
                yield name, Path(name).read_bytes()
        except OSError as error:
            report(name, f"cannot be read: {error.strerror or error}")


def traces_in(sources: Iterable[tuple[str, bytes]], report: Report) -> Iterator[bytes]:
    """The traces of some files, each whole, however many lines and files it is spread over.

    Args:
        sources: (name, content) pairs.
        report: told of every line or span that cannot be read.

    Yields:
        One ExportTraceServiceRequest, protobuf, a trace, in order of first appearance.
    """
    parts: dict[bytes, list[bytes]] = {}
    for name, data in sources:
        for place, request in requests_in(name, data, report):
            try:
                batch = split(request)
            except WireError as error:
                report(place, str(error))
                continue
            if batch.rejected:
                report(place, batch.reason)
            for part in batch.parts:
                parts.setdefault(part.trace_id, []).append(part.otlp)
    for bodies in parts.values():
        yield join(bodies)


def requests_in(name: str, data: bytes, report: Report) -> Iterator[tuple[str, bytes]]:
    """The requests of one file as protobuf, each with its place.

    Args:
        name: the file's name, for places.
        data: its content.
        report: told of every line that is not a request.
    """
    if data[:2] == _GZIP:
        try:
            data = _gunzipped(data)
        except (zlib.error, ValueError) as error:
            report(name, f"not a whole gzip file: {error}")
            return
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not head:
        if data.strip():
            report(name, "neither OTLP JSON nor protobuf")
        return
    if head in (b"{", b"["):
        yield from _json(name, data, report)
    else:
        yield from _protobuf(name, data)


def _gunzipped(data: bytes) -> bytes:
    out = []
    size = 0
    while data:
        inflater = zlib.decompressobj(31)
        piece = inflater.decompress(data, _LARGEST - size)
        size += len(piece)
        out.append(piece)
        if inflater.unconsumed_tail or not inflater.eof:
            raise ValueError("cut off, or larger than 4 GiB")
        data = inflater.unused_data.lstrip(b"\0")
    return b"".join(out)


def _json(name: str, data: bytes, report: Report) -> Iterator[tuple[str, bytes]]:
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        whole = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        whole = None
    if isinstance(whole, list):
        documents = [(f"{name}[{i}]", msgspec.json.encode(d)) for i, d in enumerate(whole)]
    elif isinstance(whole, dict):
        documents = [(f"{name}:1", data)]
    else:
        lines = enumerate(data.split(b"\n"), start=1)
        documents = [(f"{name}:{number}", line) for number, line in lines if line.strip()]
    for place, document in documents:
        try:
            request = from_json(document)
        except WireError as error:
            report(place, str(error))
            continue
        if request or any(word in document for word in _TRACES):
            yield place, request
        elif not any(word in document for word in _OTHERS):
            report(place, "JSON, but not an OTLP trace request: it has no resourceSpans")


def _protobuf(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """One request, or several behind 4-byte lengths (the Collector's `file` exporter)."""
    pieces = []
    at = 0
    while at + _PREFIX <= len(data):
        size = int.from_bytes(data[at : at + _PREFIX], "big")
        pieces.append(data[at + _PREFIX : at + _PREFIX + size])
        at += _PREFIX + size
    if at == len(data) and pieces:
        for number, piece in enumerate(pieces, start=1):
            yield f"{name}[{number}]", piece
    else:
        yield name, data
