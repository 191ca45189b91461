"""A provider on loopback: a real HTTP server that answers as a test tells it."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self, cast

__all__ = ["Loopback", "Reply"]

_HOLD_SECONDS: Final = 20.0


@dataclass
class Reply:
    """What a loopback provider answers once.

    `body` is sent as JSON unless it is bytes; `chunks` are sent one by one as a stream. `hold` is
    waited for before the answer, and before each chunk after the first.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    chunks: list[bytes] | None = None
    hold: threading.Event | None = None


class Loopback:
    """A real HTTP server on 127.0.0.1 that answers as it was told; use it with `with`.

    Requests are kept in `requests` as (path, headers, JSON body). When nothing is left to answer,
    the last reply is repeated.
    """

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.failed_writes = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.loopback = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, *replies: Reply) -> None:
        """What to answer from now on, in this order."""
        with self._lock:
            self.replies = list(replies)
            self.requests = []

    def reply_to(self, path: str, headers: dict[str, str], body: Any) -> Reply:
        """Take a request in and say what to answer."""
        with self._lock:
            self.requests.append((path, headers, body))
            if not self.replies:
                return Reply(status=500, body={"error": {"message": "nothing to answer"}})
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    loopback: Loopback

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about; other faults are shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = cast("_Server", self.server).loopback
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw
        headers = {k.lower(): v for k, v in self.headers.items()}
        headers["x-port"] = str(self.client_address[1])  # tells connections apart
        reply = server.reply_to(self.path, headers, body)
        try:
            self._send(reply)
        except OSError:  # the client went away: that is what some tests are about
            server.failed_writes += 1
            self.close_connection = True

    do_GET = do_POST  # noqa: N815 - the names are http.server's

    def _send(self, reply: Reply) -> None:
        if reply.hold is not None and reply.chunks is None:
            reply.hold.wait(_HOLD_SECONDS)
        streamed = reply.chunks is not None
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "content-type" not in {n.lower() for n in reply.headers}:
            self.send_header(
                "content-type", "text/event-stream" if streamed else "application/json"
            )
        if streamed:
            self._stream(reply)
            return
        raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, reply: Reply) -> None:
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, chunk in enumerate(reply.chunks or ()):
            if number and reply.hold is not None:
                reply.hold.wait(_HOLD_SECONDS)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nothing: tests are quiet."""
