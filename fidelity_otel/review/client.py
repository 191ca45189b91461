"""The queue as a terminal uses it: over the store here, or over HTTP from elsewhere."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from fidelity_otel.errors import (
    FidelityError,
    InputError,
    LeaseError,
    NotAllowed,
    NotFound,
    StoreBusy,
)
from fidelity_otel.review.desk import Desk
from fidelity_otel.review.messages import (
    Failure,
    LeaseView,
    OutcomeRequest,
    Receipt,
    TraceView,
    VerdictRequest,
)
from fidelity_otel.store import OutcomeCounts, Progress

__all__ = ["LocalQueue", "Queue", "RemoteQueue"]

_T = TypeVar("_T")
_TIMEOUT = 30.0
_EMPTY = 204


class Queue(Protocol):
    """What a reviewer's terminal needs."""

    def take(self, reviewer: str, item_id: str | None = None) -> LeaseView | None:
        """The next item; None when nothing is left."""
        ...

    def judge(self, lease_id: str, request: VerdictRequest) -> Receipt:
        """Record a verdict."""
        ...

    def skip(self, lease_id: str, reason: str) -> None:
        """Put an item by."""
        ...

    def release(self, lease_id: str) -> None:
        """Hand an item back."""
        ...

    def renew(self, lease_id: str) -> None:
        """Keep an item for longer."""
        ...

    def progress(self, reviewer: str) -> Progress:
        """Where the queue stands."""
        ...


class LocalQueue:
    """The queue of a store on this machine."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def take(self, reviewer: str, item_id: str | None = None) -> LeaseView | None:
        """The next item; None when nothing is left."""
        return self._desk.take(reviewer, item_id)

    def judge(self, lease_id: str, request: VerdictRequest) -> Receipt:
        """Record a verdict."""
        return self._desk.judge(lease_id, request)

    def skip(self, lease_id: str, reason: str) -> None:
        """Put an item by."""
        self._desk.store.skip(lease_id, reason, now_ns=self._desk.now())

    def release(self, lease_id: str) -> None:
        """Hand an item back."""
        self._desk.store.release(lease_id, self._desk.now())

    def renew(self, lease_id: str) -> None:
        """Keep an item for longer."""
        self._desk.store.renew(lease_id, self._desk.now(), self._desk.settings.lease_ns)

    def progress(self, reviewer: str) -> Progress:
        """Where the queue stands."""
        return self._desk.store.progress(reviewer, now_ns=self._desk.now(), lead=True)


class RemoteQueue:
    """The queue of a running service.

    Args:
        url: its address, like http://127.0.0.1:8318.
        token: the setting review.token, where it is set.
        opener: sends requests; the standard library's by default.

    Raises:
        InputError: the address is none.
    """

    def __init__(
        self, url: str, token: str = "", *, opener: urllib.request.OpenerDirector | None = None
    ) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise InputError(f"--url {url!r} is no address. Mend: like http://127.0.0.1:8318.")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = opener or urllib.request.build_opener()

    def take(self, reviewer: str, item_id: str | None = None) -> LeaseView | None:
        """The next item; None when nothing is left."""
        body = {"reviewer": reviewer, "item_id": item_id}
        return self._ask("/api/v1/queue/next", LeaseView, body)

    def judge(self, lease_id: str, request: VerdictRequest) -> Receipt:
        """Record a verdict."""
        return self._must(f"/api/v1/leases/{quote(lease_id)}/verdict", Receipt, request)

    def skip(self, lease_id: str, reason: str) -> None:
        """Put an item by."""
        self._ask(f"/api/v1/leases/{quote(lease_id)}/skip", dict, {"reason": reason})

    def release(self, lease_id: str) -> None:
        """Hand an item back."""
        self._ask(f"/api/v1/leases/{quote(lease_id)}/release", dict, {})

    def renew(self, lease_id: str) -> None:
        """Keep an item for longer."""
        self._ask(f"/api/v1/leases/{quote(lease_id)}/renew", dict, {})

    def progress(self, reviewer: str) -> Progress:
        """Where the queue stands."""
        return self._must(f"/api/v1/progress?{urlencode({'reviewer': reviewer})}", Progress)

    def trace_view(self, trace_id: str) -> TraceView:
        """One trace with all that is known of it."""
        return self._must(f"/api/v1/traces/{quote(trace_id)}", TraceView)

    def otlp(self, trace_id: str) -> bytes:
        """One trace's body."""
        return self._send(f"/api/v1/traces/{quote(trace_id)}?format=otlp", None)[1]

    def add_outcomes(self, requests: Sequence[OutcomeRequest]) -> OutcomeCounts:
        """Store outcomes."""
        return self._must("/api/v1/outcomes", OutcomeCounts, list(requests))

    def _must(self, path: str, kind: type[_T], body: Any = None) -> _T:
        found = self._ask(path, kind, body)
        if found is None:
            raise FidelityError(f"{self._base}{path} answered with nothing.")
        return found

    def _ask(self, path: str, kind: type[_T], body: Any = None) -> _T | None:
        status, content = self._send(path, body)
        if status == _EMPTY or not content:
            return None
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise FidelityError(
                f"{self._base}{path} answered with something else: {error}. "
                "Mend: check that --url is the address of `fidelity serve`, of this version."
            ) from None

    def _send(self, path: str, body: Any) -> tuple[int, bytes]:
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(  # noqa: S310 (the scheme is checked in __init__)
            self._base + path,
            data=data,
            headers=self._headers,
            method="GET" if data is None else "POST",
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise _error(error.code, error.read(), self._base + path) from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise FidelityError(
                f"{self._base} cannot be reached: {reason}. "
                "Mend: start `fidelity serve`, or name its address with --url."
            ) from None


def _error(status: int, content: bytes, where: str) -> FidelityError:
    try:
        failure = msgspec.json.decode(content, type=Failure)
        text = f"{failure.error}. Mend: {failure.mend}"
    except msgspec.MsgspecError:
        text = f"{where} answered {status}."
    kinds: dict[int, type[FidelityError]] = {
        400: InputError,
        401: InputError,
        403: NotAllowed,
        404: NotFound,
        409: LeaseError,
        503: StoreBusy,
    }
    return kinds.get(status, FidelityError)(text)
