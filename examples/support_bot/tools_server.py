"""The shop's back office: order look-up and refunds over real HTTP, failing at known rates.

    python tools_server.py --seed 7

A request's fate depends on the seed, the address and how often that address was asked, on nothing
else: the same run fails the same way. What it does, at the rates below:

- answers 429 with Retry-After,
- answers too late for the client's patience,
- answers in an odd shape (a newer version of the API: other field names),
- answers with an empty list, as if the order did not exist.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

RATES = {"429": 0.15, "late": 0.10, "odd": 0.08, "empty": 0.06}
LATE_SECONDS = 3.0
ORDERS = Path(__file__).parent / "orders.json"


class BackOffice(ThreadingHTTPServer):
    """The server with its orders, seed and memory of what was asked how often."""

    daemon_threads = True

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seed = seed
        self.orders = {row["number"]: row for row in json.loads(ORDERS.read_text("utf-8"))}
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    def fate(self, address: str) -> str:
        """One of the keys of RATES, or "" for a request that goes well."""
        with self.lock:
            self.asked[address] += 1
            draw = random.Random(f"{self.seed} {address} {self.asked[address]}").random()
        for name, rate in RATES.items():
            draw -= rate
            if draw < 0:
                return name
        return ""


class Handler(BaseHTTPRequestHandler):
    """GET /orders?number=1042 and POST /refunds {"order": "1042"}."""

    server: BackOffice
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        number = parse_qs(urlsplit(self.path).query).get("number", [""])[0]
        order = self.server.orders.get(number)
        fate = self.server.fate(self.path)
        if order is None or fate == "empty":
            self._send([], fate)
        elif fate == "odd":
            self._send([{"no": number, "item": {"label": order["article"]}, "state": 3}], fate)
        else:
            fields = ("number", "article", "status", "day")
            self._send([{name: order[name] for name in fields}], fate)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        number = json.loads(self.rfile.read(length))["order"]
        order = self.server.orders.get(number)
        fate = self.server.fate(f"{self.path} {number}")
        if order is None:
            self._send({"refund": "refused", "reason": "there is no such order"}, fate)
        elif fate == "odd":
            self._send({"ok": True, "cents": round(order["amount"] * 100)}, fate)
        elif order["refundable"]:
            self._send({"refund": "started", "amount": order["amount"]}, fate)
        else:
            reason = "it was bought more than 30 days ago"
            self._send({"refund": "refused", "reason": reason}, fate)

    def _send(self, value: Any, fate: str) -> None:
        if fate == "late":
            time.sleep(LATE_SECONDS)
        body = json.dumps({"error": "too many requests"} if fate == "429" else value).encode()
        try:
            self.send_response(429 if fate == "429" else 200)
            if fate == "429":
                self.send_header("Retry-After", "1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client has lost patience, as it should

    def log_message(self, *_: object) -> None:
        """Say nothing: the traces tell."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    office = BackOffice(parser.parse_args().seed)
    threading.Thread(target=office.serve_forever, daemon=True).start()
    print(f"listening http://127.0.0.1:{office.server_port}", flush=True)
    sys.stdin.read()  # until the one who started us ends
