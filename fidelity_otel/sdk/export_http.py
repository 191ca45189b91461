"""OTLP over HTTP/protobuf with the standard library: one kept connection, retries, an end."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from opentelemetry.sdk.trace import ReadableSpan

from fidelity_otel.errors import ConfigError
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.export_encode import Encoded, Request, encode_span
from fidelity_otel.sdk.lean import LeanSpan
from fidelity_otel.sdk.private import Privacy

__all__ = ["HttpSender", "Target", "target_of"]

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_ATTEMPTS: Final = 6
_TOO_LARGE: Final = 413
_REQUEST_BYTES: Final = 8 << 20
_OK: Final = range(200, 300)
_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}  # zlib's way to say which header


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post, and how: resolved from arguments and OTEL_EXPORTER_OTLP_* variables."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0
    compression: str = "none"
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


def target_of(endpoint: str, headers: Mapping[str, str], environ: Mapping[str, str]) -> Target:
    """Resolve the target.

    Args:
        endpoint: the full address, or "" for what the variables say.
        headers: further headers; they win over the variables' ones.
        environ: the environment.

    Raises:
        ConfigError: an address without a host, or an unknown compression.
    """

    def find(name: str, default: str = "") -> str:
        found = environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}", "").strip()
        return found or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() or default

    url = endpoint or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if not url:
        base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or "http://localhost:4318"
        url = base.rstrip("/") + "/v1/traces"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"endpoint {url!r} is no address. Mend: http://localhost:4318")
    compression = find("COMPRESSION", "none").lower()
    if compression not in {"none", "gzip", "deflate"}:
        raise ConfigError(f"OTEL_EXPORTER_OTLP_COMPRESSION = {compression!r}: none or gzip")
    pairs = [p.partition("=") for p in find("HEADERS").split(",") if "=" in p]
    said = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
    said.update({name.lower(): value for name, value in headers.items()})
    try:
        timeout = float(find("TIMEOUT", "10"))
    except ValueError:
        timeout = 10.0
    return Target(
        url=url,
        headers=tuple(said.items()),
        timeout=timeout,
        compression=compression,
        certificate=find("CERTIFICATE") or None,
        client_certificate=find("CLIENT_CERTIFICATE") or None,
        client_key=find("CLIENT_KEY") or None,
    )


class HttpSender:
    """Posts batches to one target; see `export_batch.Sender`."""

    def __init__(self, target: Target, privacy: Privacy) -> None:
        self._target = target
        self._privacy = privacy
        self._parts = urlsplit(target.url)
        self._connection: http.client.HTTPConnection | None = None
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._in_use = threading.Lock()
        self._unreachable = False
        self._headers = {
            **dict(target.headers),
            "content-type": "application/x-protobuf",
            "user-agent": "fidelity-otel",
        }
        if target.compression in _WINDOW_BITS:
            self._headers["content-encoding"] = target.compression

    def send(self, spans: list[LeanSpan | ReadableSpan], rest: Callable[[], object] = bool) -> bool:
        """Clean and encode each span, once, and post; tries again, where that may help.

        What is too large for one request (receivers have limits) goes in halves.
        """
        out = self._privacy.out
        encoded: list[Encoded] = []
        for span in spans:
            try:
                clean = out(span)
                encoded.append((clean.resource, clean.instrumentation_scope, encode_span(clean)))
            except Exception as error:  # noqa: BLE001 - the others are sent
                guard.counts["dropped_export"] += 1
                guard.trip("encode", error)
            rest()
        return not encoded or self._send(encoded)

    def _send(self, spans: list[Encoded]) -> bool:
        if len(spans) > 1 and sum(len(span[2]) for span in spans) > _REQUEST_BYTES:
            return self._send_halves(spans)
        body = self._compressed(Request(spans))
        deadline = time.monotonic() + self._target.timeout
        for attempt in range(_ATTEMPTS):
            try:
                with self._in_use:
                    status, wait = self._post(body, max(deadline - time.monotonic(), 0.1))
            except (OSError, http.client.HTTPException) as error:
                self._drop_connection()
                status, wait = 0, None
                if not self._unreachable and not self._stop.is_set():
                    self._unreachable = True
                    guard.log.warning(
                        "fidelity_otel: %s cannot be reached (%s); spans wait, then are dropped "
                        "and counted. The application is not affected.",
                        self._target.url,
                        error,
                    )
            if status in _OK:
                if self._unreachable:
                    self._unreachable = False
                    guard.log.warning("fidelity_otel: %s is reached again", self._target.url)
                return True
            if status == _TOO_LARGE and len(spans) > 1:
                return self._send_halves(spans)
            if status and status not in _RETRYABLE:
                guard.note("export", "%s answered %d; spans are lost", self._target.url, status)
                return False
            pause = wait if wait is not None else 2**attempt * random.uniform(0.8, 1.2)  # noqa: S311
            if attempt + 1 == _ATTEMPTS or time.monotonic() + pause > deadline:
                return False
            if self._hurry.is_set():
                pause = min(pause, 0.05)
            self._hurry.wait(pause)
            self._hurry.clear()
            if self._stop.is_set():
                return False
        return False

    def _send_halves(self, spans: list[Encoded]) -> bool:
        middle = len(spans) // 2
        first = self._send(spans[:middle])
        return self._send(spans[middle:]) and first

    def _compressed(self, body: Request) -> Iterable[bytes]:
        bits = _WINDOW_BITS.get(self._target.compression)
        if bits is None:
            return body
        compressor = zlib.compressobj(1, zlib.DEFLATED, bits)
        return [*map(compressor.compress, body), compressor.flush()]

    def _post(self, body: Iterable[bytes], timeout: float) -> tuple[int, float | None]:
        fresh = self._connection is None
        connection = self._connect(timeout)
        path = self._parts.path or "/"
        if self._parts.query:
            path += "?" + self._parts.query
        size = body.size if isinstance(body, Request) else sum(map(len, body))
        headers = {**self._headers, "content-length": str(size)}
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException):
            if fresh or self._stop.is_set():
                raise
            # The receiver may have closed a kept connection: once more on a new one.
            self._drop_connection()
            connection = self._connect(timeout)
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
        answer = response.read()
        if answer and response.status in _OK:
            guard.counts["export_partial"] += 1
            guard.log.debug("the receiver did not take all: %r", answer[:300])
        if response.will_close:
            self._drop_connection()
        return response.status, _seconds(response.getheader("retry-after"))

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        connection = self._connection
        if connection is None:
            host, port = self._parts.hostname or "", self._parts.port
            if self._parts.scheme == "https":
                connection = http.client.HTTPSConnection(
                    host, port, timeout=timeout, context=self._tls()
                )
            else:
                connection = http.client.HTTPConnection(host, port, timeout=timeout)
            self._connection = connection
        connection.timeout = timeout
        if (held := _socket(connection)) is not None:
            held.settimeout(timeout)
        return connection

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._target.certificate)
        if self._target.client_certificate:
            context.load_cert_chain(self._target.client_certificate, self._target.client_key)
        return context

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def hurry(self) -> None:
        """Someone waits: the next pause between attempts is short."""
        self._hurry.set()

    def close(self) -> None:
        """Stop: a request that hangs is cut off, an idle connection is closed."""
        self._stop.set()
        self._hurry.set()
        if self._in_use.acquire(timeout=0.05):
            self._drop_connection()
            self._in_use.release()
            return
        connection = self._connection
        held = None if connection is None else _socket(connection)
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)  # its thread sees the end, and lets go of it

    def forked(self) -> None:
        """The connection is the parent's: forget it, and leave its socket open for the parent."""
        connection, self._connection = self._connection, None
        held = None if connection is None else _socket(connection)
        if held is not None:
            held.detach()
        self._stop, self._hurry = threading.Event(), threading.Event()
        self._in_use = threading.Lock()


def _socket(connection: http.client.HTTPConnection) -> Any:
    return getattr(connection, "sock", None)


def _seconds(text: str | None) -> float | None:
    """A Retry-After header: seconds, or a date."""
    if not text:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None
