"""A sender that does as exporters do: what is not acknowledged is sent again."""

from __future__ import annotations

import random
import threading
import time
import urllib.error
from collections import Counter

import grpc
from otlp import request, span
from serving import Serving

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Sender(threading.Thread):
    """Sends traces of four spans in mixed pieces, retrying each piece until it is acked."""

    def __init__(self, service: Serving, number: int) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._random = random.Random(number)
        self._grpc = number % 2 == 0
        self._base = (number + 1) << 100
        self.acked: set[tuple[str, str]] = set()
        self.refused: Counter[str] = Counter()
        self.done = threading.Event()

    def run(self) -> None:
        trace = 0
        while not self.done.is_set():
            traces = [self._base + trace + i for i in range(8)]
            trace += 8
            pairs = [(t, n) for t in traces for n in range(1, 5)]
            self._random.shuffle(pairs)
            for part in (pairs[:20], pairs[20:]):
                self._until_acked(part)

    def _until_acked(self, pairs: list[tuple[int, int]]) -> None:
        body = request(
            *(span(t, n, parent=None if n == 1 else 1, text="x" * 300) for t, n in pairs)
        )
        while not self.done.is_set():
            if self._send(body):
                self.acked |= {(f"{t:032x}", f"{n:016x}") for t, n in pairs}
                return
            time.sleep(0.02)

    def _send(self, body: bytes) -> bool:
        try:
            if not self._grpc:
                return self._service.send(body) == 200
            with grpc.insecure_channel(f"127.0.0.1:{self._service.ports['otlp_grpc']}") as channel:
                channel.unary_unary(EXPORT)(body, timeout=10)
            return True
        except (OSError, urllib.error.URLError, grpc.RpcError) as error:
            self.refused[type(error).__name__] += 1
            return False
        except Exception as error:  # a torn HTTP answer is no ack either
            self.refused[type(error).__name__] += 1
            return False
