"""The load generator: its own process, one core, prints one line of JSON when it has ended.

    python benchmarks/processor/load.py --protocol grpc --port 4317 --seconds 5 [--rate 10000]

Each connection is a thread with at most one request under way. Without a rate it sends as fast as
the service acknowledges; with one it keeps a timetable, and latency counts from the time at which a
request was due, so that a service which stalls cannot hide it. Refusals that OTLP calls retryable
are retried with the same bytes, as stock exporters do.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import threading
import time
from typing import Any, NamedTuple

import spans

PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RETRY_INFO = "google.rpc.RetryInfo"


class Reply(NamedTuple):
    """What a service said to one request."""

    accepted: bool
    retry_after: float
    """Seconds to wait; negative where a retry is not allowed."""
    body: bytes
    what: str


class Http:
    """One keep-alive connection; only as much HTTP as this needs."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = self._connect()
        self._rest = b""

    def _connect(self) -> socket.socket:
        connected = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def send(self, body: bytes) -> Reply:
        head = (
            "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        try:
            self._socket.sendall(head)
            self._socket.sendall(body)
            status, headers, reply = self._read()
        except OSError as error:
            self._socket.close()
            time.sleep(0.05)
            self._socket, self._rest = self._connect(), b""
            return Reply(False, 0.1, b"", f"connection: {error}")
        if status == 200:
            return Reply(True, 0, reply, "200")
        retryable = status in {429, 502, 503, 504}
        after = float(headers.get(b"retry-after", b"0.1")) if retryable else -1.0
        return Reply(False, after, b"", str(status))

    def _read(self) -> tuple[int, dict[bytes, bytes], bytes]:
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        first, *lines = data[:end].split(b"\r\n")
        headers = {
            key.strip().lower(): value.strip()
            for key, _, value in (line.partition(b":") for line in lines)
        }
        length = int(headers.get(b"content-length", b"0"))
        data = data[end + 4 :]
        while len(data) < length:
            data += self._more()
        self._rest = data[length:]
        return int(first.split()[1]), headers, data[:length]

    def _more(self) -> bytes:
        got = self._socket.recv(65536)
        if not got:
            raise ConnectionResetError("closed by the service")
        return got

    def close(self) -> None:
        self._socket.close()


class Grpc:
    """One channel with a connection of its own, sending bytes that are already encoded."""

    def __init__(self, port: int) -> None:
        import grpc

        self._error = grpc.RpcError
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{port}",
            [
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_send_message_length", 64 << 20),
                ("grpc.enable_retries", 0),
            ],
        )
        grpc.channel_ready_future(self._channel).result(timeout=30)
        self._call: Any = self._channel.unary_unary(PATH)

    def send(self, body: bytes) -> Reply:
        try:
            return Reply(True, 0, self._call(body, timeout=120), "OK")
        except self._error as error:
            call: Any = error
            code = call.code().name
            return Reply(False, _grpc_retry(code, call.trailing_metadata() or ()), b"", code)

    def close(self) -> None:
        self._channel.close()


def _grpc_retry(code: str, trailing: Any) -> float:
    from google.protobuf.duration_pb2 import Duration
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    allowed = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE"}
    for key, value in trailing:
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(info):
                    delay: Duration = info.retry_delay
                    return delay.seconds + delay.nanos / 1e9
    return 0.1 if code in allowed or code == "DATA_LOSS" else -1.0


class Tally:
    """What one connection sends, and what it saw."""

    def __init__(self, variety: int) -> None:
        self.load = spans.requests(variety)
        self.acked = self.requests = self.rejected = self.late = 0
        self.refusals: dict[str, int] = {}
        self.lost: dict[str, int] = {}
        self.latencies: list[float] = []
        self.busy_until = 0.0


def _rejected(reply: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    return int(ExportTraceServiceResponse.FromString(reply).partial_success.rejected_spans)


def _connection(
    client: Http | Grpc, tally: Tally, options: argparse.Namespace, begin: float, offset: float
) -> None:
    load = tally.load
    end = begin + options.seconds
    every = options.connections * load[0].spans / options.rate if options.rate else 0.0
    due = begin + offset * every
    number = 0
    while True:
        now = time.monotonic()
        if every:
            if due >= end:
                break
            if now < due:
                time.sleep(due - now)
            started = due
            due += every
        else:
            if now >= end:
                break
            started = now
        if options.spans and tally.acked >= options.spans // options.connections:
            break
        request = load[number % len(load)]
        number += 1
        body = request.fresh(os.urandom(16 * spans.TRACES_A_REQUEST))
        _deliver(client, body, request.spans, tally, end + options.patience)
        tally.latencies.append(time.monotonic() - started)
    tally.busy_until = time.monotonic()
    client.close()


def _deliver(client: Http | Grpc, body: bytes, count: int, tally: Tally, give_up: float) -> None:
    backoff = 0.05
    while True:
        reply = client.send(body)
        if reply.accepted:
            tally.requests += 1
            tally.acked += count
            if reply.body:
                tally.rejected += _rejected(reply.body)
            return
        if reply.retry_after < 0 or time.monotonic() > give_up:
            tally.lost[reply.what] = tally.lost.get(reply.what, 0) + count
            return
        tally.refusals[reply.what] = tally.refusals.get(reply.what, 0) + 1
        time.sleep(max(reply.retry_after, backoff))
        backoff = min(backoff * 1.5, 5.0)


def quantile(values: list[float], q: float) -> float:
    """The value at rank q (0–1) of an unordered list; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


def _sum(tables: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for table in tables:
        for key, value in table.items():
            total[key] = total.get(key, 0) + value
    return total


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Send the load; returns counts, times and latencies."""
    kind = {"grpc": Grpc, "http": Http}[options.protocol]
    clients = [kind(options.port) for _ in range(options.connections)]
    tallies = [Tally(options.variety) for _ in clients]
    begin = time.monotonic() + 0.05
    threads = [
        threading.Thread(
            target=_connection,
            args=(client, tally, options, begin, index / len(clients)),
        )
        for index, (client, tally) in enumerate(zip(clients, tallies, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = [1000 * value for tally in tallies for value in tally.latencies]
    used = os.times()
    acked = sum(tally.acked for tally in tallies)
    return {
        "acked": acked,
        "requests": sum(tally.requests for tally in tallies),
        "seconds": max(tally.busy_until for tally in tallies) - begin,
        "bytes_a_request": len(tallies[0].load[0]),
        "rejected": sum(tally.rejected for tally in tallies),
        "refusals": _sum([tally.refusals for tally in tallies]),
        "lost": _sum([tally.lost for tally in tallies]),
        "latency_ms": {f"p{int(100 * q)}": quantile(latencies, q) for q in (0.5, 0.9, 0.99, 1.0)},
        "generator_cpu_seconds": used.user + used.system,
    }


def parser() -> argparse.ArgumentParser:
    """The command line of the generator."""
    made = argparse.ArgumentParser(description="Sends OTLP spans to a service on this machine.")
    made.add_argument("--protocol", choices=("grpc", "http"), default="grpc")
    made.add_argument("--port", type=int, required=True)
    made.add_argument("--seconds", type=float, default=5.0)
    made.add_argument("--connections", type=int, default=4)
    made.add_argument("--rate", type=float, default=0.0, help="spans a second; 0 = all it can")
    made.add_argument("--spans", type=int, default=0, help="stop after this many; 0 = by time")
    made.add_argument("--variety", type=int, default=4, help="different requests a connection")
    made.add_argument("--patience", type=float, default=30.0, help="seconds of retries at the end")
    made.add_argument("--core", type=int, default=-1, help="run on this core only")
    return made


if __name__ == "__main__":
    chosen = parser().parse_args()
    if chosen.core >= 0:
        os.sched_setaffinity(0, {chosen.core})
    print(json.dumps(run(chosen)))
