"""The assistant as a web service: POST /ask {"question": …, "ticket": …} → 200 {"answer": …}."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import bot

import fidelity_otel as fidelity


class Handler(BaseHTTPRequestHandler):
    """One route."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"answer": bot.answer(asked["question"], asked["ticket"])}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the traces tell."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"listening http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()  # until the one who started us ends
    server.shutdown()
    fidelity.shutdown()
