"""What `fidelity doctor` does: a test trace through a running service, step by step."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fidelity_otel import semconv
from fidelity_otel.processor.wire import from_json

__all__ = ["Step", "examine"]

_WAIT_SECONDS = 15.0
_OK, _UNAUTHORIZED = 200, 401


class Step(NamedTuple):
    """One step of the way: whether it works, what was seen, how to mend it."""

    name: str
    works: bool
    seen: str
    mend: str = ""


def examine(
    settings: Mapping[str, Any],
    *,
    trace_id: str,
    now_ns: int,
    wait_seconds: float = _WAIT_SECONDS,
    told: Callable[[Step], None] = lambda _: None,
) -> list[Step]:
    """Go the way of a trace until it stops.

    Args:
        settings: effective settings; the bound ports are read from `ports.json` where it is there.
        trace_id: of the test trace, 32 hex digits that were never used.
        now_ns: the time that it says.
        wait_seconds: how long the trace may take to the store.
        told: hears of each step as it ends.

    Returns:
        The steps taken; the last one is the one that fails, if any does.
    """
    way = _Way(settings, trace_id=trace_id, now_ns=now_ns, wait_seconds=wait_seconds)
    steps: list[Step] = []
    for take in (way.ready, way.receive, way.store, way.api, way.metrics):
        step = take()
        steps.append(step)
        told(step)
        if not step.works:
            break
    return steps


class _Way:
    """The steps of a trace's way."""

    def __init__(
        self, settings: Mapping[str, Any], *, trace_id: str, now_ns: int, wait_seconds: float
    ) -> None:
        host = str(settings["host"])
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        ports = _ports(settings)
        token = str(settings.get("review.token") or "")
        self._data = settings["data"]
        self._trace_id = trace_id
        self._now_ns = now_ns
        self._wait = wait_seconds
        self._web = f"http://{_in_url(host)}:{ports['http']}"
        scheme = "https" if settings.get("tls.cert") else "http"
        self._otlp = f"{scheme}://{_in_url(host)}:{ports['otlp_http']}"
        sender = str(settings.get("receive.token") or "")
        self._sender = {"authorization": f"Bearer {sender}"} if sender else {}
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def ready(self) -> Step:
        code, text = _get(f"{self._web}/readyz", {})
        if code == 0:
            mend = (
                f"start `fidelity serve --data {self._data}`, or name the data folder of the "
                "service that runs with --data"
            )
            return Step("service", False, f"{self._web} does not answer: {text}", mend)
        if code != _OK:
            problems = _json(text).get("problems", {})
            why = "; ".join(f"{k}: {v}" for k, v in problems.items()) or text[:200]
            return Step("service", False, f"not ready: {why}", "see its log on stderr")
        return Step("service", True, f"ready at {self._web}")

    def receive(self) -> Step:
        body = _test_trace(self._trace_id, self._now_ns)
        code, text = _post(f"{self._otlp}/v1/traces", body, self._sender)
        if code == 0:
            seen = f"{self._otlp} does not answer: {text}"
            mend = "check ports.otlp_http (FIDELITY_OTLP_HTTP_PORT) and firewalls"
            return Step("receive", False, seen, mend)
        if code != _OK:
            seen = f"{self._otlp} answered {code}: {text[:200]}"
            return Step("receive", False, seen, "see the message")
        return Step("receive", True, f"acked by {self._otlp}/v1/traces, so it is durable")

    def store(self) -> Step:
        began = time.monotonic()
        while time.monotonic() - began < self._wait:
            code, _ = _get(f"{self._web}/probe/{self._trace_id}", self._headers)
            if code == _OK:
                took = time.monotonic() - began
                return Step("store", True, f"decided and written after {took:.1f} s")
            if code == _UNAUTHORIZED:
                return Step("store", False, "a token is wanted", "set FIDELITY_REVIEW_TOKEN")
            time.sleep(0.05)
        seen = f"the trace did not reach the store within {self._wait:g} s"
        return Step("store", False, seen, f"{self._web}/readyz and the service's log say why")

    def api(self) -> Step:
        code, text = _get(f"{self._web}/api/v1/progress", self._headers)
        if code == _OK:
            return Step("API", True, f"{self._web}/api/v1/ answers")
        seen = f"/api/v1/progress answered {code}: {text[:200]}"
        return Step("API", False, seen, "see the service's log")

    def metrics(self) -> Step:
        _, text = _get(f"{self._web}/metrics", self._headers)
        if 'fidelity_ended_traces_total{end="probe"}' in text:
            return Step("metrics", True, f"{self._web}/metrics counted the trace")
        seen = f"{self._web}/metrics does not count it"
        return Step("metrics", False, seen, "see the service's log")


def _ports(settings: Mapping[str, Any]) -> dict[str, int]:
    path = Path(settings["data"]) / "ports.json"
    try:
        found = json.loads(path.read_text())
        return {name: int(found[name]) for name in ("otlp_http", "http")}
    except (OSError, ValueError, KeyError, TypeError):
        return {name: int(settings[f"ports.{name}"]) for name in ("otlp_http", "http")}


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _test_trace(trace_id: str, now_ns: int) -> bytes:
    span = {
        "traceId": trace_id,
        "spanId": trace_id[:16],
        "name": semconv.FIDELITY_DOCTOR_SPAN,
        "kind": 1,
        "startTimeUnixNano": str(now_ns - 1_000_000),
        "endTimeUnixNano": str(now_ns),
        "attributes": [{"key": semconv.FIDELITY_COMPLETE, "value": {"boolValue": True}}],
    }
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    return from_json(json.dumps(spans).encode())


def _get(url: str, headers: Mapping[str, str]) -> tuple[int, str]:
    return _call(urllib.request.Request(url, headers=dict(headers)))  # noqa: S310


def _post(url: str, body: bytes, more: Mapping[str, str]) -> tuple[int, str]:
    headers = {"content-type": "application/x-protobuf", **more}
    return _call(urllib.request.Request(url, body, headers))  # noqa: S310


def _call(request: urllib.request.Request) -> tuple[int, str]:
    # Whose certificate it is does not matter here: the test trace tells nothing.
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified)
    )
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status, reply.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")
    except OSError as error:
        return 0, str(getattr(error, "reason", error))


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
