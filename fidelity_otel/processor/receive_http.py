"""OTLP over HTTP: protobuf and JSON on one port, told apart by Content-Type.

A plain ASGI application, because this is the hot path; uvicorn runs it.
"""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from fidelity_otel.errors import InputError, JournalError, Overloaded
from fidelity_otel.processor import wire_status
from fidelity_otel.processor.compression import ENCODINGS, TooLarge, decompress
from fidelity_otel.processor.intake import Intake
from fidelity_otel.processor.wire_json import from_json, logs_from_json

__all__ = ["HttpReceiver"]

_SIGNALS: Final = {"/v1/traces": "traces", "/v1/logs": "logs"}
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_READ: Final = {"traces": from_json, "logs": logs_from_json}
_BIG: Final = 1 << 20  # bodies above this are decompressed off the event loop
_JOURNAL_RETRY: Final = 5.0

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Refused(Exception):  # noqa: N818
    """A request ends with this answer."""

    def __init__(
        self,
        http: int,
        code: int,
        message: str,
        *,
        retry: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.http = http
        self.code = code
        self.message = message
        self.retry = retry
        self.headers = headers


class HttpReceiver:
    """The ASGI application of the OTLP HTTP port.

    Args:
        intake: where requests go.
        token: bearer token that requests must carry; none where empty.
        body_seconds: a body that takes longer to arrive is given up.
    """

    def __init__(self, intake: Intake, *, token: str = "", body_seconds: float = 60.0) -> None:
        self._intake = intake
        self._authorization = f"Bearer {token}".encode() if token else b""
        self._body_seconds = body_seconds

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # lifespan and websockets are not for this port
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        as_json = media == _JSON
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            body = await self._answer(scope, headers, media, receive)
            code = 200
        except _Refused as refused:
            code, extra = refused.http, refused.headers
            if refused.retry is not None:
                extra = (*extra, (b"retry-after", str(math.ceil(refused.retry)).encode()))
            body = wire_status.status(
                refused.code, refused.message, retry_seconds=refused.retry, as_json=as_json
            )
        kind = _JSON if as_json else _PROTOBUF
        sent = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            *extra,
        ]
        await send({"type": "http.response.start", "status": code, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], media: str, receive: Receive
    ) -> bytes:
        signal = _SIGNALS.get(scope["path"])
        if signal is None:
            raise _Refused(
                404,
                wire_status.NOT_FOUND,
                f"nothing is served at {scope['path']}: POST to {' or '.join(_SIGNALS)}",
            )
        if scope["method"] != "POST":
            raise _Refused(
                405,
                wire_status.UNIMPLEMENTED,
                "only POST is served here",
                headers=((b"allow", b"POST"),),
            )
        if self._authorization and not hmac.compare_digest(
            headers.get(b"authorization", b""), self._authorization
        ):
            raise _Refused(
                401,
                wire_status.UNAUTHENTICATED,
                "a bearer token is wanted (receive.token)",
                headers=((b"www-authenticate", b"Bearer"),),
            )
        if media not in (_PROTOBUF, _JSON):
            raise _Refused(
                415,
                wire_status.INVALID_ARGUMENT,
                f"Content-Type {media!r} is neither {_PROTOBUF} nor {_JSON}",
            )
        encoding = headers.get(b"content-encoding", b"").strip().lower().decode("latin-1")
        if encoding not in ("", "identity", *ENCODINGS):
            raise _Refused(
                415,
                wire_status.INVALID_ARGUMENT,
                f"Content-Encoding {encoding!r} is none of {', '.join(ENCODINGS)}",
                headers=((b"accept-encoding", ", ".join(ENCODINGS).encode()),),
            )
        try:
            return await self._take(signal, headers, media, encoding, receive)
        except TooLarge as error:
            self._intake.meter("http", "too_large", 0, 0, 0)
            raise _Refused(413, wire_status.RESOURCE_EXHAUSTED, str(error)) from None
        except InputError as error:
            self._intake.meter("http", "invalid", 0, 0, 0)
            raise _Refused(400, wire_status.INVALID_ARGUMENT, str(error)) from None
        except Overloaded as error:
            self._intake.meter("http", "refused", 0, 0, 0)
            raise _Refused(
                503, wire_status.UNAVAILABLE, str(error), retry=error.retry_after
            ) from None
        except JournalError as error:
            self._intake.meter("http", "refused", 0, 0, 0)
            raise _Refused(503, wire_status.UNAVAILABLE, str(error), retry=_JOURNAL_RETRY) from None

    async def _take(
        self,
        signal: str,
        headers: Mapping[bytes, bytes],
        media: str,
        encoding: str,
        receive: Receive,
    ) -> bytes:
        intake, limit = self._intake, self._intake.max_request_bytes
        length = headers.get(b"content-length", b"")
        declared = int(length) if length.isdigit() else 0
        if declared > limit:
            raise TooLarge(f"{declared} bytes are more than {limit} (receive.max_request_bytes)")
        held = declared
        intake.admission.enter(held)
        try:
            pieces: list[bytes] = []
            size = 0
            async with asyncio.timeout(self._body_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise InputError("the sender has gone before its body was complete")
                    piece = message.get("body", b"")
                    size += len(piece)
                    if size > limit:
                        raise TooLarge(f"more than {limit} bytes (receive.max_request_bytes)")
                    if size > held:
                        intake.admission.grow(size - held)
                        held = size
                    pieces.append(piece)
                    if not message.get("more_body", False):
                        break
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if encoding:
                body = (
                    decompress(body, encoding, limit=limit)
                    if size < _BIG
                    else await asyncio.to_thread(decompress, body, encoding, limit=limit)
                )
                if len(body) > held:
                    intake.admission.grow(len(body) - held)
                    held = len(body)
            if media == _JSON:
                body = _READ[signal](body)
            accepted = await intake.take(signal, body, "http")
        except TimeoutError:
            raise _Refused(
                408,
                wire_status.UNAVAILABLE,
                f"the body did not arrive within {self._body_seconds:g} s",
                headers=((b"connection", b"close"),),
            ) from None
        finally:
            intake.admission.leave(held)
        return wire_status.response(
            signal, accepted.rejected, accepted.message, as_json=media == _JSON
        )
